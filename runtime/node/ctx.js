'use strict';
// The fields of ctx, the first argument of the callback and promise models.

const b = require('./builtins.js');
const { parseQuery } = require('./body.js');

/** Puts the fields of exchange x of function f on target, which is returned. */
function fill(target, f, x, body, raw) {
  const { req } = x;
  const { url } = req;
  const mark = b.indexOf(url, '?');
  const query = mark < 0 ? b.create(null)
    : parseQuery(b.slice(url, mark + 1), undefined, undefined, { __proto__: null, maxKeys: 0 });
  target.body = body;
  target.rawBody = raw;
  target.query = query;
  target.params = merge(query, body);
  target.headers = req.headers;
  target.method = req.method;
  target.path = mark < 0 ? url : b.slice(url, 0, mark);
  target.secrets = f.secrets;
  target.config = f.config;
  target.meta = f.meta(x);
  target.requestId = x.id;
  target.signal = x.signal; // made here: an accessor that makes it later costs ten times as much
  return target;
}

/** The query's parameters and, over them, the fields of a body that is an object. */
function merge(query, body) {
  if (body === null || typeof body !== 'object' || b.isArray(body) || b.types.isUint8Array(body)) return query;
  return { __proto__: null, ...query, ...body };
}

module.exports = { fill };
