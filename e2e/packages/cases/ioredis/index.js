const Redis = require('ioredis');
const net = require('node:net');
const data = new Map(), subscribers = [];
const bulk = s => (s == null ? '$-1\r\n' : `$${Buffer.byteLength(s)}\r\n${s}\r\n`);
const list = a => `*${a.length}\r\n${a.map(x => (typeof x === 'number' ? `:${x}\r\n` : bulk(x))).join('')}`;
const commands = { // of RESP2, as redis.io's protocol specification has it
  SET: (k, v) => (data.set(k, v), '+OK\r\n'), GET: k => bulk(data.get(k)),
  INCRBY: (k, n) => { if (!/^\d*$/.test(data.get(k) ?? '')) return '-ERR value is not an integer or out of range\r\n'; data.set(k, String(+(data.get(k) ?? 0) + +n)); return `:${data.get(k)}\r\n`; },
  LPUSH: (k, ...v) => { data.set(k, [...v.reverse(), ...(data.get(k) ?? [])]); return `:${data.get(k).length}\r\n`; },
  LRANGE: k => list(data.get(k) ?? []),
  PUBLISH: (ch, m) => { subscribers.forEach(s => s.write(list(['message', ch, m]))); return `:${subscribers.length}\r\n`; },
};
const server = net.createServer(socket => {
  let buf = '';
  socket.on('error', () => {}).on('data', d => {
    for (buf += d; ;) {
      const parts = buf.split('\r\n'), n = +parts[0].slice(1);
      if (!buf || parts.length < 2 * n + 2) return;
      const [name, ...args] = parts.slice(1, 2 * n + 1).filter((_, i) => i % 2);
      buf = parts.slice(2 * n + 1).join('\r\n');
      if (/^subscribe$/i.test(name)) { subscribers.push(socket); socket.write(list(['subscribe', args[0], 1])); continue; }
      socket.write(commands[name.toUpperCase()]?.(...args) ?? '-ERR unknown command\r\n');
    }
  });
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const open = () => new Redis({ port: server.address().port, host: '127.0.0.1', enableReadyCheck: false, disableClientInfo: true });
  const r = open(), sub = open();
  await r.set('k', 'é1');
  await r.incrby('n', 5);
  await sub.subscribe('ch');
  const heard = new Promise(ok => sub.on('message', (_, m) => ok(m)));
  await r.publish('ch', 'hello');
  await r.lpush('l', 'a', 'b');
  const out = { got: await r.get('k'), n: await r.incrby('n', 10), list: await r.lrange('l', 0, -1), error: await r.incrby('k', 1).catch(e => e.message), heard: await heard,
    many: await r.pipeline().set('x', 2).get('x').exec() };
  r.disconnect();
  sub.disconnect();
  server.close();
  return out;
};
