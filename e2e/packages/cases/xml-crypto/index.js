const { SignedXml } = require('xml-crypto');
const { generateKeyPairSync } = require('node:crypto');
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048, publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } });
const C14N = 'http://www.w3.org/2001/10/xml-exc-c14n#';
const check = xml => {
  const s = new SignedXml({ publicCert: publicKey });
  s.loadSignature(/<Signature.*<\/Signature>/s.exec(xml)[0]);
  try { return s.checkSignature(xml); } catch { return false; }
};
module.exports = async () => {
  const s = new SignedXml({ privateKey, canonicalizationAlgorithm: C14N, signatureAlgorithm: 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256' });
  s.addReference({ xpath: "//*[local-name(.)='pay']", digestAlgorithm: 'http://www.w3.org/2001/04/xmlenc#sha256', transforms: [C14N] });
  s.computeSignature('<order><pay>10</pay></order>');
  const xml = s.getSignedXml();
  return { digest: /DigestMethod Algorithm="[^"]*#(\w+)/.exec(xml)[1].toUpperCase(), valid: check(xml), tampered: check(xml.replace('>10<', '>99<')) };
};
