const { BlobServiceClient, StorageSharedKeyCredential } = require('@azure/storage-blob');
const { createHmac } = require('node:crypto');
const http = require('node:http');
const KEY = Buffer.from('secret').toString('base64');
let put, signed = true;
function verify(req) { // docs: Authorize with Shared Key
  const h = n => req.headers[n] ?? '';
  const url = new URL(req.url, 'http://x');
  const ms = Object.keys(req.headers).filter(k => k.startsWith('x-ms-')).sort().map(k => `${k}:${req.headers[k]}\n`).join('');
  const query = [...url.searchParams].sort().map(([k, v]) => `\n${k}:${v}`).join('');
  const text = [req.method, h('content-encoding'), h('content-language'), h('content-length').replace(/^0$/, ''), h('content-md5'), h('content-type'), '', '', '', '', '', h('range'), ''].join('\n') + ms + `/acc${url.pathname}${query}`;
  signed &&= req.headers.authorization === `SharedKey acc:${createHmac('sha256', Buffer.from(KEY, 'base64')).update(text).digest('base64')}`;
}
const server = http.createServer(async (req, res) => {
  const body = String(Buffer.concat(await req.toArray()));
  verify(req);
  if (req.method === 'PUT') { put = [req.method, req.url, req.headers['x-ms-blob-type'], body]; return res.writeHead(201).end(); }
  if (req.url.includes('comp=list')) return res.setHeader('content-type', 'application/xml').end('<EnumerationResults><Blobs><Blob><Name>a.txt</Name><Properties/></Blob></Blobs></EnumerationResults>');
  res.setHeader('etag', '"1"').setHeader('content-length', 5).end(put[3]);
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const box = new BlobServiceClient(`http://127.0.0.1:${server.address().port}/acc`, new StorageSharedKeyCredential('acc', KEY)).getContainerClient('box');
  const blob = box.getBlockBlobClient('a.txt');
  await blob.upload('hello', 5);
  const read = String(await blob.downloadToBuffer());
  const names = [];
  for await (const b of box.listBlobsFlat()) names.push(b.name);
  server.close();
  return { put, signed, read, names };
};
