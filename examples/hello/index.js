// Called with GET, or with anything else; try ?name=you.
module.exports = (ctx, cb) => cb(null, {hello: ctx.query.name || 'world'})
