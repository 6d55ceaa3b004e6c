const { Configuration, PlaidApi } = require('plaid');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  res.setHeader('content-type', 'application/json');
  const body = JSON.parse(Buffer.concat(await req.toArray()));
  if (req.url !== '/item/public_token/exchange') return res.writeHead(400).end('{"error_type":"INVALID_INPUT"}');
  sent = [req.url, req.headers['plaid-client-id'], req.headers['plaid-secret'], body];
  res.end('{"access_token":"at-1"}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const plaid = new PlaidApi(new Configuration({ basePath: `http://127.0.0.1:${server.address().port}`, baseOptions: { headers: { 'PLAID-CLIENT-ID': 'cid', 'PLAID-SECRET': 'sec' } } }));
  const { data } = await plaid.itemPublicTokenExchange({ public_token: 'pt' });
  const error = await plaid.accountsGet({ access_token: 'x' }).catch(e => e.response.data.error_type);
  server.close();
  return { sent, token: data.access_token, error };
};
