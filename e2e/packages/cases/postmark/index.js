const postmark = require('postmark');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  res.setHeader('content-type', 'application/json');
  const body = JSON.parse(Buffer.concat(await req.toArray()));
  if (body.Subject === 'bounce') return res.writeHead(422).end('{"ErrorCode":406,"Message":"You tried to send to recipient(s) that have been marked as inactive. Found inactive addresses: c@d.ch. Inactive recipients are ones that have generated a hard bounce."}');
  sent = [req.url, req.headers['x-postmark-server-token'], body];
  res.end('{"MessageID":"pm1","ErrorCode":0}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const client = new postmark.ServerClient('server-token', { useHttps: false, requestHost: `127.0.0.1:${server.address().port}` });
  const mail = { From: 'a@b.ch', To: 'c@d.ch', Subject: 'Hi', TextBody: 'x' };
  const { MessageID } = await client.sendEmail(mail);
  const error = await client.sendEmail({ ...mail, Subject: 'bounce' }).catch(e => [e.name, e.recipients]);
  server.close();
  return { sent, id: MessageID, error };
};
