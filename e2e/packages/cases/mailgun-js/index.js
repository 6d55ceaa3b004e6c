const Mailgun = require('mailgun.js').default ?? require('mailgun.js');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  const form = await new Response(Buffer.concat(await req.toArray()), { headers: { 'content-type': req.headers['content-type'] } }).formData();
  sent = [req.url, req.headers.authorization, [...form].map(([k, v]) => `${k}=${v}`)];
  res.setHeader('content-type', 'application/json').end('{"id":"<1@mg>","message":"Queued."}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const mg = new Mailgun(FormData).client({ username: 'api', key: 'key', url: `http://127.0.0.1:${server.address().port}` });
  const { id } = await mg.messages.create('mg.b.ch', { to: 'c@d.ch', subject: 'Hi', 'o:tag': ['x'] });
  server.close();
  return { sent, id };
};
