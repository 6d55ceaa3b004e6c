'use strict';
// Loads the direct dependencies of the package.json beside it and says what was loaded: the packages,
// by the name and version in their own package.json, that own a file which Node.js read as a module.
// A function under Hearth, a program under npm: both must give the same answer.

const fs = require('node:fs');
const path = require('node:path');
const { registerHooks, createRequire } = require('node:module');
const { fileURLToPath, pathToFileURL } = require('node:url');

const files = new Set();
registerHooks({
  load(url, context, next) { // of require() and import alike
    if (url.startsWith('file:')) files.add(fileURLToPath(url));
    return next(url, context);
  },
});

/** "name@version" of the package that owns a file, or undefined for files of no package. */
function owner(file) {
  const real = fs.realpathSync(file);
  const parts = real.split('/node_modules/');
  if (parts.length < 2) return undefined;
  const [first, second] = parts.at(-1).split('/');
  const folder = path.join(parts.slice(0, -1).join('/node_modules/'), 'node_modules', first, first[0] === '@' ? second : '');
  const { name, version } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'));
  return `${name}@${version}`;
}

/** Loads a dependency as whatever it is; the code of the error if it is nothing that can be loaded. */
async function load(name, require) {
  try {
    require(name);
    return undefined;
  } catch (err) {
    try { // what only import() may load, and what has no main file
      await import(pathToFileURL(require.resolve(name)).href);
      return undefined;
    } catch (second) {
      return String(second?.code ?? err?.code ?? err?.name);
    }
  }
}

async function probe() {
  const require = createRequire(__filename);
  const { dependencies = {}, optionalDependencies = {} } = JSON.parse(fs.readFileSync(path.join(__dirname, 'package.json'), 'utf8'));
  const failed = {};
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies }).sort()) {
    const code = await load(name, require);
    if (code !== undefined) failed[name] = code;
  }
  const checks = fs.existsSync(path.join(__dirname, 'check.js')) ? require('./check.js') : {};
  for (const file of Object.keys(require.cache)) files.add(file); // native addons pass no load hook
  const loaded = new Set([...files].map(owner).filter(Boolean));
  return { loaded: [...loaded].sort(), failed, checks };
}

if (require.main === module) probe().then((out) => { console.log(`\n${JSON.stringify(out)}`); process.exit(0); });
module.exports = async () => probe();
