const app = require('fastify')();
app.addHook('onRequest', async req => { req.hooks = ['onRequest']; });
app.post('/items', {
  schema: { querystring: { type: 'object', properties: { limit: { type: 'integer' } } }, body: { type: 'object', properties: { name: { type: 'string' } } } },
}, async req => ({ limit: req.query.limit, body: req.body, hooks: req.hooks })); // Ajv coerces both
module.exports = app;
