const { Pool, MockAgent, fetch } = require('undici');
const http = require('node:http');
const server = http.createServer((req, res) => res.end(`${req.method} ${req.url}`));
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const pool = new Pool(`http://127.0.0.1:${server.address().port}`, { connections: 2 });
  const { statusCode, body } = await pool.request({ path: '/pipe', method: 'GET' });
  const texts = await Promise.all([1, 2, 3].map(async n => (await pool.request({ path: `/${n}`, method: 'GET' })).body.text()));
  const agent = new MockAgent();
  agent.disableNetConnect();
  agent.get('https://api.example').intercept({ path: '/v1' }).reply(200, { mocked: true });
  const mock = await (await fetch('https://api.example/v1', { dispatcher: agent })).json();
  const text = await body.text();
  await pool.close();
  server.close();
  return { body: { status: statusCode, body: text, mock, pool: texts.length } };
};
