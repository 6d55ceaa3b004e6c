const { Client } = require('@hubspot/api-client');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  const { properties } = JSON.parse(Buffer.concat(await req.toArray()));
  sent = [req.method, req.url, req.headers.authorization, { properties }];
  res.writeHead(201, { 'content-type': 'application/json' }).end('{"id":"51","properties":{},"createdAt":"2024-01-01T00:00:00Z","updatedAt":"2024-01-01T00:00:00Z"}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const hubspot = new Client({ accessToken: 'pat-1', basePath: `http://127.0.0.1:${server.address().port}` });
  const made = await hubspot.crm.contacts.basicApi.create({ properties: { email: 'a@b.ch' }, associations: [] });
  server.close();
  return { sent, id: made.id, created: made.createdAt };
};
