const Sentry = require('@sentry/node');
const http = require('node:http');
let seen;
const server = http.createServer(async (req, res) => {
  const lines = String(Buffer.concat(await req.toArray())).split('\n').map(l => JSON.parse(l || 'null'));
  const event = lines[2];
  if (event?.exception) seen = { url: req.url.replace(/&sentry_client.*/, ''), type: lines[1].type, message: event.exception.values[0].value, tag: event.tags.t, crumb: event.breadcrumbs[0].message };
  res.end('{}');
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  Sentry.init({ dsn: `http://pub@127.0.0.1:${server.address().port}/42`, defaultIntegrations: false });
  Sentry.addBreadcrumb({ message: 'before' });
  Sentry.captureException(new Error('boom'), { tags: { t: 'x' } });
  await Sentry.flush(5000);
  server.close();
  return seen;
};
