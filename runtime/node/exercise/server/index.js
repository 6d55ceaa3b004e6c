const http = require('http');

module.exports = http.createServer((req, res) => {
  let text = '';
  req.on('data', (chunk) => { text += chunk; });
  req.on('end', () => res.writeHead(200, { a: 'b' }).end(text));
});
