const s = require('sodium-native');
module.exports = async () => {
  const hash = Buffer.alloc(32), short = Buffer.alloc(8), key = Buffer.alloc(32, 1), nonce = Buffer.alloc(24, 2);
  s.crypto_generichash(hash, Buffer.from('abc'));
  s.crypto_shorthash(short, Buffer.alloc(0), Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex'));
  const box = Buffer.alloc(18), opened = Buffer.alloc(2);
  s.crypto_secretbox_easy(box, Buffer.from('hi'), nonce, key);
  if (!s.crypto_secretbox_open_easy(opened, box, nonce, key)) throw new Error('not opened');
  return { hash: hash.toString('hex'), opened: String(opened), short: short.toString('hex') };
};
