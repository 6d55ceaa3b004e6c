const { WebClient } = require('@slack/web-api');
const http = require('node:http');
let sent;
const server = http.createServer(async (req, res) => {
  const body = new URLSearchParams(String(Buffer.concat(await req.toArray())));
  const out = {
    '/api/chat.postMessage': () => { sent = [req.url, req.headers.authorization, decodeURIComponent(body)]; return { ok: true, ts: '1.2' }; },
    '/api/users.list': () => (body.get('cursor') ? { ok: true, members: ['b'] } : { ok: true, members: ['a'], response_metadata: { next_cursor: 'n' } }),
  }[req.url] ?? (() => ({ ok: false, error: 'channel_not_found' }));
  res.setHeader('content-type', 'application/json').end(JSON.stringify(out()));
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const slack = new WebClient('xoxb-1', { slackApiUrl: `http://127.0.0.1:${server.address().port}/api/` });
  const { ts } = await slack.chat.postMessage({ channel: 'C1', text: 'hi', blocks: [{ type: 'divider' }] });
  const pages = [];
  for await (const page of slack.paginate('users.list', { limit: 1 })) pages.push(...page.members);
  const error = await slack.conversations.info({ channel: 'x' }).catch(e => e.data.error);
  server.close();
  return { sent, ts, pages, error };
};
