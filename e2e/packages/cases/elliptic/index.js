const { ec } = require('elliptic');
const p256 = new ec('p256');
module.exports = async () => {
  const hash = require('node:crypto').createHash('sha256').update('sample').digest();
  const sig = p256.sign(hash, p256.keyFromPrivate('c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721'));
  return { g: p256.g.getX().toString(16), r: sig.r.toString(16) };
};
