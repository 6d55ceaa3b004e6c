'use strict';
// Loads a tree's packages before the instance is anybody's. The process is frozen afterwards, so what
// cannot be frozen may not be left: a timer, a socket or a child process would find time gone and
// its other end with it.

const { createRequire } = require('node:module');
const { pathToFileURL } = require('node:url');
const b = require('./builtins.js');
const exercise = require('./exercise.js');
const hoist = require('./hoist.js');

/**
 * Loads the packages called names from the tree whose node_modules is at modules. Resolves to how
 * many were loaded, how long that took, and what keeps the process from being frozen, if anything.
 */
async function preload(modules, names) {
  const start = b.now();
  const before = count();
  const file = `${b.slice(modules, 0, -'/node_modules'.length)}/index.js`;
  const from = createRequire(file);
  hoist.add(modules, 'index.mjs', ''); // the time that its hooks take is nobody's
  let loaded = 0;
  for (let i = 0; i < names.length; i++) {
    try {
      try {
        from(names[i]);
      } catch (err) {
        if (err?.code !== 'ERR_REQUIRE_ASYNC_MODULE' && err?.code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') throw err;
        await import(pathToFileURL(from.resolve(names[i])).href);
      }
      loaded++;
    } catch {
      // Not every package has something to load, and who asks for this one will be told why.
    }
  }
  const took = b.now() - start;
  await new b.Promise((done) => { b.setImmediate(done); });
  await new b.Promise((done) => { b.setImmediate(done); }); // what ends by itself in a turn has ended
  const after = count();
  const left = b.keys(after).filter((type) => after[type] > (before[type] ?? 0));
  exercise.collect();
  return { loaded, took, left };
}

/** The resources that keep the event loop busy, counted by type. */
function count() {
  const types = { __proto__: null };
  for (const type of process.getActiveResourcesInfo()) types[type] = (types[type] ?? 0) + 1;
  return types;
}

module.exports = { preload };
