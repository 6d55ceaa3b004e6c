const contentful = require('contentful');
const http = require('node:http');
let sent;
const server = http.createServer((req, res) => {
  sent = [req.url, req.headers.authorization];
  const link = { sys: { type: 'Link', linkType: 'Entry', id: 'e2' } };
  res.setHeader('content-type', 'application/json').end(JSON.stringify({
    sys: { type: 'Array' }, total: 1, skip: 0, limit: 100, items: [{ sys: { id: 'e1', type: 'Entry' }, fields: { title: 'Hi', author: link } }],
    includes: { Entry: [{ sys: { id: 'e2', type: 'Entry' }, fields: { name: 'Bob' } }] },
  }));
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const client = contentful.createClient({ space: 's', accessToken: 'tok', host: `127.0.0.1:${server.address().port}`, insecure: true });
  const { items } = await client.getEntries({ content_type: 'post' });
  server.close();
  return { sent, title: items[0].fields.title, linked: items[0].fields.author.fields.name }; // links are resolved
};
