const { SignatureV4 } = require('@smithy/signature-v4');
const { HttpRequest } = require('@smithy/protocol-http');
const { Sha256 } = require('@aws-crypto/sha256-js');
module.exports = async () => {
  const signer = new SignatureV4({ service: 'service', region: 'us-east-1', sha256: Sha256, applyChecksum: false, credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' } });
  const request = new HttpRequest({ method: 'GET', hostname: 'example.amazonaws.com', path: '/', headers: { host: 'example.amazonaws.com' } });
  return (await signer.sign(request, { signingDate: new Date('2015-08-30T12:36:00Z') })).headers.authorization;
};
