import got from 'got';
import http from 'node:http';
let tries = 0;
const server = http.createServer((req, res) => {
  if (req.url === '/gone') return res.writeHead(410).end();
  tries++;
  res.writeHead(tries < 3 ? 503 : 200).end('{"ok":1}');
});
export default async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const api = got.extend({ prefixUrl: `http://127.0.0.1:${server.address().port}`, retry: { limit: 3, calculateDelay: ({ computedValue }) => computedValue && 1 } });
  const body = await api('x').json();
  const error = await api('gone').catch(e => e.code);
  server.close();
  return Response.json({ tries, body, error });
};
