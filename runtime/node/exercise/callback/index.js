module.exports = (cb) => cb(null, { a: cb.query.a });
