'use strict';
// One package is built: unpacked, given what it depends on, its install scripts run, and taken out.

const fs = require('node:fs');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { pipeline } = require('node:stream/promises');
const { WORK, Refused } = require('./work.js');

const MODULES = `${WORK}/node_modules`;
const MAX_LINE = 4096; // bytes of a line of output; longer ones are cut in pieces
const LINE_COST = 16; // bytes that a line counts beside its text
const MAX_OUTPUT = (1 << 20) - 4096; // bytes of output in all, less than the host takes; the rest is counted
const NAME = /^(?:@[a-z0-9~._-][a-z0-9~._-]*\/)?[a-z0-9~._-]+$/i;

let built; // name of the package, once there is one

/** The folder of a package, which is never outside of MODULES. */
function folder(name) {
  const last = `${name}`.split('/').pop();
  if (typeof name !== 'string' || !NAME.test(name) || name.startsWith('.') || /^\.\.?$/.test(last)) {
    throw new Refused(400, 'ENAME', `${JSON.stringify(name)} is no name of a package`);
  }
  return path.join(MODULES, name);
}

/** Unpacks a tar as the package of that name. */
async function input(name, req) {
  const dir = folder(name);
  fs.mkdirSync(dir, { recursive: true });
  const tar = spawn('tar', ['--extract', '--no-same-owner', '--no-same-permissions', `--directory=${dir}`], { stdio: ['pipe', 'ignore', 'pipe'] });
  let text = '';
  tar.stderr.on('data', (chunk) => { if (text.length < MAX_LINE) text += chunk; });
  const ended = once(tar, 'close');
  await pipeline(req, tar.stdin).catch(() => {}); // tar says why, if it is tar that failed
  const [code] = await ended;
  if (code !== 0) throw new Refused(422, 'EUNPACK', `tar: ${text.trim() || `exit code ${code}`}`);
  built = name;
  return {};
}

/** Puts dependencies and their commands where npm would have put them. */
function link(doc) {
  const own = folder(doc.name);
  for (const [name, target] of Object.entries(doc.links ?? {})) {
    let at = folder(name);
    if (at === own) at = path.join(own, 'node_modules', name); // another version of itself
    if (fs.existsSync(at)) continue; // bundled
    fs.mkdirSync(path.dirname(at), { recursive: true });
    fs.symlinkSync(target, at);
  }
  fs.mkdirSync(`${MODULES}/.bin`, { recursive: true });
  for (const [command, target] of Object.entries(doc.bin ?? {})) {
    if (!/^[^/\0]+$/.test(command) || /^\.\.?$/.test(command)) continue;
    fs.rmSync(`${MODULES}/.bin/${command}`, { force: true });
    fs.symlinkSync(target, `${MODULES}/.bin/${command}`);
  }
  return own;
}

/** Runs the scripts and streams what they print, a JSON document a line. */
async function build(doc, res) {
  const dir = link(doc);
  res.writeHead(200, { 'content-type': 'application/x-ndjson' });
  res.flushHeaders();
  // A process of its own: the scripts inherit its pipes, and the kernel may end it for want of memory.
  const child = spawn(process.execPath, [path.join(__dirname, 'run.js'), dir, JSON.stringify(doc.env ?? {})], { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
  const say = teller(res);
  const read = Promise.all([lines(child.stdout, say), lines(child.stderr, say)]);
  const [code, signal] = await once(child, 'exit');
  await killAll(); // and with them whoever else holds the pipes
  await read;
  if (say.dropped > 0) res.write(`${JSON.stringify({ out: `(${say.dropped} more bytes of output are not shown)` })}\n`);
  res.end(`${JSON.stringify({ done: true, code: code ?? 128 + require('node:os').constants.signals[signal] })}\n`);
}

/** A function that sends a line, until there were too many. It waits while the host does not read. */
function teller(res) {
  let left = MAX_OUTPUT;
  const say = async (text) => {
    const cost = Buffer.byteLength(text) + LINE_COST;
    if (left < cost) {
      say.dropped += cost - LINE_COST;
      return;
    }
    left -= cost;
    if (!res.write(`${JSON.stringify({ out: text })}\n`)) await Promise.race([once(res, 'drain'), once(res, 'close')]);
  };
  say.dropped = 0;
  return say;
}

async function lines(stream, say) {
  stream.setEncoding('utf8');
  let rest = '';
  for await (const chunk of stream) {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop();
    while (rest.length > MAX_LINE) {
      parts.push(rest.slice(0, MAX_LINE));
      rest = rest.slice(MAX_LINE);
    }
    for (const part of parts) await say(part.slice(0, MAX_LINE).replace(/\r$/, ''));
  }
  if (rest !== '') await say(rest);
}

/** Ends every process but this one and init, so that nothing changes the result while it is read. */
async function killAll() {
  for (;;) {
    try {
      process.kill(-1, 'SIGKILL'); // the kernel spares the caller and pid 1
    } catch (err) {
      if (err.code === 'ESRCH') return; // nobody is left
      throw err;
    }
    await new Promise((resolve) => { setTimeout(resolve, 5); }); // init has to reap them
  }
}

/** Sends the package's folder as a tar: no links from outside, no owners, one time for all. */
async function result(res) {
  if (built === undefined) throw new Refused(409, 'ENOINPUT', 'nothing was unpacked');
  const dir = folder(built);
  const tar = spawn('tar', ['--create', '--sort=name', '--hard-dereference', '--numeric-owner', '--owner=0', '--group=0',
    '--mtime=@946684800', '--format=pax', '--pax-option=delete=atime,delete=ctime', `--directory=${dir}`, '.'], { stdio: ['ignore', 'pipe', 'inherit'] });
  res.writeHead(200, { 'content-type': 'application/x-tar' });
  const ended = once(tar, 'close');
  await pipeline(tar.stdout, res, { end: false });
  const [code] = await ended;
  if (code !== 0) return res.destroy(); // half a body is no answer
  return res.end();
}

module.exports = { input, build, result };
