const braintree = require('braintree');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  sent = [req.method, req.url, req.headers.authorization, JSON.parse(Buffer.concat(await req.toArray()))];
  res.writeHead(201, { 'content-type': 'application/xml' }).end('<transaction><id>t1</id><status>authorized</status></transaction>');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const environment = new braintree.Environment('127.0.0.1', String(server.address().port), 'http://x', false);
  const gateway = new braintree.BraintreeGateway({ environment, merchantId: 'm', publicKey: 'pub', privateKey: 'priv' });
  const { transaction, success } = await gateway.transaction.sale({ amount: '10.00', paymentMethodNonce: 'n' });
  server.close();
  return { sent, id: transaction.id, ok: success };
};
