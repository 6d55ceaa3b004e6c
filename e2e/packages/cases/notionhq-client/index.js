const { Client } = require('@notionhq/client');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  res.setHeader('content-type', 'application/json');
  const text = String(Buffer.concat(await req.toArray()));
  if (req.method === 'GET') return res.writeHead(404).end('{"object":"error","status":404,"code":"object_not_found","message":"no"}');
  sent = [req.method, req.url, req.headers.authorization, JSON.parse(text)];
  res.end('{"object":"page","id":"n1"}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const notion = new Client({ auth: 'ntn_1', baseUrl: `http://127.0.0.1:${server.address().port}`, logLevel: 'error', logger() {} });
  const { id } = await notion.pages.create({ parent: { page_id: 'p' }, properties: {} });
  const error = await notion.users.retrieve({ user_id: 'x' }).catch(e => e.code);
  server.close();
  return { sent, id, error };
};
