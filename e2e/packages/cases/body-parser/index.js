const parse = require('body-parser').urlencoded({ extended: true });
module.exports = (ctx, req, res) => parse(req, res, err => res.setHeader('content-type', 'application/json').end(JSON.stringify(err ? String(err) : req.body)));
