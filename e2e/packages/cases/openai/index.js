const OpenAI = require('openai');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  const body = JSON.parse(Buffer.concat(await req.toArray()));
  if (body.model === 'busy') return res.writeHead(429, { 'content-type': 'application/json' }).end('{"error":{"message":"slow down"}}');
  sent = [req.url, req.headers.authorization, body.model, body.stream];
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const text of ['Hello', ' world']) res.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: text } }] })}\n\n`);
  res.end('data: [DONE]\n\n');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const ai = new OpenAI({ apiKey: 'sk-1', baseURL: `http://127.0.0.1:${server.address().port}/v1`, maxRetries: 0 });
  const ask = model => ai.chat.completions.create({ model, stream: true, messages: [{ role: 'user', content: 'hi' }] });
  let text = '';
  for await (const part of await ask('gpt-x')) text += part.choices[0].delta.content;
  const limited = await ask('busy').catch(e => [e.constructor.name, e.status]);
  server.close();
  return { sent, text, limited };
};
