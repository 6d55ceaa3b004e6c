const { Level } = require('level');
module.exports = async () => {
  const db = new Level('/tmp/level');
  await db.batch([['a', '1'], ['b', '2'], ['c', '3'], ['d', '4']].map(([key, value]) => ({ type: 'put', key, value })));
  const sub = db.sublevel('s', { valueEncoding: 'json' });
  await sub.put('k', { x: 1 });
  const out = { range: await db.iterator({ gte: 'b', lt: 'd' }).all(), sub: await sub.get('k'), missing: (await db.get('zz')) ?? null };
  await db.close();
  return out;
};
