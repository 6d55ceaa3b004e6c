const nacl = require('tweetnacl');
const hex = b => Buffer.from(b).toString('hex');
const un = s => new Uint8Array(Buffer.from(s, 'hex'));
module.exports = async () => {
  const k = nacl.sign.keyPair.fromSeed(un('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb'));
  const n = new Uint8Array(24), key = new Uint8Array(32);
  return {
    sig: hex(nacl.sign.detached(un('72'), k.secretKey)), pub: hex(k.publicKey),
    shared: hex(nacl.scalarMult(un('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'), un('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f'))),
    box: Buffer.from(nacl.secretbox.open(nacl.secretbox(Buffer.from('hi'), n, key), n, key)).toString(),
  };
};
