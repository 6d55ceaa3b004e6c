const { S3RequestPresigner } = require('@aws-sdk/s3-request-presigner');
const { S3Client } = require('@aws-sdk/client-s3');
module.exports = async () => {
  const client = new S3Client({ region: 'us-east-1', credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' } });
  const { query } = await new S3RequestPresigner({ ...client.config }).presign(
    { method: 'GET', protocol: 'https:', hostname: 'examplebucket.s3.amazonaws.com', path: '/test.txt', query: {}, headers: { host: 'examplebucket.s3.amazonaws.com' } },
    { expiresIn: 86400, signingDate: new Date('2013-05-24T00:00:00Z') });
  return { expires: query['X-Amz-Expires'], signature: query['X-Amz-Signature'] };
};
