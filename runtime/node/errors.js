'use strict';
// Failures: what the caller gets, what the log gets, and what ends the process.
//
// A failure that belongs to one request (a throw, a rejection of what the function returned, an
// error given to the callback, a throw in a listener of its request) fails that request alone.
// What nobody can catch any more (a throw in a timer, a rejection that nobody handles) leaves the
// function's state unknown, so, as with plain Node.js and the big clouds, it ends the process: the
// request that it belongs to is answered 500, the others get 502 from the host, and the container
// gets a fresh instance. A function that handles 'uncaughtException' itself goes on.

const b = require('./builtins.js');
const { current } = require('./context.js');
const logs = require('./logs.js');

const FLUSH_MS = 100; // the most that the last answer may take before the process ends
const OUTCOME = { __proto__: null, load: 'load-error', syntax: 'load-error', shape: 'no-shape' };

/** A version that cannot be used. reason: syntax, load or shape. */
class LoadError extends Error {
  constructor(reason, cause) {
    super(text(cause, 'message') ?? logs.describe(cause));
    this.reason = reason;
    this.cause = cause;
    this.stack = text(cause, 'stack') ?? this.message;
  }
}

/** Reads a property of a thrown value, which may be null, a proxy or worse. */
function peek(value, key) {
  try {
    return value === null || value === undefined ? undefined : value[key];
  } catch {
    return undefined;
  }
}

function text(value, key) {
  const v = peek(value, key);
  return typeof v === 'string' ? v : undefined;
}

/** Answers exchange x with an application/problem+json document. */
function problem(x, status, fields, outcome) {
  x.settled = true;
  const body = b.stringify({ type: 'about:blank', ...fields, instance: x.id });
  const headers = ['content-type', 'application/problem+json', 'content-length', b.byteLength(body),
    'hearth-timing', x.timing()];
  if (outcome !== undefined) b.push(headers, 'hearth-outcome', outcome);
  const res = x.res;
  try {
    const names = b.getHeaderNames(res);
    for (let i = 0; i < names.length; i++) b.removeHeader(res, names[i]);
    res.sendDate = false;
    b.writeHead(res, status, headers);
    b.end(res, body);
  } catch (err) { // somebody broke Node.js itself; the host must not wait for an answer
    x.complain('error', logs.describe(err));
    b.destroy(res);
  }
}

/**
 * Answers exchange x because the function failed, and logs why. With the reason 'answer' it is the
 * answer itself that cannot be sent; any other failure that comes after an answer is only logged.
 */
function fail(x, reason, err) {
  const { res } = x;
  const late = x.expired || (x.settled && reason !== 'answer') || (res !== null && res.writableEnded);
  const cause = err instanceof LoadError && reason !== 'shape' ? err.cause : err;
  x.complain('error', (late ? 'the function failed after its answer: ' : '')
    + logs.describe(reason === 'shape' ? err.message : cause));
  if (res === null) x.unanswered?.();
  if (res === null || late) return;
  if (res.headersSent) { // a cut connection is the only way left to say that the answer is broken
    x.settled = true;
    b.destroy(res);
    return;
  }
  const exposed = peek(err, 'expose') === true;
  let status = 500;
  if (exposed) {
    const s = peek(err, 'status') ?? peek(err, 'statusCode');
    if (b.isInteger(s) && s >= 400 && s <= 599) status = s;
  }
  problem(x, status, {
    title: 'Function error',
    status,
    detail: (exposed ? text(err, 'message') : undefined) ?? 'The function failed.',
    code: 'function_error',
    component: 'code',
    reason: reason === 'syntax' ? 'load' : reason,
  }, x.leaving ? 'exit' : OUTCOME[reason] ?? 'error');
}

/** Ends the process, once x (if any) is answered. */
function crash(x, err) {
  if (x === undefined || x.res === null) {
    logs.frame(2, 'error', x, logs.describe(err));
    if (x?.crashed !== undefined) return x.crashed(err, quit);
    return quit();
  }
  b.on(x.res, 'close', quit);
  x.leaving = true; // the host sends nothing more here
  x.fail('throw', err);
  if (x.res.destroyed || x.res.writableFinished) return quit();
  b.setTimeout(quit, FLUSH_MS);
}

function quit() {
  b.exit(1);
}

/** Takes care of what no request's own code can catch any more. */
function install() {
  process.on('uncaughtException', (err) => {
    const x = current();
    if (b.listenerCount(process, 'uncaughtException') > 1) { // the function wants to handle it itself
      if (x === undefined) logs.frame(2, 'error', x, logs.describe(err));
      else if (x.res !== null) x.fail('throw', err);
      return;
    }
    crash(x, err);
  });
}

module.exports = { install, fail, problem, LoadError, text };
