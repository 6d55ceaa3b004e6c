const zstd = require('@mongodb-js/zstd');
const zlib = require('node:zlib');
module.exports = async () => ({
  node: zlib.zstdDecompressSync(await zstd.compress(Buffer.from('hearthhearth'), 9)).toString(), zstd: (await zstd.decompress(zlib.zstdCompressSync('from node'))).toString(),
});
