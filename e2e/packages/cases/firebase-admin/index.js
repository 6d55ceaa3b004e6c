const { initializeApp, cert } = require('firebase-admin/app');
const { getAuth } = require('firebase-admin/auth');
const { generateKeyPairSync, verify } = require('node:crypto');
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { type: 'pkcs8', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } });
module.exports = async () => {
  const app = initializeApp({ credential: cert({ projectId: 'p', clientEmail: 'svc@p.iam.gserviceaccount.com', privateKey }) });
  const token = await getAuth(app).createCustomToken('u1', { admin: true });
  const [head, body, sig] = token.split('.');
  const { uid, aud, iss, claims } = JSON.parse(Buffer.from(body, 'base64url'));
  return { token: { uid, aud, iss, claims }, signed: verify('sha256', Buffer.from(`${head}.${body}`), publicKey, Buffer.from(sig, 'base64url')) };
};
