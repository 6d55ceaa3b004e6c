const errors = require('restify-errors');
module.exports = async () => {
  const err = new errors.ResourceNotFoundError({ cause: new Error('disk') }, 'no such order');
  return { json: err.toJSON(), code: err.statusCode, cause: err.cause().message };
};
