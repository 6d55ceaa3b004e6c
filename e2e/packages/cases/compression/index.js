const express = require('express');
const zlib = require('node:zlib');
const app = express();
app.use(require('compression')());
app.get('/big', (req, res) => res.type('text').send('hearth'.repeat(10000)));
module.exports = async () => {
  const server = app.listen(0, '127.0.0.1');
  await new Promise(r => server.on('listening', r));
  const res = await new Promise(r => require('node:http').get({ port: server.address().port, host: '127.0.0.1', path: '/big', headers: { 'accept-encoding': 'gzip' } }, r));
  const raw = Buffer.concat(await res.toArray());
  server.close();
  return { encoding: res.headers['content-encoding'], vary: res.headers.vary, bytes: zlib.gunzipSync(raw).length, small: raw.length < 1000 };
};
