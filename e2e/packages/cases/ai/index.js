const { generateObject, jsonSchema } = require('ai');
const { createOpenAI } = require('@ai-sdk/openai');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  sent = [req.url, JSON.parse(Buffer.concat(await req.toArray())).model];
  res.setHeader('content-type', 'application/json').end(JSON.stringify({ id: 'c', created: 0, model: 'gpt-x', object: 'chat.completion', usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
    choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: '{"city":"Bern"}' } }] }));
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const openai = createOpenAI({ apiKey: 'k', baseURL: `http://127.0.0.1:${server.address().port}/v1` });
  const { object, usage } = await generateObject({ model: openai.chat('gpt-x'), prompt: 'where?', schema: jsonSchema({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false }) });
  server.close();
  return { sent, object, tokens: usage.totalTokens };
};
