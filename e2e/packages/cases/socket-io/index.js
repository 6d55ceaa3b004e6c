const { Server } = require('socket.io');
const { io } = require('socket.io-client');
const http = require('node:http').createServer();
module.exports = async () => {
  const server = new Server(http);
  server.on('connection', s => {
    s.on('ping', (n, ack) => ack(`pong ${n}`));
    s.on('join', ack => { s.join('r'); ack(); });
    s.on('say', text => server.to('r').emit('said', text));
  });
  await new Promise(r => http.listen(0, '127.0.0.1', r));
  const clients = [1, 2].map(() => io(`http://127.0.0.1:${http.address().port}`, { transports: ['websocket'], forceNew: true }));
  const ack = await clients[0].emitWithAck('ping', 7);
  await Promise.all(clients.map(c => c.emitWithAck('join')));
  const heard = clients.map((c, i) => new Promise(r => c.on('said', text => r(text[i]))));
  clients[1].emit('say', 'ab');
  const out = { ack, room: await Promise.all(heard), transports: clients[0].io.engine.transport.name };
  clients.forEach(c => c.close());
  server.close();
  return out;
};
