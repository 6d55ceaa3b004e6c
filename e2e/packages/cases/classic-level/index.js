const { ClassicLevel } = require('classic-level');
module.exports = async () => {
  const db = new ClassicLevel('/tmp/classic');
  await db.batch([0, 1, 2, 3].map(n => ({ type: 'put', key: `k0${n}`, value: String(n) })));
  await db.del('k01');
  await db.close();
  await db.open(); // read back from the files
  const out = await db.iterator({ gt: 'k00' }).all();
  await db.close();
  return out;
};
