const secp = require('secp256k1/bindings'); // not the fallback in JavaScript
module.exports = async () => {
  const one = Buffer.alloc(32);
  one[31] = 1;
  const g = secp.publicKeyCreate(one), { signature } = secp.ecdsaSign(Buffer.alloc(32, 7), one);
  return { g: Buffer.from(g).toString('hex'), ok: secp.ecdsaVerify(signature, Buffer.alloc(32, 7), g), forged: secp.ecdsaVerify(signature, Buffer.alloc(32, 8), g) };
};
