const { Bot } = require('grammy');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  sent = [req.url, JSON.parse(Buffer.concat(await req.toArray()))];
  res.setHeader('content-type', 'application/json').end('{"ok":true,"result":{"message_id":77}}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const bot = new Bot('123:abc', { client: { apiRoot: `http://127.0.0.1:${server.address().port}` }, botInfo: { id: 1, is_bot: true, first_name: 'h', username: 'h_bot' } });
  let id;
  bot.hears(/^h(.)/, async ctx => { id = (await ctx.reply(`you said ${ctx.message.text}`)).message_id; });
  await bot.handleUpdate({ update_id: 1, message: { message_id: 2, date: 0, chat: { id: 5, type: 'private' }, text: 'hi' } });
  server.close();
  return { sent, id };
};
