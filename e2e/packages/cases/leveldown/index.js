const db = require('levelup')(require('leveldown')('/tmp/leveldown'));
module.exports = async () => {
  await db.batch().put('a', '1').put('b', '2').del('a').write();
  return [String(await db.get('b')), await db.get('a').catch(e => e.name)];
};
