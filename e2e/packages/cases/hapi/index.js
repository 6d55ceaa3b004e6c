const Hapi = require('@hapi/hapi');
const server = Hapi.server();
server.route({ method: 'GET', path: '/double/{n}', options: { validate: { query: v => { if (v.bad) throw new Error('bad'); return v; } } },
  handler: r => ({ n: r.params.n * 2 }) });
module.exports = async () => {
  const bad = await server.inject('/double/2?bad=1');
  return { ...(await server.inject('/double/2')).result, bad: [bad.statusCode, bad.result.message] };
};
