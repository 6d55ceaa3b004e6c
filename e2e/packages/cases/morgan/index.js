const morgan = require('morgan');
const http = require('node:http');
module.exports = async () => {
  let line = '';
  const log = morgan(':method :url :status :res[content-length] ":user-agent"', { stream: { write: text => { line += text; } } });
  const server = http.createServer((req, res) => log(req, res, () => res.setHeader('content-length', 5).end('hello')));
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  await (await fetch(`http://127.0.0.1:${server.address().port}/x?y=1`, { headers: { 'user-agent': 'curl/8' } })).text();
  server.closeAllConnections();
  server.close();
  return line;
};
