const jose = require('jose');
const jwk = { kty: 'OKP', crv: 'Ed25519', d: 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' };
module.exports = async () => {
  const key = await jose.importJWK(jwk, 'EdDSA');
  const pub = await jose.importJWK({ ...jwk, d: undefined }, 'EdDSA');
  const jws = await new jose.CompactSign(Buffer.from('Example of Ed25519 signing')).setProtectedHeader({ alg: 'EdDSA' }).sign(key);
  const jwe = await new jose.CompactEncrypt(Buffer.from('secret')).setProtectedHeader({ alg: 'dir', enc: 'A256GCM' }).encrypt(new Uint8Array(32));
  return {
    text: Buffer.from((await jose.compactVerify(jws, pub)).payload).toString(), jws, thumb: await jose.calculateJwkThumbprint(jwk),
    jwe: Buffer.from((await jose.compactDecrypt(jwe, new Uint8Array(32))).plaintext).toString(),
  };
};
