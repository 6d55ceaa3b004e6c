const Datastore = require('@seald-io/nedb');
module.exports = async () => {
  const db = new Datastore();
  await db.ensureIndexAsync({ fieldName: 'n', unique: true });
  await db.insertAsync([{ n: 1, tags: [] }, { n: 2, tags: ['b'] }, { n: 3, tags: ['a', 'b'] }]);
  const found = await db.findAsync({ tags: 'b', n: { $gt: 2 } }, { _id: 0 });
  const { numAffected } = await db.updateAsync({ n: { $in: [1, 2] } }, { $push: { tags: 'z' } }, { multi: true });
  return { found, updated: numAffected, error: await db.insertAsync({ n: 1 }).catch(e => e.errorType) };
};
