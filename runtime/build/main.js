'use strict';
// The driver: the program inside a build sandbox, between the host and npm. It serves the host's calls
// on the listening socket that it got as descriptor 4, for one job: a lock, or the build of one package.
//
//   GET  /ping       it runs
//   POST /preload    load npm now, ahead of a lock
//   POST /lock       a manifest becomes a lock                          lock.js
//   PUT  /input      a tar that becomes the package to build            build.js
//   POST /build      its install scripts run                            build.js
//   GET  /result     the package as a tar                               build.js
//
// A script runs as the user that this runs as, so whatever is said here after /build is the script's.

const http = require('node:http');
const fs = require('node:fs');
const build = require('./build.js');
const lock = require('./lock.js');
const { WORK, Refused } = require('./work.js');

const CONTROL = 4; // descriptor
const MAX_BODY = 32 << 20; // bytes of a JSON body: a manifest with a lock

/** Answers one call of the host. */
async function handle(req, res) {
  const url = new URL(req.url, 'http://driver');
  switch (`${req.method} ${url.pathname}`) {
    case 'GET /ping': return reply(res, 200, {});
    case 'POST /preload': return reply(res, 200, lock.preload());
    case 'POST /lock': return reply(res, 200, await lock.lock(await body(req)));
    case 'PUT /input': return reply(res, 200, await build.input(url.searchParams.get('path'), req));
    case 'POST /build': return build.build(await body(req), res);
    case 'GET /result': return build.result(res);
    default: throw new Refused(404, 'ENOCALL', 'there is no such call');
  }
}

function reply(res, status, doc) {
  const text = JSON.stringify(doc);
  res.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  res.end(text);
}

async function body(req) {
  const chunks = [];
  let size = 0;
  for await (const chunk of req) {
    size += chunk.length;
    if (size > MAX_BODY) throw new Refused(413, 'ETOOLARGE', `a body has at most ${MAX_BODY} bytes`);
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks));
}

function fail(res, err) {
  if (res.headersSent) return res.destroy();
  const status = err instanceof Refused ? err.status : 500;
  return reply(res, status, { code: `${err.code ?? err.name}`, message: `${err.message}` });
}

fs.mkdirSync(`${WORK}/home`, { recursive: true });
http.createServer({ requestTimeout: 0, headersTimeout: 0 }, (req, res) => {
  res.on('error', () => {}); // the host went away
  handle(req, res).catch((err) => fail(res, err));
}).listen({ fd: CONTROL });
