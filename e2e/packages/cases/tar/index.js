const tar = require('tar');
const fs = require('node:fs');
module.exports = async () => {
  const dir = fs.mkdtempSync('/tmp/tar-');
  fs.mkdirSync(`${dir}/in/d`, { recursive: true });
  fs.mkdirSync(`${dir}/out`);
  fs.writeFileSync(`${dir}/in/d/a.txt`, 'hello');
  await tar.create({ gzip: true, file: `${dir}/x.tgz`, cwd: `${dir}/in` }, ['d']);
  const list = [];
  await tar.list({ file: `${dir}/x.tgz`, onReadEntry: e => list.push(e.path) });
  await tar.extract({ file: `${dir}/x.tgz`, cwd: `${dir}/out` });
  const raw = require('node:zlib').gunzipSync(fs.readFileSync(`${dir}/x.tgz`));
  return { list, text: fs.readFileSync(`${dir}/out/d/a.txt`, 'utf8'), magic: raw.toString('latin1', 257, 262) };
};
