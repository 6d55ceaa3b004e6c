const h = require('hash-wasm');
module.exports = async () => ({
  blake3: await h.blake3('abc'), crc32: await h.crc32('123456789'), xxh64: await h.xxhash64(''),
  argon: await h.argon2Verify({ password: 'password', hash: '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc' }) ? 'ok' : 'wrong',
});
