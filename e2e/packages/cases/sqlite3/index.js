const sqlite3 = require('sqlite3');
const { promisify } = require('node:util');
module.exports = async () => {
  const db = new sqlite3.Database(':memory:');
  const run = promisify(db.run.bind(db)), all = promisify(db.all.bind(db));
  await run('CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT UNIQUE)');
  await run('INSERT INTO t (n) VALUES (?), (?)', ['a', 'b']);
  return { rows: await all('SELECT * FROM t ORDER BY id'), error: await run('INSERT INTO t (n) VALUES (?)', 'a').catch(e => e.code) };
};
