'use strict';
// The models that get their bodies parsed: callbacks of no, one or two parameters, and promises.

const b = require('./builtins.js');
const answer = require('./answer.js');
const body = require('./body.js');
const errors = require('./errors.js');
const fetch = require('./fetch.js');
const { enter } = require('./context.js');
const { fill } = require('./ctx.js');

/** Reads the body, then calls the function for exchange x. */
function serve(f, x) {
  body.read(x.req, (err, raw) => {
    if (x.settled) return;
    let value;
    try {
      if (err !== null) throw err;
      value = body.parse(x.req.headers, raw);
    } catch (bad) {
      refuse(x, bad);
      return;
    }
    enter(x, call, f, { x, value, raw });
  });
}

function call(f, { x, value, raw }) {
  const done = (err, result) => {
    if (err) {
      if (x.claim()) {
        x.settled = false;
        x.fail('reject', err);
      }
    } else if (fetch.isResponse(result)) {
      fetch.send(x, result);
    } else {
      answer.send(x, 200, undefined, result);
    }
  };
  let returned;
  try {
    if (f.promise || f.arity >= 2) returned = f.fn(fill({}, f, x, value, raw), done);
    else returned = f.fn(fill(done, f, x, value, raw));
  } catch (err) {
    x.fail('throw', err);
    return;
  }
  if (returned === undefined || returned === null) {
    if (f.promise && f.arity < 2) answer.result(x, returned);
  } else if (b.types.isPromise(returned) || (f.arity < 2 && typeof returned.then === 'function')) {
    settle(f, x, returned);
  } else if (f.promise || fetch.isResponse(returned) || (f.arity === 0 && plain(returned))) {
    if (!x.settled) answer.result(x, returned);
  }
}

/** Answers with what the function promised, unless its callback was quicker. */
async function settle(f, x, promise) {
  let value;
  try {
    value = await promise;
  } catch (err) {
    x.fail('reject', err);
    return;
  }
  // A function that takes a callback and resolves to nothing means to call it.
  if (x.settled || (value === undefined && f.arity >= 2)) return;
  answer.result(x, value);
}

/** A function without parameters answers by what it returns, unless that is a timer or the like. */
function plain(value) {
  if (typeof value !== 'object') return typeof value !== 'function';
  const proto = b.getPrototypeOf(value);
  return proto === null || proto === b.objectPrototype || b.isArray(value) || b.types.isUint8Array(value);
}

function refuse(x, err) {
  if (!(err instanceof body.BodyError)) {
    x.fail('answer', err);
    return;
  }
  const large = err.status === 413;
  errors.problem(x, err.status, {
    title: large ? 'Content Too Large' : 'Bad Request',
    status: err.status,
    detail: err.message,
    code: large ? 'too_large' : 'malformed',
    component: large ? 'limit' : 'request',
    reason: large ? 'parsed_body_bytes' : 'body',
  });
}

module.exports = { serve };
