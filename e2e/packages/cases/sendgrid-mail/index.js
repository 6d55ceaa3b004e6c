const mail = require('@sendgrid/mail');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  sent = [req.method, req.url, req.headers.authorization, JSON.parse(Buffer.concat(await req.toArray()))];
  res.writeHead(202).end();
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  mail.setApiKey('SG.key');
  mail.client.setDefaultRequest('baseUrl', `http://127.0.0.1:${server.address().port}`);
  const [res] = await mail.send({ from: 'a@b.ch', to: { name: 'C', email: 'c@d.ch' }, subject: 'Hi', html: '<b>x</b>' });
  server.close();
  return { sent, code: res.statusCode };
};
