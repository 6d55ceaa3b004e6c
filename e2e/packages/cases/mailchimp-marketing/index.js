const mailchimp = require('@mailchimp/mailchimp_marketing');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  sent = [req.method, req.url, req.headers.authorization.replace(Buffer.from('user:key-us1').toString('base64'), 'YW55c3RyaW5nOmtleS11czE='), JSON.parse(Buffer.concat(await req.toArray()))];
  res.setHeader('content-type', 'application/json').end('{"id":"m1"}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  mailchimp.setConfig({ apiKey: 'key-us1', server: 'us1' });
  mailchimp.lists.apiClient.basePath = `http://127.0.0.1:${server.address().port}/3.0`;
  const { id } = await mailchimp.lists.addListMember('l1', { email_address: 'a@b.ch', status: 'subscribed' });
  server.close();
  return { sent, id };
};
