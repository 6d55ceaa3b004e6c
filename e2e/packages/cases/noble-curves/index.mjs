import { secp256k1 } from '@noble/curves/secp256k1.js';
import { ed25519 } from '@noble/curves/ed25519.js';
const un = s => new Uint8Array(Buffer.from(s, 'hex'));
const hex = b => Buffer.from(b).toString('hex');
export default async () => {
  const one = un('00'.repeat(31) + '01'), msg = un('68656c6c6f');
  const sig = secp256k1.sign(msg, one);
  return Response.json({
    g: hex(secp256k1.getPublicKey(one)), ok: secp256k1.verify(sig, msg, secp256k1.getPublicKey(one)), forged: secp256k1.verify(sig, un('00'), secp256k1.getPublicKey(one)),
    ed: hex(ed25519.getPublicKey(un('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb'))),
  });
};
