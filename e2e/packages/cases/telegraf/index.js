const { Telegraf } = require('telegraf');
const http = require('node:http');
let sent;
const api = http.createServer(async (req, res) => {
  sent = [req.url, JSON.parse(Buffer.concat(await req.toArray()))];
  res.setHeader('content-type', 'application/json').end('{"ok":true,"result":{"message_id":3}}');
});
module.exports = (ctx, req, res) => api.listen(0, '127.0.0.1', async () => {
  const bot = new Telegraf('123:abc', { telegram: { apiRoot: `http://127.0.0.1:${api.address().port}` } });
  bot.botInfo = { id: 1, is_bot: true, username: 'hearth_bot', first_name: 'h' };
  bot.command('add', ctx => ctx.reply(String(ctx.args.reduce((a, n) => a + +n, 0))));
  const answer = { ...res, end: () => res.setHeader('content-type', 'application/json').end(JSON.stringify({ sent })) };
  await bot.webhookCallback('/hook')(req, answer, () => res.writeHead(404).end());
  api.close();
});
