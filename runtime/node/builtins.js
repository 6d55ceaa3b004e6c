'use strict';
// Built-ins that the shim uses while requests run, taken before any user code: a polyfill, a test
// double or a polluted prototype in a function must break that function and not the shim. It is
// for comfort, not for isolation: user code shares this process and can do worse.

const http = require('node:http');
const fs = require('node:fs');
const util = require('node:util');
const { EventEmitter } = require('node:events');

/** Turns a method into a function of its receiver: `trim.call(s)` becomes `trim(s)`. */
const uncurry = Function.prototype.bind.bind(Function.prototype.call);

const { ServerResponse, IncomingMessage } = http;

const { hasOwn } = Object;

/** Reads obj's own property; what hangs on a prototype is not the function's answer. */
const own = (obj, key) => (hasOwn(obj, key) ? obj[key] : undefined);

module.exports = {
  __proto__: null,
  uncurry,
  own,
  apply: Reflect.apply,
  hasOwn,
  keys: Object.keys,
  create: Object.create,
  defineProperty: Object.defineProperty,
  getPrototypeOf: Object.getPrototypeOf,
  objectPrototype: Object.prototype,
  isArray: Array.isArray,
  isInteger: Number.isInteger,
  parse: JSON.parse,
  stringify: JSON.stringify,
  push: uncurry(Array.prototype.push),
  startsWith: uncurry(String.prototype.startsWith),
  endsWith: uncurry(String.prototype.endsWith),
  indexOf: uncurry(String.prototype.indexOf),
  slice: uncurry(String.prototype.slice),
  lower: uncurry(String.prototype.toLowerCase),
  trim: uncurry(String.prototype.trim),
  test: uncurry(RegExp.prototype.test),
  fixed: uncurry(Number.prototype.toFixed),
  source: uncurry(Function.prototype.toString),
  mapGet: uncurry(Map.prototype.get),
  mapSet: uncurry(Map.prototype.set),
  mapDelete: uncurry(Map.prototype.delete),
  Map,
  Error,
  TypeError,
  RangeError,
  SyntaxError,
  Promise,
  then: uncurry(Promise.prototype.then),
  AbortController,
  abort: uncurry(AbortController.prototype.abort),
  DOMException,
  Buffer,
  bufferFrom: Buffer.from,
  bufferConcat: Buffer.concat,
  byteLength: Buffer.byteLength,
  bufferString: uncurry(Buffer.prototype.toString),
  setTimeout,
  clearTimeout,
  setImmediate,
  now: performance.now.bind(performance),
  inspect: util.inspect,
  types: util.types,
  readFileSync: fs.readFileSync,
  writeSync: fs.writeSync,
  emit: EventEmitter.prototype.emit,
  on: uncurry(EventEmitter.prototype.on),
  readableOn: uncurry(IncomingMessage.prototype.on),
  resume: uncurry(IncomingMessage.prototype.resume),
  pause: uncurry(IncomingMessage.prototype.pause),
  removeListener: uncurry(IncomingMessage.prototype.removeListener),
  listenerCount: uncurry(EventEmitter.prototype.listenerCount),
  writeHead: uncurry(ServerResponse.prototype.writeHead),
  write: uncurry(ServerResponse.prototype.write),
  end: uncurry(ServerResponse.prototype.end),
  setHeader: uncurry(ServerResponse.prototype.setHeader),
  getHeaderNames: uncurry(ServerResponse.prototype.getHeaderNames),
  removeHeader: uncurry(ServerResponse.prototype.removeHeader),
  destroy: uncurry(ServerResponse.prototype.destroy),
  exit: process.exit.bind(process),
};
