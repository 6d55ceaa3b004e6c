'use strict';
// How requests get into the servers that people write: each framework has its own door.

const net = require('node:net');
const b = require('./builtins.js');

/**
 * Finds the door of an exported server. Returns undefined if it has none, else a value or a
 * promise of {handle(req, res), server}, where server gets the upgrades, if there is one.
 */
function door(v) {
  if (v instanceof net.Server) return events(v); // http.Server, https.Server
  if (typeof v === 'function') return { handle: v, server: null }; // Express, Connect, h3
  if (typeof v.init === 'function' && typeof v.getHttpServer === 'function') { // Nest
    return b.then(v.init(), () => events(v.getHttpServer()));
  }
  if (typeof v.ready === 'function' && v.server instanceof net.Server) { // Fastify
    return (async () => {
      await v.ready();
      return events(v.server);
    })();
  }
  if (typeof v.callback === 'function') return { handle: v.callback(), server: null }; // Koa
  if (v.server instanceof net.Server) return events(v.server); // Restify
  if (typeof v.handler === 'function') return { handle: (req, res) => v.handler(req, res), server: null }; // Polka
  return undefined;
}

function events(server) {
  return { handle: (req, res) => { b.apply(b.emit, server, ['request', req, res]); }, server };
}

module.exports = { door };
