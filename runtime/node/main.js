'use strict';
// The shim: the program inside an instance, between the host and a tenant's functions. It serves
// requests on the listening socket that it got as descriptor 3, and the host's own calls on 4.
//
//   main.js [--root DIR]     DIR is where the functions are, for tests; /fn otherwise

const http = require('node:http');
const b = require('./builtins.js');
const control = require('./control.js');
const errors = require('./errors.js');
const exercise = require('./exercise.js');
const logs = require('./logs.js');
const upgrade = require('./upgrade.js');
const { enter } = require('./context.js');
const { Exchange } = require('./exchange.js');
const { find, load, setRoot } = require('./load.js');

const REQUESTS = 3; // descriptors
const CONTROL = 4;
const MAX_HEADER = 96 << 10; // bytes: the host takes 64 KiB of the caller and adds its own
const MAX_FIELDS = 200; // the host takes 128
const ENV = ['PATH', 'HOME', 'NODE_ENV', 'LANG', 'TZ', 'SSL_CERT_DIR', 'SSL_CERT_FILE'];

/** Answers one request. Known functions are called right away, in the turn of the request. */
function handle(req, res) {
  const x = new Exchange(req, res);
  const f = find(x.name, x.version);
  if (f === undefined) enter(x, first, x, ready);
  else ready(f, x);
}

function ready(f, x) {
  if (x.settled) return;
  f.serve(f, x);
  if (x.name === exercise.NAME) exercise.count(x);
}

/** Loads the function of x, which prints and fails on behalf of x meanwhile, then goes on. */
function first(x, next) {
  const start = b.now();
  try {
    const f = load(x.name, x.version);
    if (!b.types.isPromise(f)) {
      x.loadMS = b.now() - start;
      next(f, x);
      return;
    }
    b.then(f, (made) => {
      x.loadMS = b.now() - start;
      next(made, x);
    }, (err) => x.fail(err.reason, err));
  } catch (err) {
    x.fail(err.reason, err);
  }
}

function handleUpgrade(req, socket, head) {
  const x = new Exchange(req, null);
  b.on(socket, 'error', () => socket.destroy());
  x.unanswered = () => upgrade.refuse(x, socket);
  const next = (f) => upgrade.serve(f, x, socket, head);
  const f = find(x.name, x.version);
  if (f === undefined) enter(x, first, x, next);
  else next(f);
}

/** A server on an inherited listening socket. All waiting is the host's business, so no timeouts. */
function listen(fd, handler) {
  const server = http.createServer({
    maxHeaderSize: MAX_HEADER,
    insecureHTTPParser: false,
    requireHostHeader: false,
    requestTimeout: 0,
    headersTimeout: 0,
    keepAliveTimeout: 0,
    connectionsCheckingInterval: 2147483647, // an idle instance must not wake up
  }, handler);
  server.maxHeadersCount = MAX_FIELDS;
  server.timeout = 0;
  server.listen({ fd });
  return server;
}

/** Leaves nothing of the shim's start for functions to see or to depend on. */
function clean() {
  for (const name of Object.keys(process.env)) {
    if (!ENV.includes(name)) delete process.env[name];
  }
  process.argv = [process.execPath, '/fn'];
  process.execArgv = [];
}

const at = process.argv.indexOf('--root');
if (at > 0) setRoot(process.argv[at + 1]);
clean();
logs.install();
errors.install();
listen(REQUESTS, handle).on('upgrade', handleUpgrade);
listen(CONTROL, control.handle);
