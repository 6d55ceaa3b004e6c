const http = require('node:http');
let saved;
const server = http.createServer(async (req, res) => {
  const body = String(Buffer.concat(await req.toArray()));
  res.setHeader('content-type', 'application/json');
  if (req.method === 'PUT') { saved = [req.method, req.url, JSON.parse(body)]; return res.writeHead(201).end('{"ok":true,"id":"doc1","rev":"1-x"}'); }
  res.writeHead(404).end('{"error":"not_found","reason":"missing"}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const db = require('nano')(`http://127.0.0.1:${server.address().port}`).use('db');
  const { rev } = await db.insert({ a: 1 }, 'doc1');
  const missing = await db.get('none').catch(e => e.statusCode);
  server.close();
  return { saved, rev, missing };
};
