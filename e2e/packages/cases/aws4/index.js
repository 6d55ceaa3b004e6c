const aws4 = require('aws4');
module.exports = async () => aws4.sign({ service: 'service', region: 'us-east-1', host: 'example.amazonaws.com', path: '/?Param2=value2&Param1=value1', headers: { 'X-Amz-Date': '20150830T123600Z' } },
  { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' }).headers.Authorization;
