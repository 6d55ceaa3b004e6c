const helmet = require('helmet');
module.exports = (ctx, req, res) => helmet({ contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'self'"] } } })(req, res, () => {
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify({ hsts: res.getHeader('strict-transport-security'), frame: res.getHeader('x-frame-options'), csp: res.getHeader('content-security-policy') }));
});
