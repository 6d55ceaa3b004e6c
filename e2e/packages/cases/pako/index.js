const pako = require('pako');
const zlib = require('node:zlib');
module.exports = async () => {
  const z = zlib.deflateSync('from node');
  let adler;
  const spoiled = Buffer.from(z);
  spoiled[spoiled.length - 1] ^= 1;
  try { pako.inflate(spoiled); } catch (e) { adler = e.message ?? String(e); }
  return { node: String(zlib.gunzipSync(pako.gzip('hearth'))), pako: pako.inflate(z, { to: 'string' }), adler };
};
