const snappy = require('snappy');
const js = require('snappyjs');
module.exports = async () => {
  const packed = await snappy.compress('hearth'.repeat(2000));
  return {
    small: packed.length < 1000, js: js.uncompress(packed).toString().slice(0, 12), back: await snappy.uncompress(js.compress(Buffer.from('abcabcabc')), { asBuffer: false }),
  };
};
