const { open, ABORT } = require('lmdb');
module.exports = async () => {
  const db = open({ path: '/tmp/lmdb.mdb', mapSize: 1 << 24 });
  await db.put('a', { n: [1, 2] });
  await db.put(['b', 2], 'y');
  await db.put(['b', 1], 'old');
  db.transactionSync(() => { db.put(['b', 1], 'new'); return ABORT; });
  const out = { got: db.get('a'), keys: [...db.getKeys()], aborted: db.get(['b', 1]) };
  await db.close();
  return out;
};
