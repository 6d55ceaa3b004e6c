const request = require('request');
const http = require('node:http');
const server = http.createServer((req, res) => {
  let b = '';
  req.on('data', d => { b += d; }).on('end', () => res.end(JSON.stringify({ url: req.url, auth: req.headers.authorization, json: JSON.parse(b) })));
});
module.exports = (ctx, cb) => server.listen(0, '127.0.0.1', () =>
  request.post({ url: `http://127.0.0.1:${server.address().port}/a`, qs: { q: 1 }, json: { n: 1 }, auth: { user: 'u', pass: 'p' } }, (err, res, got) => {
    server.close();
    cb(err, err ? undefined : { got, code: res.statusCode });
  }));
