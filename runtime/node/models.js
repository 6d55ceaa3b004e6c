'use strict';
// Which model a function has, told from what its module exports. The order of the rules is a
// promise to users: listen, fetch, three parameters, async, anything else that can be called.

const b = require('./builtins.js');
const { LoadError } = require('./errors.js');
const { door } = require('./server.js');
const { serve: serveFetch } = require('./fetch.js');
const { serve: serveParsed } = require('./parsed.js');
const { serveCallback, serveServer } = require('./stream.js');

const SHAPES = `The module exports nothing that Hearth can call. It takes:
  module.exports = cb => cb(null, result)
  module.exports = (ctx, cb) => cb(null, result)
  module.exports = (ctx, req, res) => res.end()
  module.exports = async ctx => ({status, headers, body})
  export default { async fetch(request, env, ctx) { return new Response() } }
  export default async (request, env, ctx) => new Response()
  module.exports = an Express, Koa, Fastify or http.Server (something with listen)`;

/**
 * Tells the model of exported, or takes the forced one. Returns the parts of a function that depend
 * on its model ({model, parsed, serve, …}) or a promise of them; throws a LoadError 'shape'.
 */
function detect(exported, forced) {
  let esm = b.types.isModuleNamespaceObject(exported);
  let v = exported;
  for (let i = 0; i < 2 && isObject(v) && b.hasOwn(v, 'default') && v.default !== undefined; i++) {
    esm ||= b.own(v, '__esModule') === true; // what compilers make of "export default"
    v = v.default;
    if (!isObject(v) || b.own(v, '__esModule') !== true) break;
  }
  if (!isObject(v)) throw none(v);
  if (b.types.isPromise(v)) return b.then(v, (app) => detect(app, forced));
  switch (forced || '') {
    case '': return tell(v, esm);
    case 'callback': return callable(v) ? callback(v) : misfit(forced, v);
    case 'promise': return callable(v) ? promise(v) : misfit(forced, v);
    case 'fetch': return typeof v.fetch === 'function' || callable(v) ? fetch(v) : misfit(forced, v);
    case 'server': return server(v) ?? misfit(forced, v);
    default: throw new LoadError('shape', new b.Error(`There is no model ${b.inspect(forced)}: callback, promise, fetch, server.`));
  }
}

function tell(v, esm) {
  if (typeof v.listen === 'function') {
    const found = server(v);
    if (found !== undefined) return found;
  }
  if (typeof v.fetch === 'function') return fetch(v);
  if (!callable(v)) throw none(v);
  if (esm) return fetch(v);
  if (v.length >= 3) return callback(v);
  return b.types.isAsyncFunction(v) ? promise(v) : callback(v);
}

function callback(fn) {
  if (fn.length >= 3) return { model: 'callback', parsed: false, serve: serveCallback, fn };
  return { model: 'callback', parsed: true, serve: serveParsed, fn, arity: fn.length, promise: false };
}

function promise(fn) {
  return { model: 'promise', parsed: true, serve: serveParsed, fn, arity: fn.length, promise: true };
}

function fetch(v) {
  const call = typeof v.fetch === 'function' ? (request, env, ctx) => v.fetch(request, env, ctx) : v;
  return { model: 'fetch', parsed: false, serve: serveFetch, fetch: call };
}

function server(v) {
  const found = door(v);
  if (found === undefined) return undefined;
  const made = (d) => ({ model: 'server', parsed: false, serve: serveServer, ...d });
  return b.types.isPromise(found) ? b.then(found, made) : made(found);
}

function isObject(v) {
  return (typeof v === 'object' && v !== null) || typeof v === 'function';
}

/** A function that can be called for a request: neither a class nor a generator. */
function callable(v) {
  return typeof v === 'function' && !b.types.isGeneratorFunction(v) && !b.startsWith(b.source(v), 'class');
}

function none(v) {
  return new LoadError('shape', new b.Error(`${SHAPES}\nIt exports ${b.inspect(v, { depth: 0 })}.`));
}

function misfit(forced, v) {
  throw new LoadError('shape', new b.Error(
    `The module does not export what "model": "${forced}" needs; it exports ${b.inspect(v, { depth: 0 })}.\n${SHAPES}`,
  ));
}

module.exports = { detect };
