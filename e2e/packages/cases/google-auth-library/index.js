const { JWT, OAuth2Client } = require('google-auth-library');
const { generateKeyPairSync, verify } = require('node:crypto');
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { type: 'pkcs8', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } });
let form;
const transport = async o => { // instead of https://oauth2.googleapis.com/token
  form = new URLSearchParams(o.data);
  return { data: { access_token: 'tok', expires_in: 60, token_type: 'Bearer' } };
};
module.exports = async () => {
  const jwt = new JWT({ email: 'a@b', key: privateKey, scopes: ['s1', 's2'] });
  jwt.transporter = { request: transport, defaults: {}, interceptors: { request: { add() {} }, response: { add() {} } } };
  const headers = await jwt.getRequestHeaders();
  const [h, b, s] = form.get('assertion').split('.');
  const { iss, scope } = JSON.parse(Buffer.from(b, 'base64url'));
  return {
    grant: form.get('grant_type'), assertion: { iss, scope, signed: verify('sha256', Buffer.from(`${h}.${b}`), publicKey, Buffer.from(s, 'base64url')) },
    token: (headers.get?.('authorization') ?? headers.Authorization).slice(7), url: new OAuth2Client('id', 'secret', 'http://x').generateAuthUrl({ access_type: 'offline', scope: 'email' }),
  };
};
