const client = require('prom-client');
module.exports = async () => {
  const registry = new client.Registry();
  new client.Counter({ name: 'n', help: 'help', labelNames: ['a'], registers: [registry] }).inc({ a: 'b' }, 3);
  return registry.metrics();
};
