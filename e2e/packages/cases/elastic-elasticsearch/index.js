const { Client } = require('@elastic/elasticsearch');
const http = require('node:http');
let bulk;
const server = http.createServer(async (req, res) => {
  const body = String(Buffer.concat(await req.toArray()));
  res.setHeader('x-elastic-product', 'Elasticsearch').setHeader('content-type', 'application/vnd.elasticsearch+json;compatible-with=9');
  if (req.url === '/_bulk') { bulk = body.trim().split('\n').map(l => JSON.parse(l)); return res.end('{"errors":false,"items":[{"index":{"status":201}},{"index":{"status":201}}]}'); }
  res.end(JSON.stringify({ hits: { hits: req.url === '/i/_search' && JSON.parse(body).query.match.a === 1 ? [{ _id: 'x' }] : [] } }));
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const es = new Client({ node: `http://127.0.0.1:${server.address().port}` });
  const { successful, failed } = await es.helpers.bulk({ datasource: [{ a: 1 }, { a: 2 }], onDocument: () => ({ index: { _index: 'i' } }) });
  const { hits } = await es.search({ index: 'i', query: { match: { a: 1 } } });
  await es.close();
  server.close();
  return { bulk, stats: [successful, failed], hits: hits.hits.map(h => h._id) };
};
