const argon2 = require('argon2');
const known = '$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA';
module.exports = async () => ({
  ok: await argon2.verify(known, 'password'), no: await argon2.verify(known, 'passwort'),
  raw: (await argon2.hash('password', { type: argon2.argon2i, salt: Buffer.from('somesalt'), memoryCost: 65536, timeCost: 2, parallelism: 1, raw: true, hashLength: 32 })).toString('hex'),
});
