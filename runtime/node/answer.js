'use strict';
// Answers from values: what callbacks are given and promises resolve to.

const b = require('./builtins.js');
const fetch = require('./fetch.js');

const MAX_BODY = 10 << 20; // bytes, parsed_body_bytes of the limits
const { isUint8Array, isArrayBufferView, isAnyArrayBuffer } = b.types;

/**
 * Answers x with what a promise resolved to: a Response; an object that has status, headers or
 * body; or else the body itself.
 */
function result(x, value) {
  if (value !== null && typeof value === 'object') {
    if (fetch.isResponse(value)) return fetch.send(x, value);
    if (!isArrayBufferView(value) && !b.isArray(value)) {
      const status = b.own(value, 'status');
      const headers = b.own(value, 'headers');
      const body = b.own(value, 'body');
      if (status !== undefined || headers !== undefined || b.hasOwn(value, 'body')) {
        return send(x, status ?? 200, headers, body === null ? undefined : body);
      }
    }
  }
  return send(x, 200, undefined, value);
}

/** Answers x with a body: an object as JSON, a string as text, bytes as they are. */
function send(x, status, headers, body) {
  if (!x.claim()) return;
  try {
    if (!b.isInteger(status) || status < 200 || status > 599) {
      throw new b.TypeError(`the status of an answer is a number from 200 to 599, not ${b.inspect(status)}`);
    }
    let type = 'application/json';
    let data = '';
    let size = 0;
    if (typeof body === 'string') {
      type = 'text/plain; charset=utf-8';
      size = b.byteLength(data = body);
    } else if (body === undefined) {
      type = undefined;
    } else if (isArrayBufferView(body) || isAnyArrayBuffer(body)) {
      type = 'application/octet-stream';
      data = isUint8Array(body) ? body
        : b.bufferFrom(body.buffer ?? body, body.byteOffset ?? 0, body.byteLength);
      size = data.length;
    } else {
      data = b.stringify(body);
      if (data === undefined) throw new b.TypeError(`an answer cannot be a ${typeof body}`);
      size = b.byteLength(data);
    }
    if (size > MAX_BODY) {
      throw new b.RangeError('The body of an answer of a function whose bodies are parsed is limited to 10 MiB '
        + '(limit parsed_body_bytes; use the fetch or server model, which stream)');
    }
    const { res } = x;
    const list = headers === undefined || headers === null ? [] : fields(headers);
    if (type !== undefined && !has(list, 'content-type')) b.push(list, 'content-type', type);
    if (status !== 204 && status !== 304) b.push(list, 'content-length', size);
    b.push(list, 'hearth-timing', x.timing());
    res.sendDate = false;
    b.writeHead(res, status, list);
    b.end(res, data);
  } catch (err) {
    x.fail('answer', err);
  }
}

/** Flat list of names and values from an object, a Headers, a Map or a list of pairs. */
function fields(headers) {
  const list = [];
  if (typeof headers !== 'object') throw new b.TypeError(`headers are an object, not a ${typeof headers}`);
  if (typeof headers.forEach === 'function' && !b.isArray(headers)) {
    headers.forEach((value, name) => add(list, name, value));
  } else if (b.isArray(headers)) {
    for (let i = 0; i < headers.length; i++) add(list, headers[i][0], headers[i][1]);
  } else {
    const names = b.keys(headers);
    for (let i = 0; i < names.length; i++) add(list, names[i], headers[names[i]]);
  }
  return list;
}

function add(list, name, value) {
  if (value === undefined || value === null) return;
  // The body is whole here, so its framing is the shim's: a wrong length would break the connection.
  const lower = b.lower(name);
  if (lower === 'content-length' || lower === 'transfer-encoding' || lower === 'connection') return;
  b.push(list, name, b.isArray(value) ? value : `${value}`);
}

function has(list, name) {
  for (let i = 0; i < list.length; i += 2) {
    if (list[i].length === name.length && b.lower(list[i]) === name) return true;
  }
  return false;
}

module.exports = { result, send };
