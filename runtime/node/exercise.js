'use strict';
// What an instance does while it waits for a container: small built-in functions of every model,
// called by the host as any function is, until the shim's path is compiled and the parts of Node.js
// that functions commonly need are loaded. The first part comes before the instance enters the pool.
// The second costs as much again (undici alone is a third of a start) and comes when the pool is full
// and calm; after it the heap is made small, for the wait may be long.

const v8 = require('node:v8');
const vm = require('node:vm');
const b = require('./builtins.js');

const NAME = '.exercise'; // the function's name in requests; the version names the exercise

// In their order: version, method, path, body.
const FIRST = [
  ['builtins', 'GET', '/'],
  ['callback', 'GET', '/?a=1'],
  ['callback', 'POST', '/', '{"a":1}'],
  ['context', 'POST', '/a?b=c', '{"a":1}'],
  ['context', 'GET', '/'],
  ['stream', 'POST', '/', 'text'],
  ['stream', 'GET', '/'],
  ['promise', 'POST', '/', '{"a":1}'],
  ['promise', 'GET', '/'],
  ['server', 'GET', '/'],
  ['server', 'POST', '/', 'text'],
  ['failure', 'GET', '/'],
];
const SECOND = [
  ['web', 'GET', '/'],
  ['fetch', 'GET', '/'],
  ['fetch', 'POST', '/', '{"a":1}'],
  ['module', 'GET', '/'],
];

let left = SECOND.length;

/**
 * Collects all garbage. The collector is taken out of a context of its own, while V8 shows it: with
 * --expose-gc on the command line V8 refuses Node.js's code cache, and a start takes a third longer
 * (60 and 80 ms, Node.js 24.21).
 */
function collect() {
  v8.setFlagsFromString('--expose-gc');
  const gc = vm.runInNewContext('gc');
  v8.setFlagsFromString('--no-expose-gc');
  gc({ type: 'major', flavor: 'last-resort' });
}

/** The calls that the host makes, in this order: the first part, or the second. */
function list(second) {
  return (second ? SECOND : FIRST).map(([version, method, path, body = '']) => ({
    version, method, path, body, type: body[0] === '{' ? 'application/json' : 'text/plain',
  }));
}

/** Counts an exercise; after the last of the second part, the memory that all took is given back. */
function count(x) {
  if (!SECOND.some(([version]) => version === x.version) || --left !== 0) return;
  b.on(x.res, 'close', () => b.setImmediate(collect));
}

module.exports = { NAME, list, count, collect };
