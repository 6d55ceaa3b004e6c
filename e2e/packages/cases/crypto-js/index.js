const C = require('crypto-js');
const hex = C.enc.Hex;
module.exports = async () => ({
  aes: C.AES.encrypt(hex.parse('00112233445566778899aabbccddeeff'), hex.parse('000102030405060708090a0b0c0d0e0f'), { mode: C.mode.ECB, padding: C.pad.NoPadding }).ciphertext.toString(),
  hmac: C.HmacSHA256('what do ya want for nothing?', 'Jefe').toString(),
  passphrase: C.AES.decrypt(C.AES.encrypt('hi', 'key').toString(), 'key').toString(C.enc.Utf8),
});
