const { DuckDBInstance } = require('@duckdb/node-api');
module.exports = async () => {
  const db = await (await DuckDBInstance.create(':memory:', { threads: '1', memory_limit: '100MB' })).connect();
  const r = await db.runAndReadAll("SELECT team, sum(n)::INT AS total FROM (VALUES ('a', 3), ('b', 5), ('a', 4)) t(team, n) GROUP BY team ORDER BY total DESC");
  return r.getRows();
};
