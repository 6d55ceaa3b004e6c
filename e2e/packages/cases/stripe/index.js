const Stripe = require('stripe');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  const body = decodeURIComponent(Buffer.concat(await req.toArray()));
  if (body.includes('amount=13')) return res.writeHead(402, { 'content-type': 'application/json' }).end('{"error":{"type":"card_error","code":"card_declined","message":"no"}}');
  sent = `${req.method} ${req.url} ${req.headers.authorization} ${body}`;
  res.writeHead(200, { 'content-type': 'application/json' }).end('{"id":"ch_1","object":"charge"}');
});
module.exports = async ctx => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const stripe = new Stripe('sk_test_1', { host: '127.0.0.1', port: server.address().port, protocol: 'http' });
  const event = body => stripe.webhooks.constructEvent(body, ctx.headers['stripe-signature'], 'whsec_test_secret', Infinity);
  let forged;
  try { event(`${ctx.rawBody} `); } catch (e) { forged = e.type; }
  const charge = await stripe.charges.create({ amount: 500, currency: 'chf', metadata: { a: 'b' } });
  const declined = await stripe.charges.create({ amount: 13, currency: 'chf' }).catch(e => [e.type, e.code]);
  server.close();
  return { event: event(ctx.rawBody).type, forged, sent, charge: charge.id, declined };
};
