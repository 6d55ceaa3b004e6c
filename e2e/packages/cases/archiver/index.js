const archiver = require('archiver');
const AdmZip = require('adm-zip');
module.exports = async () => {
  const zip = archiver('zip', { zlib: { level: 9 } });
  zip.append('hello', { name: 'a.txt' }).append('world', { name: 'b.txt', prefix: 'd' }).finalize();
  return new AdmZip(Buffer.concat(await zip.toArray())).getEntries().map(e => [e.entryName, String(e.getData())]);
};
