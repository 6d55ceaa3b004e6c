const Q = require('q');
module.exports = async () => ({
  all: await Q.all([1, Q.delay(5).thenResolve(2)]),
  states: (await Q.allSettled([1, Q.reject(new Error('no'))])).map(s => s.state),
  nodeify: await Q.nfcall((text, cb) => cb(null, text), '{"a":1}'),
});
