'use strict';
// Runs the install scripts of a package as npm does when it installs it: through npm's own code, so that
// environment, PATH, the shell and what stands in for a missing script are npm's.
//
//   run.js DIR ENV     ENV is a JSON object of variables beside npm's

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { NPM, REGISTRY, WORK } = require('./work.js');

const EVENTS = ['preinstall', 'install', 'postinstall'];

/** What npm's command line would have set, of what scripts are known to look at. */
function environment(dir, extra) {
  const { version } = JSON.parse(fs.readFileSync(`${NPM}/package.json`));
  return {
    INIT_CWD: WORK,
    NODE: process.execPath,
    TMPDIR: '/tmp',
    npm_command: 'install',
    npm_execpath: `${NPM}/bin/npm-cli.js`,
    npm_node_execpath: process.execPath,
    npm_config_user_agent: `npm/${version} node/${process.version} ${process.platform} ${process.arch} workspaces/false`,
    npm_config_registry: REGISTRY,
    npm_config_cache: `${WORK}/home/.npm`,
    npm_config_update_notifier: 'false',
    npm_config_nodedir: '/usr', // the headers of exactly this Node.js, so node-gyp downloads nothing
    JOBS: `${os.availableParallelism()}`,
    npm_package_json: path.join(dir, 'package.json'),
    ...extra,
  };
}

async function main([dir, extra]) {
  const runScript = require(`${NPM}/node_modules/@npmcli/run-script`);
  const { content: pkg } = await require(`${NPM}/node_modules/@npmcli/package-json`).normalize(dir);
  const env = environment(dir, JSON.parse(extra));
  for (const event of EVENTS) {
    await runScript({ event, path: dir, pkg, env, stdio: [0, 1, 2], scriptShell: '/bin/sh' });
  }
}

function how(err) {
  // A shell reports a child's end by a signal as 128 + its number.
  if (err.signal === 'SIGKILL' || err.code === 137) return 'it was killed, most likely for want of memory';
  return err.signal ? `signal ${err.signal}` : `exit code ${err.code}`;
}

main(process.argv.slice(2)).catch((err) => {
  if (err.event === undefined) console.error(err.message);
  else console.error(`${err.event} script failed: ${err.script}: ${how(err)}`);
  process.exitCode = Number.isInteger(err.code) ? err.code : 1;
});
