const { algoliasearch } = require('algoliasearch');
const http = require('node:http');
let sent, tries = 0;
const server = http.createServer(async (req, res) => {
  await req.toArray();
  if (tries++ === 0) return res.writeHead(500).end(); // the client goes on to the next host
  sent = [req.method, req.url.split('?')[0], req.headers['x-algolia-application-id'], req.headers['x-algolia-api-key']];
  res.setHeader('content-type', 'application/json').end('{"results":[{"hits":[{"objectID":"a"}]}]}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const host = { url: `127.0.0.1:${server.address().port}`, accept: 'readWrite', protocol: 'http' };
  const client = algoliasearch('app', 'key', { hosts: [host, { ...host, url: `localhost:${server.address().port}` }] });
  const { results } = await client.search({ requests: [{ indexName: 'i', query: 'x' }] });
  server.close();
  return { sent, hits: results[0].hits.map(h => h.objectID), retried: tries === 2 };
};
