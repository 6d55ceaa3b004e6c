module.exports = (ctx, cb) => {
  console.log('exercise', ctx.method);
  console.error('exercise %s', ctx.path);
  setImmediate(() => cb(null, ctx.body));
};
