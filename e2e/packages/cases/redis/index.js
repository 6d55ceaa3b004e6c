const { createClient } = require('redis');
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
  const r = createClient({ url: `redis://127.0.0.1:${server.address().port}`, disableClientInfo: true });
  const sub = r.duplicate();
  await Promise.all([r.connect(), sub.connect()]);
  await r.set('k', 'é1');
  await r.incrBy('n', 5);
  let told;
  const heard = new Promise(ok => { told = ok; });
  await sub.subscribe('ch', m => told(m));
  await r.publish('ch', 'hello');
  await r.lPush('l', ['a', 'b']);
  const out = { got: await r.get('k'), n: await r.incrBy('n', 10), list: await r.lRange('l', 0, -1), error: await r.incrBy('k', 1).catch(e => e.message), heard: await heard };
  r.destroy();
  sub.destroy();
  server.close();
  return out;
};
