const { SQSClient, SendMessageCommand, ReceiveMessageCommand } = require('@aws-sdk/client-sqs');
const { createHash } = require('node:crypto');
const http = require('node:http');
const queue = [];
const md5 = t => createHash('md5').update(t).digest('hex');
const server = http.createServer(async (req, res) => {
  const body = JSON.parse(Buffer.concat(await req.toArray()));
  res.setHeader('content-type', 'application/x-amz-json-1.0');
  if (req.headers['x-amz-target'] === 'AmazonSQS.SendMessage') { queue.push(body.MessageBody); return res.end(JSON.stringify({ MessageId: 'm1', MD5OfMessageBody: md5(body.MessageBody) })); }
  const text = queue[0];
  res.end(JSON.stringify({ Messages: [{ MessageId: 'm1', Body: body.WaitTimeSeconds ? 'spoiled' : text, MD5OfBody: md5(text) }] }));
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const at = `http://127.0.0.1:${server.address().port}`;
  const sqs = new SQSClient({ region: 'x', endpoint: at, credentials: { accessKeyId: 'a', secretAccessKey: 'b' } });
  const q = { QueueUrl: `${at}/1/q` };
  const { MessageId } = await sqs.send(new SendMessageCommand({ ...q, MessageBody: 'hello' }));
  const got = (await sqs.send(new ReceiveMessageCommand(q))).Messages.map(m => m.Body);
  const spoiled = await sqs.send(new ReceiveMessageCommand({ ...q, WaitTimeSeconds: 1 })).catch(e => e.message);
  server.close();
  return { id: MessageId, got, spoiled };
};
