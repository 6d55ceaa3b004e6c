const axios = require('axios');
const http = require('node:http');
const server = http.createServer((req, res) => {
  if (req.url === '/missing') return res.writeHead(404).end();
  const chunks = [];
  req.on('data', c => chunks.push(c)).on('end', () => res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({
    sent: JSON.parse(Buffer.concat(chunks)), auth: req.headers.authorization, q: decodeURIComponent(req.url.split('?')[1]),
  })));
});
module.exports = async ctx => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const api = axios.create({ baseURL: `http://127.0.0.1:${server.address().port}`, auth: { username: 'u', password: 'p' } });
  const { data } = await api.post('/x', ctx.body, { params: { x: 1, y: [2, 3] } });
  const err = await api.get('/missing').catch(e => e);
  server.close();
  return { ...data, retry: [err.code, err.response.status] };
};
