const Database = require('better-sqlite3');
module.exports = async () => {
  const db = new Database('/tmp/better.db');
  db.pragma('journal_mode = WAL');
  db.exec('DROP TABLE IF EXISTS t; CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT)');
  db.prepare('INSERT INTO t (n) VALUES (?), (?)').run('a', 'b');
  try { db.transaction(() => { db.exec('DELETE FROM t'); throw new Error('no'); })(); } catch {}
  db.aggregate('total_of', { start: 0, step: (t, n) => t + n });
  const out = {
    rows: db.prepare('SELECT * FROM t WHERE n = @n').all({ n: 'b' }),
    sum: db.prepare('WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 10) SELECT total_of(x) AS s FROM c').get().s,
    rolledBack: db.prepare('SELECT count(*) AS c FROM t').get().c, json: db.prepare("SELECT json_extract('{\"a\":[\"x\"]}', '$.a[0]') AS j").get().j,
  };
  db.close();
  return out;
};
