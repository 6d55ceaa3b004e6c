const Anthropic = require('@anthropic-ai/sdk');
const http = require('node:http');
let sent, retried = 0;
const server = http.createServer(async (req, res) => {
  const body = JSON.parse(Buffer.concat(await req.toArray()));
  if (retried++ === 0) return res.writeHead(529, { 'retry-after-ms': '1' }).end('{}');
  sent = [req.url, req.headers['x-api-key'], req.headers['anthropic-version'], body.messages];
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  const say = data => res.write(`event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`);
  say({ type: 'message_start', message: { id: 'm', type: 'message', role: 'assistant', content: [], usage: { input_tokens: 1, output_tokens: 1 } } });
  say({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } });
  for (const text of ['Hel', 'lo']) say({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } });
  say({ type: 'content_block_stop', index: 0 });
  say({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 2 } });
  say({ type: 'message_stop' });
  res.end();
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const client = new Anthropic({ apiKey: 'key', baseURL: `http://127.0.0.1:${server.address().port}` });
  const message = await client.messages.stream({ model: 'claude', max_tokens: 5, messages: [{ role: 'user', content: 'hi' }] }).finalMessage();
  server.close();
  return { sent, text: message.content[0].text, stop: message.stop_reason, retried };
};
