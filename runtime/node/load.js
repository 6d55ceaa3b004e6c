'use strict';
// Functions, loaded from {root}/{function}/{version} when they are first asked for and kept. Every
// module system goes through require(), which is synchronous and quicker than import() for all of
// them; only modules with a top-level await need import().

const { createRequire } = require('node:module');
const { pathToFileURL } = require('node:url');
const b = require('./builtins.js');
const exercise = require('./exercise.js');
const hoist = require('./hoist.js');
const { LoadError } = require('./errors.js');
const { detect } = require('./models.js');
const typescript = require('./typescript.js');

const NAME = /^[a-z0-9.][a-z0-9-]{0,63}$/;

const loaded = new b.Map(); // "function/version" → function, or the promise of one
let root = '/fn';

/** Says where the functions are. For tests; an instance keeps the default. */
function setRoot(dir) {
  root = dir;
}

/** The function, if it is loaded and ready. */
function find(name, version) {
  const f = b.mapGet(loaded, `${name}/${version}`);
  return f === undefined || b.types.isPromise(f) ? undefined : f;
}

/**
 * The function, or a promise of it if loading it takes more than one turn. Throws or rejects with
 * a LoadError; the next request tries again, since what failed may have been the network.
 */
function load(name, version) {
  const key = `${name}/${version}`;
  const known = b.mapGet(loaded, key);
  if (known !== undefined) return known;
  const f = start(name, version);
  b.mapSet(loaded, key, f);
  if (b.types.isPromise(f)) {
    b.then(f, (ready) => b.mapSet(loaded, key, ready), () => b.mapDelete(loaded, key));
  }
  return f;
}

function folder(name) {
  return name === exercise.NAME ? `${__dirname}/exercise` : `${root}/${name}`;
}

/** The path of a version's first file, if there is such a version. */
function entry(name, version) {
  try {
    return `${folder(name)}/${version}/${b.parse(b.readFileSync(`${folder(name)}/${version}.json`, 'utf8')).entry}`;
  } catch {
    return undefined;
  }
}

function start(name, version) {
  const dir = folder(name);
  if (!b.test(NAME, name) || !b.test(NAME, version)) {
    throw new LoadError('load', new b.Error(`no function ${b.inspect(name)}, version ${b.inspect(version)}`));
  }
  let exported;
  let manifest;
  try {
    manifest = b.parse(b.readFileSync(`${dir}/${version}.json`, 'utf8'));
    const file = `${dir}/${version}/${manifest.entry}`;
    if (manifest.modules) hoist.add(manifest.modules, file, b.readFileSync(file, 'utf8'));
    if (manifest.stripped === true) typescript.accept(`${dir}/${version}`);
    try {
      exported = createRequire(file)(file);
    } catch (err) {
      // A top-level await; or a module that failed to link before, and tells import() why.
      if (err?.code !== 'ERR_REQUIRE_ASYNC_MODULE' && err?.code !== 'ERR_REQUIRE_ESM_RACE_CONDITION') throw err;
      exported = import(pathToFileURL(file).href);
      return b.then(b.then(exported, (ns) => make(name, version, manifest, ns)), undefined, rethrow);
    }
    const f = make(name, version, manifest, exported);
    return b.types.isPromise(f) ? b.then(f, undefined, rethrow) : f;
  } catch (err) {
    return rethrow(err);
  }
}

function rethrow(err) {
  if (err instanceof LoadError) throw err;
  const syntax = err instanceof b.SyntaxError || (typeof err?.code === 'string' && b.endsWith(err.code, 'TYPESCRIPT_SYNTAX'));
  throw new LoadError(syntax ? 'syntax' : 'load', err);
}

/** A function: what the manifest says, and how its model is served. */
function make(name, version, manifest, exported) {
  const found = detect(exported, manifest.model);
  const about = {
    secrets: manifest.secrets ?? {},
    config: manifest.config ?? {},
    env: { ...manifest.config, ...manifest.secrets },
    meta: (x) => ({
      tenant: manifest.tenant,
      container: manifest.container,
      function: name,
      version: +version,
      runtime: manifest.runtime,
      prefix: x.prefix,
    }),
  };
  const made = (kind) => ({ ...about, ...kind });
  return b.types.isPromise(found) ? b.then(found, made) : made(found);
}

/** The names of what is loaded, as "function/version". */
function list() {
  const names = [];
  const keys = loaded.keys();
  for (let next = keys.next(); !next.done; next = keys.next()) {
    if (!b.startsWith(next.value, exercise.NAME)) b.push(names, next.value);
  }
  return names;
}

module.exports = { find, load, list, entry, setRoot };
