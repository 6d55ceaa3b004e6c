const { Storage } = require('@google-cloud/storage');
const { generateKeyPairSync, verify } = require('node:crypto');
const http = require('node:http');
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { type: 'pkcs8', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } });
let saved, text;
const crc = b => { let c = ~0; for (const x of b) { c ^= x; for (let i = 0; i < 8; i++) c = (c >>> 1) ^ (c & 1 ? 0x82f63b78 : 0); } const out = Buffer.alloc(4); out.writeInt32BE(~c); return out.toString('base64'); };
const server = http.createServer(async (req, res) => {
  const body = String(Buffer.concat(await req.toArray()));
  if (req.url.startsWith('/upload')) {
    text = /\r\n\r\n(hello)\r\n/.exec(body)[1];
    saved = [/uploadType=(\w+)/.exec(req.url)[1], JSON.parse(/\{.*\}/.exec(body)[0]).name ?? /name=([^&]+)/.exec(req.url)[1], text];
    return res.setHeader('content-type', 'application/json').end(JSON.stringify({ name: 'o.txt', crc32c: crc(Buffer.from(text)) }));
  }
  res.setHeader('x-goog-hash', `crc32c=${crc(Buffer.from(text))}`).end(text);
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const open = new Storage({ apiEndpoint: `http://127.0.0.1:${server.address().port}`, projectId: 'p' });
  const file = open.bucket('b').file('o.txt');
  await file.save('hello', { resumable: false });
  const [read] = await file.download();
  const [url] = await new Storage({ projectId: 'p', credentials: { client_email: 'a@b', private_key: privateKey } }).bucket('b').file('o').getSignedUrl({ action: 'read', expires: 2000000000000 });
  const q = new URL(url).searchParams;
  server.close();
  return { saved, read: String(read), signed: verify('sha256', Buffer.from(`GET\n\n\n2000000000\n/b/o`), publicKey, Buffer.from(q.get('Signature'), 'base64')) };
};
