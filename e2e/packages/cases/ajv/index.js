const Ajv = require('ajv');
const ajv = new Ajv({ allErrors: true, useDefaults: true });
require('ajv-formats')(ajv);
const check = ajv.compile({
  type: 'object', required: ['email'],
  properties: { email: { type: 'string', format: 'email' }, age: { type: 'integer', minimum: 18 }, land: { type: 'string', default: 'ch' } },
});
module.exports = async () => {
  const person = { email: 'a@b.ch', age: 18 };
  const good = check(person);
  check({ email: 'x', age: 3 });
  return { good, errors: check.errors.map(e => `${e.instancePath} ${e.message}`), filled: person.land };
};
