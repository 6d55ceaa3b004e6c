const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  res.setHeader('content-type', 'application/json');
  const body = JSON.parse(Buffer.concat(await req.toArray()));
  if (!body.from) return res.writeHead(422).end('{"statusCode":422,"name":"validation_error","message":"from"}');
  sent = [req.method, req.url, req.headers.authorization, body];
  res.end('{"id":"r1"}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  process.env.RESEND_BASE_URL = `http://127.0.0.1:${server.address().port}`; // read when the package is loaded
  const { Resend } = require('resend');
  const resend = new Resend('re_1');
  const { data } = await resend.emails.send({ from: 'a@b.ch', to: 'c@d.ch', subject: 'Hi', text: 'x' });
  const { error } = await resend.emails.send({ to: 'c@d.ch', subject: 'Hi', text: 'x' });
  server.close();
  return { sent, id: data.id, error: error.name };
};
