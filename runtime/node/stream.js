'use strict';
// The models that get req and res themselves: callbacks of three parameters, and servers.

const b = require('./builtins.js');
const fetch = require('./fetch.js');
const { enter, tag } = require('./context.js');
const { fill } = require('./ctx.js');

/** Calls a (ctx, req, res) function for exchange x. */
function serveCallback(f, x) {
  begin(x);
  enter(x, callCallback, f, x);
}

function callCallback(f, x) {
  try {
    const returned = f.fn(fill({}, f, x, undefined, undefined), x.req, x.res);
    if (returned !== undefined && returned !== null) settle(x, returned);
  } catch (err) {
    x.fail('throw', err);
  }
}

/** Hands exchange x to a server, or to its (req, res) function. */
function serveServer(f, x) {
  begin(x);
  enter(x, callServer, f, x);
}

function callServer(f, x) {
  try {
    const returned = f.handle(x.req, x.res);
    if (returned !== undefined && returned !== null) settle(x, returned);
  } catch (err) {
    x.fail('throw', err);
  }
}

function begin(x) {
  tag(x.req, x);
  tag(x.res, x);
  if (x.loadMS >= 0) b.setHeader(x.res, 'hearth-timing', `load=${b.fixed(x.loadMS, 2)}`);
}

function settle(x, returned) {
  if (b.types.isPromise(returned)) {
    b.then(returned, (value) => respond(x, value), (err) => x.fail('reject', err));
  } else {
    respond(x, returned);
  }
}

/** A Response is taken from every model; anything else that is returned means nothing. */
function respond(x, value) {
  if (fetch.isResponse(value) && !x.res.headersSent) fetch.send(x, value);
}

module.exports = { serveCallback, serveServer };
