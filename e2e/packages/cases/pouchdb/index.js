const PouchDB = require('pouchdb-core').plugin(require('pouchdb-adapter-memory')).plugin(require('pouchdb-find')).plugin(require('pouchdb-replication'));
module.exports = async () => {
  const db = new PouchDB('a', { adapter: 'memory' }), copy = new PouchDB('b', { adapter: 'memory' });
  await db.bulkDocs([{ _id: 'a', n: 1 }, { _id: 'b', n: 2 }]);
  const conflict = await db.put({ _id: 'a', n: 3 }).catch(e => e.status);
  const { docs } = await db.find({ selector: { n: { $gt: 1 } } });
  const { docs_written } = await PouchDB.replicate(db, copy);
  return { conflict, found: docs.map(d => d._id), replicated: docs_written };
};
