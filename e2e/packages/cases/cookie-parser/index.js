const parse = require('cookie-parser')('tobiiscool');
module.exports = (ctx, req, res) => parse(req, res, () =>
  res.setHeader('content-type', 'application/json').end(JSON.stringify({ cookies: req.cookies, signed: req.signedCookies })));
