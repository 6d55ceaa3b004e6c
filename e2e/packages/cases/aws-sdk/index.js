process.env.AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE = '1';
const AWS = require('aws-sdk');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  sent = [req.method, /\/x\/(\w+)\//.exec(req.headers.authorization)[1] === 'lambda' ? 'AWSLambda' : '?', req.url, String(Buffer.concat(await req.toArray()))];
  res.end('{"b":2}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const lambda = new AWS.Lambda({ region: 'x', endpoint: `http://127.0.0.1:${server.address().port}`, accessKeyId: 'a', secretAccessKey: 'b' });
  const { Payload } = await lambda.invoke({ FunctionName: 'f', Payload: '{"a":1}' }).promise();
  server.close();
  return { sent, payload: String(Payload), marshalled: AWS.DynamoDB.Converter.marshall({ n: 1 }) };
};
