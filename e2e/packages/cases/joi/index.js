const Joi = require('joi');
const schema = Joi.object({ n: Joi.number().integer().max(10).required(), when: Joi.date().iso() });
module.exports = async () => ({
  value: schema.validate({ n: '5', when: '2024-01-01' }).value,
  message: schema.validate({ n: 11 }).error.message,
});
