'use strict';
// What functions print. Each write becomes one frame on descriptor 1 or 2, tagged with the request
// that it was made for:
//   RS function US version US request-id US level US n LF, n bytes, LF
// The host takes the tag for a hint and never for a fact, since this process is the tenant's.
// Writes are synchronous, so what was printed before a crash is in the pipe.

const { Writable } = require('node:stream');
const b = require('./builtins.js');
const { current } = require('./context.js');

const MAX_FRAME = 65536; // bytes of text in a frame; longer text is cut into several
const MAX_WAIT = 1000; // ms that a full non-blocking pipe is waited for before text is dropped
const LEVELS = ['log', 'info', 'warn', 'error', 'debug', 'trace'];

let level = ''; // of the console call that is being written, '' for a plain write

/** Writes text for exchange x (or none) to descriptor fd, in frames. */
function frame(fd, lvl, x, text) {
  const n = b.byteLength(text);
  if (n === 0) return;
  const head = x === undefined ? '\x1e\x1f\x1f' : `\x1e${x.name}\x1f${x.version}\x1f${x.id}`;
  if (n <= MAX_FRAME) {
    put(fd, b.bufferFrom(`${head}\x1f${lvl}\x1f${n}\n${text}\n`));
    return;
  }
  const bytes = b.bufferFrom(text);
  for (let at = 0; at < n;) {
    let to = at + MAX_FRAME;
    if (to >= n) to = n;
    else while ((bytes[to] & 0xc0) === 0x80) to--; // never inside of a UTF-8 sequence
    put(fd, b.bufferConcat([
      b.bufferFrom(`${head}\x1f${lvl}\x1f${to - at}\n`), bytes.subarray(at, to), b.bufferFrom('\n'),
    ]));
    at = to;
  }
}

const pauseCell = new Int32Array(new SharedArrayBuffer(4));
const wait = Atomics.wait;

function put(fd, bytes) {
  for (let at = 0, waited = 0; at < bytes.length;) {
    try {
      at += b.writeSync(fd, bytes, at, bytes.length - at);
    } catch (err) {
      // A child process may have made the pipe non-blocking. Any other error means that nobody
      // reads any more, or that the function closed the descriptor.
      if (err.code !== 'EAGAIN' || ++waited > MAX_WAIT) return;
      wait(pauseCell, 0, 0, 1);
    }
  }
}

/** A stream that stands for process.stdout or process.stderr. */
function stream(fd, plain) {
  const s = new Writable({
    __proto__: null,
    decodeStrings: false,
    write(chunk, encoding, done) {
      let text = typeof chunk === 'string' ? chunk : b.bufferString(chunk, 'utf8');
      if (b.endsWith(text, '\n')) text = b.slice(text, 0, -1);
      frame(fd, level || plain, current(), text === '' ? ' ' : text);
      done();
    },
  });
  s.fd = fd;
  s._isStdio = true;
  // One function must not close what all of them print on.
  s.destroy = s.destroySoon = function destroy() { return this; };
  s.end = function end(chunk) {
    if (chunk !== undefined && chunk !== null && typeof chunk !== 'function') this.write(chunk);
    return this;
  };
  return s;
}

/** Replaces process.stdout and stderr, and makes the console say its level. */
function install() {
  const streams = { __proto__: null, stdout: stream(1, 'stdout'), stderr: stream(2, 'stderr') };
  for (const name of ['stdout', 'stderr']) {
    b.defineProperty(process, name, {
      __proto__: null, configurable: true, enumerable: true, get: () => streams[name],
    });
  }
  for (const name of LEVELS) {
    const original = console[name];
    const as = name === 'trace' ? 'debug' : name;
    console[name] = { [name](...args) {
      const before = level;
      level = as;
      try {
        return b.apply(original, console, args);
      } finally {
        level = before;
      }
    } }[name];
  }
}

/** Text of any value, even of one whose inspection throws; at most 256 KiB. */
function describe(value) {
  try {
    const text = typeof value === 'string' ? value : b.inspect(value);
    return text.length > 262144 ? b.slice(text, 0, 262144) : text;
  } catch {
    return 'a value that cannot be inspected';
  }
}

module.exports = { install, frame, describe };
