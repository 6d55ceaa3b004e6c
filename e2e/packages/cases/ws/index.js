const { WebSocketServer, WebSocket } = require('ws');
const http = require('node:http');
module.exports = async () => {
  const wss = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await new Promise(r => wss.on('listening', r));
  wss.on('connection', s => s.on('message', (m, binary) => (String(m) === 'bye' ? s.close(4001) : s.send(binary ? m : String(m).toUpperCase(), { binary }))));
  const port = wss.address().port;
  const accept = await new Promise(r => http.get({ host: '127.0.0.1', port, headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': 13, 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' } })
    .on('upgrade', (res, socket) => { socket.destroy(); r(res.headers['sec-websocket-accept']); })); // RFC 6455, 1.3
  const ws = new WebSocket(`ws://127.0.0.1:${port}`);
  await new Promise(r => ws.on('open', r));
  const say = m => new Promise(r => { ws.once('message', r); ws.send(m); });
  const echo = String(await say('hello'));
  const binary = [...await say(Buffer.from([1, 2, 3]))];
  const code = await new Promise(r => { ws.on('close', r); ws.send('bye'); });
  wss.close();
  return { echo, binary, code, accept };
};
