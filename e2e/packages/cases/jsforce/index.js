const jsforce = require('jsforce');
const http = require('node:http');
let query;
const server = http.createServer(async (req, res) => {
  res.setHeader('content-type', 'application/json');
  await req.toArray();
  if (req.method === 'POST') return res.writeHead(201).end('{"id":"003","success":true,"errors":[]}');
  query = [req.method, req.url.replaceAll('%5C', '\\').replaceAll('%27', "'"), req.headers.authorization];
  res.end('{"totalSize":1,"done":true,"records":[{"Id":"00Q1","attributes":{}}]}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const conn = new jsforce.Connection({ instanceUrl: `http://127.0.0.1:${server.address().port}`, accessToken: 'at', version: '50.0' });
  const [lead] = await conn.sobject('Lead').find({ Name: "O'Neil" }, 'Id').limit(1);
  const made = await conn.sobject('Contact').create({ LastName: 'x' });
  server.close();
  return { query, id: lead.Id, created: made.id };
};
