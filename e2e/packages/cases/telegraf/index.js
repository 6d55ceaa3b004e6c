const { Telegraf } = require('telegraf');
const http = require('node:http');
let sent;
const api = http.createServer(async (req, res) => {
  sent = [req.url, JSON.parse(Buffer.concat(await req.toArray()))];
  res.setHeader('content-type', 'application/json').end('{"ok":true,"result":{"message_id":3}}');
});
module.exports = async ctx => {
  await new Promise(r => api.listen(0, '127.0.0.1', r));
  const bot = new Telegraf('123:abc', { telegram: { apiRoot: `http://127.0.0.1:${api.address().port}` } });
  bot.botInfo = { id: 1, is_bot: true, username: 'hearth_bot', first_name: 'h' };
  bot.command('add', c => c.reply(String(c.args.reduce((a, n) => a + +n, 0))));
  await bot.handleUpdate(ctx.body);
  api.close();
  return { sent };
};
