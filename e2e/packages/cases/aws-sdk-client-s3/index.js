const { S3Client, PutObjectCommand, GetObjectCommand, ListObjectsV2Command } = require('@aws-sdk/client-s3');
const { createHash, createHmac } = require('node:crypto');
const http = require('node:http');
const hmac = (k, t) => createHmac('sha256', k).update(t).digest();
const sha = t => createHash('sha256').update(t).digest('hex');
let stored, signed = true;
function verify(req) { // docs: Signature Version 4, "Create a signed request"
  const [, scope, names, sig] = /Credential=AKID\/(\S+), SignedHeaders=(\S+), Signature=(\w+)/.exec(req.headers.authorization);
  const [path, query = ''] = req.url.split('?');
  const canonical = [req.method, path, query.split('&').sort().join('&'), ...names.split(';').map(n => `${n}:${req.headers[n].trim()}`), '', names, req.headers['x-amz-content-sha256']].join('\n');
  const key = scope.split('/').reduce((k, part) => hmac(k, part), 'AWS4SECRET');
  signed &&= hmac(key, ['AWS4-HMAC-SHA256', req.headers['x-amz-date'], scope, sha(canonical)].join('\n')).toString('hex') === sig;
}
const server = http.createServer(async (req, res) => {
  const body = Buffer.concat(await req.toArray());
  verify(req);
  if (req.method === 'PUT') { stored = [decodeURIComponent(req.url.split('?')[0]), String(body), req.headers['content-type']]; return res.setHeader('etag', `"${createHash('md5').update(body).digest('hex')}"`).end(); }
  if (req.url.includes('list-type=2')) return res.end(`<ListBucketResult><Contents><Key>${stored[0].slice(8)}</Key></Contents></ListBucketResult>`);
  if (req.url.includes('missing')) return res.writeHead(404).end('<Error><Code>NoSuchKey</Code></Error>');
  res.end(stored[1]);
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const s3 = new S3Client({ region: 'eu-central-1', forcePathStyle: true, endpoint: `http://127.0.0.1:${server.address().port}`, credentials: { accessKeyId: 'AKID', secretAccessKey: 'SECRET' },
    requestChecksumCalculation: 'WHEN_REQUIRED' });
  const at = { Bucket: 'bucket', Key: 'a b.txt' };
  const { ETag } = await s3.send(new PutObjectCommand({ ...at, Body: 'hello', ContentType: 'text/plain' }));
  const text = await (await s3.send(new GetObjectCommand(at))).Body.transformToString();
  const keys = (await s3.send(new ListObjectsV2Command({ Bucket: 'bucket' }))).Contents.map(c => c.Key);
  const missing = await s3.send(new GetObjectCommand({ ...at, Key: 'missing' })).catch(e => e.name);
  server.close();
  return { body: { stored, signed, etag: ETag, body: text, keys, missing } };
};
