const { REST, Routes, EmbedBuilder, SlashCommandBuilder } = require('discord.js');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  sent = [req.method, req.url, req.headers.authorization, JSON.parse(Buffer.concat(await req.toArray()))];
  res.setHeader('content-type', 'application/json').end('{"id":"9"}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const rest = new REST({ api: `http://127.0.0.1:${server.address().port}`, version: '10' }).setToken('tok');
  const { id } = await rest.post(Routes.channelMessages('1'), { body: { content: 'hi', embeds: [new EmbedBuilder().setTitle('T').setColor(0x0000ff).toJSON()] } });
  const { name, options } = new SlashCommandBuilder().setName('ping').setDescription('d').addStringOption(o => o.setName('text').setDescription('t').setRequired(true)).toJSON();
  server.close();
  return { sent, id, command: { name, options: options.map(o => ({ type: o.type, name: o.name, required: o.required })) } };
};
