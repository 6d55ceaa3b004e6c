module.exports = async () => {
  const SQL = await require('sql.js')();
  const db = new SQL.Database();
  db.run("CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT); INSERT INTO t (n) VALUES ('a'), ('b')");
  const file = db.export();
  return { rows: db.exec('SELECT * FROM t')[0].values, again: new SQL.Database(file).exec('SELECT n FROM t')[0].values[0][0], magic: Buffer.from(file.subarray(0, 15)).toString() };
};
