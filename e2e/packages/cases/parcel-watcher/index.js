const watcher = require('@parcel/watcher');
const fs = require('node:fs');
module.exports = async () => {
  const dir = fs.mkdtempSync('/tmp/watch-');
  let told;
  const seen = new Promise(r => { told = r; });
  const sub = await watcher.subscribe(dir, (err, events) => told(events.map(e => [e.type, e.path.slice(dir.length + 1)])));
  fs.writeFileSync(`${dir}/a.txt`, 'x');
  const out = await seen;
  await sub.unsubscribe();
  return out;
};
