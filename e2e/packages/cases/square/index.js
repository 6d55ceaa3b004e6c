const { SquareClient } = require('square');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  sent = [req.method, req.url, req.headers.authorization, JSON.parse(Buffer.concat(await req.toArray()))];
  res.setHeader('content-type', 'application/json').end('{"payment":{"id":"pay1","amount_money":{"amount":500,"currency":"USD"}}}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const square = new SquareClient({ token: 'EAAA', environment: `http://127.0.0.1:${server.address().port}` });
  const { payment } = await square.payments.create({ sourceId: 'cnon', idempotencyKey: 'k', amountMoney: { amount: 500n, currency: 'USD' } });
  server.close();
  return { sent, payment: [payment.id, String(payment.amountMoney.amount)] };
};
