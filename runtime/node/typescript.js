'use strict';
// TypeScript without its compiler. Node.js strips types with a WebAssembly program whose start costs
// 80 ms and 8 MB, too much for every waiting instance and for a cold call. So the trial instance of
// a deploy strips a version's files once, for the host to keep, and instances load what is left: the
// same lines and columns, with blanks where the types were.

const nodeModule = require('node:module');
const vm = require('node:vm');
const { fileURLToPath, pathToFileURL } = require('node:url');
const b = require('./builtins.js');

const TYPESCRIPT = /\.[cm]?ts$/;
const PARAMETERS = ['exports', 'require', 'module', '__filename', '__dirname'];

const { compileFunction } = vm;
const { registerHooks, stripTypeScriptTypes } = nodeModule;
const folders = []; // URLs of the versions whose files are stripped already

/** The code without its types. Throws what Node.js throws for code that it cannot strip. */
function strip(code) {
  return stripTypeScriptTypes(code);
}

/** Has the TypeScript files below dir loaded as they are. */
function accept(dir) {
  const url = `${pathToFileURL(dir).href}/`;
  if (stripped(url)) return; // a version that failed to load is tried again
  if (folders.length === 0) registerHooks({ __proto__: null, load });
  b.push(folders, url);
}

function load(url, context, next) {
  if (!b.test(TYPESCRIPT, url) || !stripped(url)) return next(url, context);
  const source = b.readFileSync(fileURLToPath(url), 'utf8');
  return { __proto__: null, format: format(context.format, source), source, shortCircuit: true };
}

function stripped(url) {
  for (let i = 0; i < folders.length; i++) {
    if (b.startsWith(url, folders[i])) return b.indexOf(url, '/node_modules/') < 0;
  }
  return false;
}

/** What kind of module a file is: its name and package.json say it, or else its syntax does. */
function format(known, source) {
  if (known === 'module-typescript') return 'module';
  if (known === 'commonjs-typescript') return 'commonjs';
  try {
    compileFunction(source, PARAMETERS);
    return 'commonjs';
  } catch {
    return 'module';
  }
}

module.exports = { strip, accept };
