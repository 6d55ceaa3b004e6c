const { DynamoDBClient } = require('@aws-sdk/client-dynamodb');
const { DynamoDBDocumentClient, PutCommand, GetCommand } = require('@aws-sdk/lib-dynamodb');
const http = require('node:http');
let put;
const server = http.createServer(async (req, res) => {
  const body = JSON.parse(Buffer.concat(await req.toArray()));
  res.setHeader('content-type', 'application/x-amz-json-1.0');
  const op = req.headers['x-amz-target'];
  if (op === 'DynamoDB_20120810.PutItem' && put && body.ConditionExpression) return res.writeHead(400).end('{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}');
  if (op === 'DynamoDB_20120810.PutItem') { put = body; return res.end('{}'); }
  res.end(JSON.stringify({ Item: body.Key.id.S === '1' ? put.Item : undefined }));
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const db = DynamoDBDocumentClient.from(new DynamoDBClient({ region: 'x', endpoint: `http://127.0.0.1:${server.address().port}`, credentials: { accessKeyId: 'a', secretAccessKey: 'b' } }));
  await db.send(new PutCommand({ TableName: 't', Item: { id: '1', n: 2, tags: ['a'] } }));
  const { Item } = await db.send(new GetCommand({ TableName: 't', Key: { id: '1' } }));
  const error = await db.send(new PutCommand({ TableName: 't', Item: { id: '1' }, ConditionExpression: 'attribute_not_exists(id)' })).catch(e => e.name);
  server.close();
  return { put, item: Item, error };
};
