const s = require('libsodium-wrappers');
module.exports = async () => {
  await s.ready;
  const key = s.from_hex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f');
  const nonce = s.from_hex('404142434445464748494a4b4c4d4e4f5051525354555657'), ad = s.from_hex('50515253c0c1c2c3c4c5c6c7');
  const sealed = s.crypto_aead_xchacha20poly1305_ietf_encrypt("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.", ad, null, nonce, key);
  return {
    hash: s.crypto_generichash(32, 'abc', null, 'hex'), tag: s.to_hex(sealed.slice(-16)),
    opened: s.crypto_aead_xchacha20poly1305_ietf_decrypt(null, sealed, ad, nonce, key, 'text'),
  };
};
