const http = require('node:http');
const proxy = require('http-proxy').createProxyServer({});
module.exports = async () => {
  const origin = http.createServer((req, res) => res.end(`${req.headers['x-via']}: ${req.method} ${req.url} for ${req.headers['x-forwarded-host']}`));
  await new Promise(r => origin.listen(0, '127.0.0.1', r));
  proxy.on('proxyReq', r => r.setHeader('x-via', 'via proxy'));
  const front = http.createServer((req, res) => proxy.web(req, res, { target: `http://127.0.0.1:${origin.address().port}`, xfwd: true }));
  await new Promise(r => front.listen(0, '127.0.0.1', r));
  const res = await new Promise(r => http.get({ host: '127.0.0.1', port: front.address().port, path: '/x', headers: { host: 'origin.example' } }, r));
  const text = Buffer.concat(await res.toArray()).toString();
  front.close();
  origin.close();
  return text;
};
