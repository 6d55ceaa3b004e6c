const request = require('superagent');
const http = require('node:http');
const server = http.createServer((req, res) => {
  let sent = '';
  req.on('data', d => { sent += d; }).on('end', () => res.writeHead(200, { 'content-type': 'application/json', 'set-cookie': 'id=5; Path=/' }).end(JSON.stringify({ url: req.url, sent, cookie: req.headers.cookie })));
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const agent = request.agent();
  const at = `http://127.0.0.1:${server.address().port}`;
  const one = await agent.post(`${at}/p`).type('form').query({ a: 1 }).query('b=2').send({ x: 1 }).send({ y: 2 });
  const two = await agent.get(at);
  server.close();
  return { type: one.type, query: one.body.url, sent: one.body.sent, agent: two.body.cookie };
};
