const cors = require('cors')({ origin: ['https://app.example'], methods: 'GET,PUT' });
const ask = origin => new Promise(resolve => {
  const got = {};
  const res = { setHeader: (k, v) => { got[k] = v; }, getHeader: k => got[k], end: () => resolve([res.statusCode, got['Access-Control-Allow-Origin'] ?? null, got['Access-Control-Allow-Methods']]) };
  cors({ method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'PUT' } }, res, () => resolve(['next']));
});
module.exports = async ctx => [...await ask(ctx.headers.origin), (await ask('https://evil.example'))[1]];
