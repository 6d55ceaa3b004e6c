const line = require('@line/bot-sdk');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  sent = [req.url, req.headers.authorization, JSON.parse(Buffer.concat(await req.toArray()))];
  res.setHeader('content-type', 'application/json').end('{"sentMessages":[]}');
});
module.exports = async ctx => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const client = new line.messagingApi.MessagingApiClient({ channelAccessToken: 'tok', baseURL: `http://127.0.0.1:${server.address().port}` });
  await client.replyMessage({ replyToken: 'r', messages: [{ type: 'text', text: 'hi' }] });
  server.close();
  const check = body => line.validateSignature(body, 'channel-secret', ctx.headers['x-line-signature']);
  return { valid: [check(ctx.rawBody), check(`${ctx.rawBody} `)], sent };
};
