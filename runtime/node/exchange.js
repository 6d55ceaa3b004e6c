'use strict';
// One request and its answer: whose it is, whether it was answered, and what ends it early.

const http = require('node:http');
const b = require('./builtins.js');
const errors = require('./errors.js');
const logs = require('./logs.js');
const { enter } = require('./context.js');

// How many entries of rawHeaders IncomingMessage believes in; it counts them itself, and would read
// behind the end of the shortened list.
const kHeadersCount = Object.getOwnPropertySymbols(new http.IncomingMessage(null))
  .find((s) => s.description === 'kHeadersCount');
const kOf = Symbol('exchange of an answer');

class Exchange {
  constructor(req, res) {
    const h = req.headers;
    this.req = req;
    this.res = res;
    this.name = h['hearth-function'] ?? '';
    this.version = h['hearth-version'] ?? '';
    this.id = h['hearth-request-id'] ?? '';
    this.prefix = h['hearth-prefix'] ?? '';
    this.loadMS = -1; // time to load the function; -1: it was loaded already
    this.start = b.now();
    this.leaving = false; // the process ends after this answer
    this.settled = false; // the answer is decided; what comes later is ignored
    this.expired = false; // nobody waits for the answer any more
    this.controller = null;
    this.aborted = null; // the reason, before anybody asked for the signal
    this.timer = null;
    const ms = +h['hearth-timeout-ms'];
    if (ms > 0 && ms <= 2147483647) this.timer = b.setTimeout(expire, ms, this);
    strip(req, h);
    if (req.url[0] !== '/') req.url = `/${req.url}`;
    if (res !== null) {
      res[kOf] = this;
      b.on(res, 'close', closed);
    }
  }

  /** The signal that is aborted when the caller goes or the time is up. Made when asked for. */
  get signal() {
    if (this.controller === null) {
      this.controller = new b.AbortController();
      if (this.aborted !== null) b.abort(this.controller, this.aborted);
    }
    return this.controller.signal;
  }

  /** Ends the exchange early: nothing is answered any more. */
  expire(reason) {
    this.expired = this.settled = true;
    this.aborted = reason;
    if (this.controller !== null) enter(this, b.abort, this.controller, reason);
  }

  /** Claims the right to answer; false if that was done before, which is logged. */
  claim() {
    if (!this.settled) return (this.settled = true);
    if (!this.expired) this.complain('warn', 'the function answered twice; the second answer was ignored');
    return false;
  }

  /** Value of the hearth-timing header. */
  timing() {
    const run = b.fixed(b.now() - this.start - (this.loadMS < 0 ? 0 : this.loadMS), 2);
    return this.loadMS < 0 ? `run=${run}` : `load=${b.fixed(this.loadMS, 2)},run=${run}`;
  }

  /** Answers with a failure of the function; see errors.js. */
  fail(reason, err) {
    errors.fail(this, reason, err);
  }

  /** Writes a line of the shim's own to the function's log. */
  complain(level, text, value) {
    logs.frame(2, level, this, value === undefined ? text : text + logs.describe(value));
  }
}

function expire(x) {
  x.expire(new b.DOMException('The time limit of the request is over.', 'TimeoutError'));
}

function closed() {
  const x = this[kOf];
  if (x.timer !== null) b.clearTimeout(x.timer);
  if (!this.writableFinished) x.expire(new b.DOMException('The caller went away.', 'AbortError'));
}

/** Takes the host's own fields from what the function sees. */
function strip(req, headers) {
  const kept = {};
  const names = b.keys(headers);
  for (let i = 0; i < names.length; i++) {
    if (!b.startsWith(names[i], 'hearth-')) set(kept, names[i], headers[names[i]]);
  }
  req.headers = kept;
  const raw = req.rawHeaders;
  let n = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const c = raw[i].charCodeAt(0) | 32;
    if (c === 104 && raw[i].length > 7 && b.startsWith(b.lower(raw[i]), 'hearth-')) continue;
    if (n !== i) {
      raw[n] = raw[i];
      raw[n + 1] = raw[i + 1];
    }
    n += 2;
  }
  raw.length = n;
  if (kHeadersCount !== undefined) req[kHeadersCount] = n;
}

function set(obj, key, value) {
  if (key !== '__proto__') obj[key] = value; // else a field could give it another prototype
}

module.exports = { Exchange };
