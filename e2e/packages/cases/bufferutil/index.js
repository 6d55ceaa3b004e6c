const { mask, unmask } = require('node-gyp-build')(require('node:path').dirname(require.resolve('bufferutil'))); // not the fallback in JavaScript
module.exports = async () => {
  const key = Buffer.from('37fa213d', 'hex'), out = Buffer.alloc(5);
  mask(Buffer.from('Hello'), key, out, 0, 5);
  const masked = out.toString('hex');
  unmask(out, key);
  return { masked, plain: String(out) };
};
