const fetch = require('node-fetch');
const http = require('node:http');
const zlib = require('node:zlib');
const server = http.createServer((req, res) => {
  if (req.url === '/gz') return res.writeHead(200, { 'content-encoding': 'gzip' }).end(zlib.gzipSync('zipped'));
  if (req.url === '/loop') return res.writeHead(302, { location: '/loop' }).end();
  let b = '';
  req.on('data', d => { b += d; }).on('end', () => res.end(JSON.stringify({ m: req.method, b })));
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const at = `http://127.0.0.1:${server.address().port}`;
  const out = {
    json: await (await fetch(at, { method: 'POST', body: new URLSearchParams({ a: 1 }) })).json(),
    gz: await (await fetch(`${at}/gz`)).text(),
    loop: await fetch(`${at}/loop`, { follow: 3 }).catch(e => e.type),
  };
  server.close();
  return out;
};
