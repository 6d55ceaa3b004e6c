const push = require('web-push');
const c = require('node:crypto');
const hkdf = (salt, ikm, info, n) => Buffer.from(c.hkdfSync('sha256', ikm, salt, info, n));
module.exports = async () => {
  const ua = c.createECDH('prime256v1'), auth = c.randomBytes(16), vapid = push.generateVAPIDKeys();
  ua.generateKeys();
  const { body, headers } = push.generateRequestDetails({ endpoint: 'https://push.example/1', keys: { p256dh: ua.getPublicKey('base64url'), auth: auth.toString('base64url') } }, 'hello',
    { vapidDetails: { subject: 'mailto:a@b.ch', ...vapid } });
  const salt = body.subarray(0, 16), as = body.subarray(21, 86), sealed = body.subarray(86);
  const ikm = hkdf(auth, ua.computeSecret(as), Buffer.concat([Buffer.from('WebPush: info\0'), ua.getPublicKey(), as]), 32);
  const d = c.createDecipheriv('aes-128-gcm', hkdf(salt, ikm, 'Content-Encoding: aes128gcm\0', 16), hkdf(salt, ikm, 'Content-Encoding: nonce\0', 12));
  d.setAuthTag(sealed.subarray(-16));
  const text = Buffer.concat([d.update(sealed.subarray(0, -16)), d.final()]).toString().replace('\x02', '');
  const [, h, b, s] = /t=([^.]+)\.([^.]+)\.([^,]+)/.exec(headers.Authorization);
  const raw = Buffer.from(vapid.publicKey, 'base64url');
  const key = c.createPublicKey({ format: 'jwk', key: { kty: 'EC', crv: 'P-256', x: raw.subarray(1, 33).toString('base64url'), y: raw.subarray(33).toString('base64url') } });
  const { aud, sub } = JSON.parse(Buffer.from(b, 'base64url'));
  return { text, encoding: headers['Content-Encoding'], vapid: [headers.Authorization.slice(0, 7), aud, sub, c.verify('sha256', `${h}.${b}`, { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(s, 'base64url'))] };
};
