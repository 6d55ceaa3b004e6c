import fetch, { Blob, FormData, File } from 'node-fetch';
import http from 'node:http';
const server = http.createServer((req, res) => { req.resume(); res.writeHead(418, { 'x-type': req.headers['content-type'] ?? '' }).end('hi'); });
export default async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const form = new FormData();
  form.set('f', new File([new Blob(['x'])], 'x.txt'));
  const res = await fetch(`http://127.0.0.1:${server.address().port}`, { method: 'POST', body: form });
  const blob = Buffer.from(await (await res.blob()).arrayBuffer()).toString('base64');
  server.close();
  return Response.json({ blob, form: res.headers.get('x-type').split(';')[0], status: res.status });
};
