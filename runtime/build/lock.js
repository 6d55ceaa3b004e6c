'use strict';
// A manifest becomes a lock, by npm's own `install --package-lock-only`. npm runs in this process, which
// may have loaded it while it waited: that is most of the time that a small manifest takes.

const fs = require('node:fs');
const { WORK, NPM, REGISTRY, Refused } = require('./work.js');

const FOLDER = `${WORK}/lock`; // holds package.json and nothing else, so no .npmrc is ever read
const OPTIONS = [
  '--package-lock-only', '--ignore-scripts', '--no-audit', '--no-fund', '--no-update-notifier',
  // Whatever is not a version of a registry's: its bytes could change, and nobody could fetch it again.
  '--allow-git=none', '--allow-remote=none', '--allow-file=none', '--allow-directory=none',
  `--registry=${REGISTRY}`, '--fetch-retries=0', // the proxy tries again by itself
  '--logs-max=0', '--loglevel=silent', '--no-progress', '--no-color', '--workspaces=false',
];

/** Loads what `npm install` needs. */
function preload() {
  for (const name of ['lib/npm.js', 'lib/commands/install.js', 'node_modules/@npmcli/arborist', 'node_modules/pacote']) {
    require(`${NPM}/${name}`);
  }
  return {};
}

/**
 * Lets npm open the tarballs of packages that bundle others, or have a shrinkwrap. Arborist
 * (lib/arborist/build-ideal-tree.js of npm 11.21) asks pacote for the tarball by its URL, which counts
 * as remote though it is the registry's; for the installing itself it has the same exemption.
 */
function exempt() {
  const pacote = require(`${NPM}/node_modules/pacote`);
  const { extract } = pacote;
  pacote.extract = (spec, folder, options) => extract(spec, folder,
    `${spec}`.startsWith(`${new URL(REGISTRY).origin}/`) ? { ...options, allowRemote: 'all' } : options);
}

/** Resolves doc.package, beginning with doc.lock if there is one, as of doc.before. */
async function lock(doc) {
  const manifest = { ...doc.package };
  delete manifest.workspaces; // there are no folders beside it
  delete manifest.packageManager;
  delete manifest.devEngines;
  fs.mkdirSync(FOLDER);
  fs.writeFileSync(`${FOLDER}/package.json`, JSON.stringify(manifest));
  if (doc.lock) fs.writeFileSync(`${FOLDER}/package-lock.json`, JSON.stringify(doc.lock));
  process.chdir(FOLDER);
  const argv = ['install', ...OPTIONS];
  if (doc.before) argv.push(`--before=${doc.before}`);
  const Npm = require(`${NPM}/lib/npm.js`);
  exempt();
  const npm = new Npm({ argv });
  await npm.load();
  try {
    await npm.exec('install', []);
  } catch (err) {
    throw new Refused(422, `${err.code ?? 'EUNKNOWN'}`, words(err));
  } finally {
    npm.unload();
  }
  return { lock: JSON.parse(fs.readFileSync(`${FOLDER}/package-lock.json`)) };
}

/** What npm would print about err, less its prefixes. */
function words(err) {
  const lines = [...err.summary ?? [], ...err.detail ?? []].map((line) => line.slice(1).join(' '));
  return lines.join('\n').trim() || `${err.message}`;
}

module.exports = { preload, lock };
