'use strict';
// What the host asks of the shim itself, on its own socket. JSON but for code.
//   GET  /ping                          {"loaded": ["f/3"]}: the event loop is alive
//   GET  /exercise                      [{"version", "method", "path", "body", "type"}] to be called
//   POST /load {"function", "version"}  {"model", "parsed"}, or 422 {"reason", "message", "stack"}
//   GET  /exercise/second               the same, to be called when nobody waits
//   POST /preload {"modules", "names"}  {"loaded", "took", "left"}: packages, ahead of any version
//   POST /strip TypeScript              the same without types, or 422 {"message"}. A version that
//                                       is written so has "stripped": true in its manifest

const b = require('./builtins.js');
const errors = require('./errors.js');
const exercise = require('./exercise.js');
const logs = require('./logs.js');
const { enter } = require('./context.js');
const { load, list, entry } = require('./load.js');
const { preload: preloadPackages } = require('./preload.js');
const { strip } = require('./typescript.js');

const MAX_BODY = 256 << 10; // characters of a request's body: 500 names of packages
const MAX_CODE = 16 << 20; // bytes of a file to be stripped: the host takes no longer code
const CHECK_MS = 3000; // the most that Node.js may take to point at a syntax error

/** Answers one request of the host. */
function handle(req, res) {
  switch (`${req.method} ${req.url}`) {
    case 'GET /ping': return reply(res, 200, { loaded: list() });
    case 'GET /exercise': return reply(res, 200, exercise.list(false));
    case 'GET /exercise/second': return reply(res, 200, exercise.list(true));
    case 'POST /load': return body(req, res, (doc) => preload(res, `${doc.function}`, `${doc.version}`));
    case 'POST /preload': return body(req, res, (doc) => {
      b.then(preloadPackages(doc.modules, doc.names), (done) => reply(res, 200, done), (err) => reply(res, 422, { message: `${err}` }));
    });
    case 'POST /strip': return code(req, res);
    default: return reply(res, 404, { message: 'no such call' });
  }
}

function reply(res, status, doc) {
  if (res.headersSent) return;
  const text = b.stringify(doc);
  b.writeHead(res, status, ['content-type', 'application/json', 'content-length', b.byteLength(text)]);
  b.end(res, text);
}

function body(req, res, done) {
  let text = '';
  b.readableOn(req, 'data', (chunk) => { if (text.length < MAX_BODY) text += chunk; });
  b.readableOn(req, 'end', () => {
    let doc;
    try {
      doc = b.parse(text);
    } catch (err) {
      return reply(res, 400, { message: err.message });
    }
    return done(doc);
  });
}

/** Says what a TypeScript file is without its types; see typescript.js. */
function code(req, res) {
  const chunks = [];
  let size = 0;
  b.readableOn(req, 'data', (chunk) => {
    size += chunk.length;
    if (size <= MAX_CODE) b.push(chunks, chunk);
  });
  b.readableOn(req, 'end', () => {
    let text;
    try {
      if (size > MAX_CODE) throw new b.RangeError('the file is too long');
      text = strip(b.bufferString(b.bufferConcat(chunks), 'utf8'));
    } catch (err) {
      return reply(res, 422, { message: `${err?.message}` });
    }
    b.writeHead(res, 200, ['content-type', 'text/javascript', 'content-length', b.byteLength(text)]);
    return b.end(res, text);
  });
}

/** Loads a version as a request would; what it prints meanwhile belongs to no request. */
function preload(res, name, version) {
  const done = (f) => reply(res, 200, { model: f.model, parsed: f.parsed });
  const failed = (err) => explain(name, version, err, (stack) => {
    reply(res, 422, { reason: err.reason, message: err.message, stack });
  });
  const x = {
    name,
    version,
    id: '',
    res: null,
    fail(reason, err) { errors.fail(x, reason, err); },
    complain(level, text, value) {
      logs.frame(2, level, x, value === undefined ? text : text + logs.describe(value));
    },
    crashed(err, quit) {
      b.on(res, 'close', quit);
      b.setTimeout(quit, 100);
      failed(new errors.LoadError('load', err));
    },
  };
  enter(x, () => {
    try {
      const f = load(name, version);
      if (b.types.isPromise(f)) b.then(f, done, failed);
      else done(f);
    } catch (err) {
      failed(err);
    }
  });
}

/**
 * Calls done with the stack of err. An ES module's syntax error doesn't say where it is except on
 * the standard error of a Node.js that was told to check the file, so one is told to.
 */
function explain(name, version, err, done) {
  const file = entry(name, version);
  if (err.reason !== 'syntax' || file === undefined || b.indexOf(err.stack, file) >= 0) return done(err.stack);
  const { execFile } = require('node:child_process'); // only a deploy needs it
  return execFile(process.execPath, ['--check', file], { __proto__: null, timeout: CHECK_MS }, (failure, out, text) => {
    const end = b.indexOf(text, '\n    at ');
    done(failure === null || b.indexOf(text, file) < 0 ? err.stack : end < 0 ? text : b.slice(text, 0, end));
  });
}

module.exports = { handle };
