'use strict';
// The web standard side: a Request from what came in, and a Response sent out.

const b = require('./builtins.js');
const { enter } = require('./context.js');

// Loaded by the exercise and not here: the classes cost a third of the shim's start.
let Web = null;
const web = () => (Web ??= { __proto__: null, Request, ReadableStream });

/** Calls a function of the fetch model for exchange x. */
function serve(f, x) {
  enter(x, call, f, x);
}

async function call(f, x) {
  let value;
  try {
    const request = toRequest(x);
    value = await f.fetch(request, f.env, {
      waitUntil: (promise) => background(x, promise),
      passThroughOnException() {}, // there is nothing behind a function to pass through to
      meta: f.meta(x),
      requestId: x.id,
    });
  } catch (err) {
    x.fail('reject', err);
    return;
  }
  if (isResponse(value)) {
    send(x, value);
  } else if (x.claim()) {
    x.fail('answer', new b.TypeError(`a fetch function must return a Response, not ${b.inspect(value, { depth: 0 })}; `
      + 'set "model": "promise" for one that returns a plain result'));
  }
}

async function background(x, promise) {
  try {
    await promise;
  } catch (err) {
    x.complain('error', 'a promise given to waitUntil was rejected: ', err);
  }
}

function toRequest(x) {
  const { req } = x;
  const { method, rawHeaders, headers } = req;
  const pairs = [];
  for (let i = 0; i < rawHeaders.length; i += 2) b.push(pairs, [rawHeaders[i], rawHeaders[i + 1]]);
  const init = { __proto__: null, method, headers: pairs, signal: x.signal };
  if (method !== 'GET' && method !== 'HEAD'
    && (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0')) {
    init.body = toStream(req);
    init.duplex = 'half';
  }
  const scheme = headers['x-forwarded-proto'] === 'https' ? 'https' : 'http';
  const { Request } = web();
  try {
    return new Request(`${scheme}://${headers.host || 'localhost'}${req.url}`, init);
  } catch (err) {
    if (init.body !== undefined || headers.host === undefined) throw err;
    return new Request(`${scheme}://localhost${req.url}`, init); // a Host that is no host
  }
}

/** The body of req as a web stream that reads on only when it is asked to. */
function toStream(req) {
  const { ReadableStream } = web();
  let ended = false;
  return new ReadableStream({
    __proto__: null,
    type: 'bytes',
    start(controller) {
      b.pause(req);
      b.readableOn(req, 'data', (chunk) => {
        // A copy: chunks share the socket's memory, and a byte stream takes its chunks' memory away.
        controller.enqueue(new Uint8Array(chunk));
        if (controller.desiredSize <= 0) b.pause(req);
      });
      b.readableOn(req, 'end', () => {
        ended = true;
        controller.close();
        controller.byobRequest?.respond(0);
      });
      b.readableOn(req, 'close', () => {
        if (!ended) controller.error(new b.DOMException('The caller went away.', 'AbortError'));
      });
    },
    pull() {
      b.resume(req);
    },
    cancel() {
      ended = true;
      b.resume(req); // swallowed, so that the connection can be used again
    },
  }, { __proto__: null, highWaterMark: 65536 });
}

/** Whether value is a Response, Node.js's own or a library's. */
function isResponse(value) {
  return value !== null && typeof value === 'object' && value[Symbol.toStringTag] === 'Response'
    && typeof value.arrayBuffer === 'function' && typeof value.headers?.forEach === 'function';
}

/** Answers x with a Response. Bodies stream, one chunk at a time. */
async function send(x, response) {
  if (!x.claim()) return;
  const { req, res } = x;
  try {
    const { status, body } = response;
    if (status < 200 || status > 599) throw new b.TypeError('a network error Response cannot be sent');
    if (response.bodyUsed) throw new b.TypeError('the body of the Response was read already');
    const list = head(x, response);
    if (body === null || req.method === 'HEAD' || status === 204 || status === 304) {
      if (body !== null) body.cancel?.();
      else if (status !== 204 && status !== 304 && req.method !== 'HEAD') b.push(list, 'content-length', 0);
      begin(x, response, list);
      b.end(res);
      return;
    }
    await copy(x, response, list, reader(body));
  } catch (err) {
    x.fail('answer', err);
  }
}

function head(x, response) {
  const list = [];
  // What fetch() decoded on its way in is no longer encoded, and no longer of that length.
  const decoded = response.url !== '' && response.headers.has('content-encoding');
  const head = x.req.method === 'HEAD';
  response.headers.forEach((value, name) => {
    switch (name) {
      case 'connection': case 'transfer-encoding': case 'keep-alive': return;
      case 'content-length': if (!head || decoded) return; break;
      case 'content-encoding': if (decoded) return; break;
    }
    b.push(list, name, value);
  });
  b.push(list, 'hearth-timing', x.timing());
  return list;
}

function begin(x, response, list) {
  x.res.sendDate = false;
  if (response.statusText) b.writeHead(x.res, response.status, response.statusText, list);
  else b.writeHead(x.res, response.status, list);
}

function reader(body) {
  if (typeof body.getReader === 'function') return body.getReader();
  const it = body[Symbol.asyncIterator](); // a library's Response over a Node.js stream
  return { read: () => it.next(), cancel: () => it.return?.() };
}

async function copy(x, response, list, from) {
  const { res } = x;
  const first = await from.read();
  if (first.done) {
    b.push(list, 'content-length', 0);
    begin(x, response, list);
    b.end(res);
    return;
  }
  // Most bodies are one chunk. If the end is there without waiting, the length is known.
  let next = null;
  const reading = from.read().then((r) => (next = r));
  reading.catch?.(() => {}); // reported where it is awaited
  for (let i = 0; i < 4 && next === null; i++) await null;
  if (next !== null && next.done) {
    b.push(list, 'content-length', first.value.length);
    begin(x, response, list);
    b.end(res, bytes(first.value));
    return;
  }
  begin(x, response, list);
  let chunk = first.value;
  for (;;) {
    if (!b.write(res, bytes(chunk)) && !res.destroyed) await drained(res);
    if (res.destroyed) {
      from.cancel(x.aborted)?.catch?.(() => {});
      return;
    }
    next = chunk === first.value ? await reading : await from.read();
    if (next.done) break;
    chunk = next.value;
  }
  b.end(res);
}

function bytes(chunk) {
  if (typeof chunk === 'string' || b.types.isUint8Array(chunk)) return chunk;
  throw new b.TypeError('the body of a Response must yield bytes');
}

function drained(res) {
  return new b.Promise((resolve) => {
    b.on(res, 'drain', resolve);
    b.on(res, 'close', resolve);
  });
}

module.exports = { serve, send, isResponse, web };
