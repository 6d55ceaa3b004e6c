'use strict';
// Packages that ask for what they do not declare. Under npm they find it if npm happened to put it at
// the top of node_modules; in the package store each package sees only what it declares. So when the
// normal way has failed, a package looks where npm would have looked: in what the function itself
// depends on, then in what npm would have put beside that.

const Module = require('node:module');
const { fileURLToPath, pathToFileURL } = require('node:url');
const b = require('./builtins.js');

const ESM = /\.m[jt]s$|^\s*(?:import|export)[\s{*'"]/m;
const tops = []; // folders whose node_modules is a top, of all functions that were loaded
let store; // where packages are, with a slash at the end
let hooked = false;

/**
 * Looks also in the tree whose node_modules is at modules, for packages that a function loads.
 * text is the function's source.
 */
function add(modules, file, text) {
  const tree = b.slice(modules, 0, -'/node_modules'.length);
  if (store === undefined) {
    store = `${b.slice(tree, 0, tree.lastIndexOf('/t/'))}/p/`;
    wrap();
  }
  if (!tops.includes(tree)) b.push(tops, tree, `${tree}/hoisted`);
  // Hooks make each require() a sixth slower, and only import needs them.
  if (!hooked && (b.test(ESM, file) || b.test(ESM, text))) {
    hooked = true;
    Module.registerHooks({ resolve });
  }
}

/** Whether request is a package's name that a file in the store asks for. */
function strays(request, from) {
  return typeof from === 'string' && b.startsWith(from, store) && typeof request === 'string'
    && request[0] !== '.' && request[0] !== '/' && request[0] !== '#' && !b.startsWith(request, 'node:');
}

function wrap() {
  const normal = Module._resolveFilename;
  Module._resolveFilename = function _resolveFilename(request, parent, isMain, options) {
    try {
      return b.apply(normal, this, arguments);
    } catch (err) {
      if (err?.code !== 'MODULE_NOT_FOUND' || options?.paths !== undefined || !strays(request, parent?.filename)) throw err;
      try {
        return b.apply(normal, this, [request, null, false, { __proto__: null, paths: tops }]);
      } catch {
        throw err;
      }
    }
  };
}

function resolve(specifier, context, next) {
  try {
    return next(specifier, context);
  } catch (err) {
    const from = context.parentURL;
    if (err?.code !== 'ERR_MODULE_NOT_FOUND' || from === undefined || !b.startsWith(from, 'file:')
      || !strays(specifier, fileURLToPath(from))) throw err;
    for (let i = 0; i < tops.length; i++) {
      try {
        return next(specifier, { __proto__: null, ...context, parentURL: pathToFileURL(`${tops[i]}/index.js`).href });
      } catch {
        // The next one may have it.
      }
    }
    throw err;
  }
}

module.exports = { add };
