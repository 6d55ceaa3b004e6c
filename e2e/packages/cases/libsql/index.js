const Database = require('libsql');
module.exports = async () => {
  const db = new Database(':memory:');
  db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT)');
  db.prepare('INSERT INTO t (n) VALUES (?)').run('a');
  return db.prepare('SELECT id, n FROM t WHERE n = ?').all('a').map(({ id, n }) => ({ id, n }));
};
