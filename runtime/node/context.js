'use strict';
// Which request code runs for: an AsyncLocalStorage that holds the exchange. Events of requests,
// answers and sockets come from the HTTP parser, outside of any request, so their emit is replaced
// by one that enters the exchange again and turns a listener's exception into that request's failure.

const { AsyncLocalStorage } = require('node:async_hooks');
const { apply, emit, listenerCount } = require('./builtins.js');

const storage = new AsyncLocalStorage();
const run = storage.run.bind(storage);
const current = storage.getStore.bind(storage);
const kExchange = Symbol('exchange');

/** Calls fn(...args) for exchange x; logs and failures in it, and in what it starts, are x's. */
function enter(x, fn, a, b) {
  return run(x, fn, a, b);
}

/** Makes the events of emitter happen inside of exchange x. */
function tag(emitter, x) {
  emitter[kExchange] = x;
  emitter.emit = emitTagged;
}

function emitTagged(type) {
  const x = this[kExchange];
  if (listenerCount(this, type) === 0) {
    if (type !== 'error') return false;
    x.complain('warn', 'unheard error event: ', arguments[1]); // Node.js would end the process
    return true;
  }
  try {
    return current() === x ? apply(emit, this, arguments) : run(x, apply, emit, this, arguments);
  } catch (err) {
    x.fail('throw', err);
    return true;
  }
}

module.exports = { enter, current, tag };
