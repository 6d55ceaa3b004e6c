'use strict';
// Bodies of requests for the models that get them parsed: read whole, within a bound, then turned
// into a value by their content type. The raw bytes stay, since signatures are made over them.

const querystring = require('node:querystring');
const zlib = require('node:zlib');
const b = require('./builtins.js');

const MAX_BODY = 10 << 20; // bytes, parsed_body_bytes of the limits
const EMPTY = Buffer.alloc(0);
const parseQuery = querystring.parse;
const { unzipSync, brotliDecompressSync } = zlib;

/** A body that the function never sees. status: 400 or 413. */
class BodyError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Reads the body of req and calls done(err, bytes). */
function read(req, done) {
  const length = req.headers['content-length'];
  if (length === undefined ? req.headers['transfer-encoding'] === undefined : length === '0') {
    return done(null, EMPTY);
  }
  if (+length > MAX_BODY) {
    b.resume(req);
    return done(tooLarge());
  }
  const chunks = [];
  let size = 0;
  b.readableOn(req, 'data', (chunk) => {
    size += chunk.length;
    if (size <= MAX_BODY) return b.push(chunks, chunk);
    if (chunks.length === 0) return undefined; // reported already; the rest is only swallowed
    chunks.length = 0;
    return done(tooLarge());
  });
  b.readableOn(req, 'end', () => {
    if (size <= MAX_BODY) done(null, chunks.length === 1 ? chunks[0] : b.bufferConcat(chunks, size));
  });
  return undefined;
}

function tooLarge() {
  return new BodyError(413, 'The body of a request of a function whose bodies are parsed is limited to 10 MiB '
    + '(limit parsed_body_bytes; use the fetch or server model, which stream).');
}

/** The value of a body: JSON, a form as an object, text as a string, anything else as its bytes. */
function parse(headers, raw) {
  if (raw.length === 0) return undefined;
  const full = headers['content-type'] ?? '';
  const semicolon = b.indexOf(full, ';');
  const type = b.lower(b.trim(semicolon < 0 ? full : b.slice(full, 0, semicolon)));
  const json = type === 'application/json' || b.endsWith(type, '+json');
  const form = type === 'application/x-www-form-urlencoded';
  if (!json && !form && !b.startsWith(type, 'text/')) return raw;
  const bytes = decode(headers['content-encoding'], raw);
  const latin1 = semicolon > 0 && b.indexOf(b.lower(full), 'iso-8859-1') > 0;
  let text = b.bufferString(bytes, latin1 ? 'latin1' : 'utf8');
  if (form) return parseQuery(text, undefined, undefined, { __proto__: null, maxKeys: 0 });
  if (!json) return text;
  if (text.charCodeAt(0) === 0xfeff) text = b.slice(text, 1);
  try {
    return b.parse(text);
  } catch (err) {
    throw new BodyError(400, `The body is not valid JSON: ${err.message}`);
  }
}

function decode(encoding, raw) {
  const options = { __proto__: null, maxOutputLength: MAX_BODY };
  try {
    switch (encoding && b.lower(encoding)) {
      case 'gzip': case 'x-gzip': case 'deflate': return unzipSync(raw, options);
      case 'br': return brotliDecompressSync(raw, options);
      default: return raw;
    }
  } catch (err) {
    if (err.code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge();
    throw new BodyError(400, `The body is not valid ${encoding}: ${err.message}`);
  }
}

module.exports = { read, parse, parseQuery, BodyError };
