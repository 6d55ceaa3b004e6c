const { createClient } = require('@clickhouse/client');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  const sql = String(Buffer.concat(await req.toArray()));
  if (!sql.startsWith('SELECT')) return res.writeHead(400).end('Code: 62. DB::Exception: Syntax error: failed at position 1. (SYNTAX_ERROR)');
  const n = new URL(req.url, 'http://x').searchParams.get('param_n');
  sent = [sql, n];
  res.end(`{"x":${+n + 1}}\n`);
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const ch = createClient({ url: `http://127.0.0.1:${server.address().port}`, log: { level: 127 } });
  const rows = await (await ch.query({ query: 'SELECT {n: UInt8} + 1 AS x', format: 'JSONEachRow', query_params: { n: 5 } })).json();
  const error = await ch.query({ query: 'nonsense' }).catch(e => e.code);
  await ch.close();
  server.close();
  return { sent, rows, error };
};
