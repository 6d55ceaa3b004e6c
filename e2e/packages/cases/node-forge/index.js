const forge = require('node-forge');
const { X509Certificate } = require('node:crypto');
module.exports = async () => {
  const keys = forge.pki.rsa.generateKeyPair({ bits: 1024, workers: 0 });
  const cert = forge.pki.createCertificate();
  cert.publicKey = keys.publicKey;
  cert.serialNumber = '01';
  cert.validity.notAfter.setFullYear(cert.validity.notBefore.getFullYear() + 1);
  cert.setSubject([{ name: 'commonName', value: 'hearth.example' }]);
  cert.setIssuer([{ name: 'commonName', value: 'hearth.example' }]);
  cert.sign(keys.privateKey, forge.md.sha256.create());
  const x509 = new X509Certificate(forge.pki.certificateToPem(cert));
  return {
    md5: forge.md.md5.create().update('abc').digest().toHex(),
    pbkdf2: forge.util.bytesToHex(forge.pkcs5.pbkdf2('password', 'salt', 1, 20)),
    subject: x509.subject, verified: x509.verify(x509.publicKey),
  };
};
