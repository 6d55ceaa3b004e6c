const tar = require('tar-stream');
module.exports = () => new Promise((resolve, reject) => {
  const pack = tar.pack(), out = [];
  pack.entry({ name: 'a.txt' }, 'hello');
  pack.entry({ name: 'd', type: 'directory' });
  pack.finalize();
  pack.pipe(tar.extract()).on('entry', (h, s, next) => {
    let text = '';
    s.on('data', d => { text += d; }).on('end', () => { out.push([h.name, h.size, text || h.type]); next(); });
    s.resume();
  }).on('finish', () => resolve(out)).on('error', reject);
});
