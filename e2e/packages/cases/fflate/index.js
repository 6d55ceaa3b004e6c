const f = require('fflate');
const zlib = require('node:zlib');
module.exports = async () => {
  const files = f.unzipSync(f.zipSync({ 'x.txt': f.strToU8('zipped') }));
  return { node: String(zlib.gunzipSync(f.gzipSync(f.strToU8('hearth')))), back: f.strFromU8(f.gunzipSync(zlib.gzipSync('from node'))), zip: [Object.keys(files)[0], f.strFromU8(files['x.txt'])] };
};
