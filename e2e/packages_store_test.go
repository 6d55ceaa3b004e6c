package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/e2e/harness"
	"hearth/internal/logs"
	"hearth/internal/module/registry/registrytest"
)

// What a node lacks comes from the blob store, without the registry, and says so once.
func TestColdRemote(t *testing.T) {
	r := registrytest.New(t)
	n := harness.StartWith(t, r, "--pool", "2")
	r.Publish("remote-leaf", "1.0.0", nil, nil)
	r.Publish("remote", "1.0.0", map[string]string{"index.js": "module.exports = ['remote', require('remote-leaf'), require('./made.js')]"},
		M{"dependencies": M{"remote-leaf": "1"}, "scripts": M{"install": "echo 'module.exports = \"made\"' >made.js"}})
	const want = `["remote","remote-leaf@1.0.0","made"]`
	for _, c := range []string{"a", "b"} {
		n.Container("remote", c, nil)
		deployed(t, n, "remote", c, "f", using("remote", "1"))
	}
	r.Close()
	if a := n.Call("remote", "a", "f"); a.Text() != want || a.Header.Get("hearth-start") != "cold-local" {
		t.Errorf("before: %d %s %s", a.Status, a.Header.Get("hearth-start"), a.Body)
	}
	n.Stop()
	if err := os.RemoveAll(filepath.Join(n.DataDir, "node", "packages")); err != nil {
		t.Fatal(err)
	}
	n.Start()
	n.WaitReady()
	for _, c := range []struct{ container, start string }{{"a", "cold-remote"}, {"b", "cold-local"}, {"a", "warm"}} {
		began := time.Now()
		a := n.Call("remote", c.container, "f")
		t.Logf("%s: %d after %s", a.Header.Get("hearth-start"), a.Status, time.Since(began).Round(time.Millisecond))
		if a.Text() != want || a.Header.Get("hearth-start") != c.start {
			t.Errorf("call in %s: %d %q %s, want %s", c.container, a.Status, a.Header.Get("hearth-start"), a.Body, c.start)
		}
	}
}

// loadMS is how long the newest call of a function loaded.
func loadMS(t *testing.T, n *harness.Node, tenant, container, function, request string) float64 {
	t.Helper()
	var ms float64
	waitLogs(t, n, tenant, container, function, "the record of a call", func(all []logs.Entry) bool {
		for _, e := range of(all, logs.StreamCall) {
			if e.Request == request {
				ms = e.Call.LoadMS
				return true
			}
		}
		return false
	})
	return ms
}

// A tree in demand has an instance that has loaded its packages and is frozen until it is somebody's:
// a cold call then loads in less than a third of the time. Nothing of those who used the packages before
// is in it. A tree that leaves a timer is not preloaded, and works.
func TestPreloaded(t *testing.T) {
	r := registrytest.New(t)
	n := harness.StartWith(t, r, "--pool", "2")
	busy := "const end = process.hrtime.bigint() + 150000000n; while (process.hrtime.bigint() < end);\n"
	for _, name := range []string{"busy-a", "busy-b"} {
		r.Publish(name, "1.0.0", map[string]string{"index.js": busy + "let calls = 0; exports.count = () => ++calls; exports.seen = []\n"}, nil)
	}
	r.Publish("timer", "1.0.0", map[string]string{"index.js": "setInterval(() => exports.ticks++, 5); exports.ticks = 0\n"}, nil)
	body := M{"dependencies": M{"busy-a": "1", "busy-b": "1"}, "secrets": M{"WHO": ""}, "code": `
const a = require('busy-a'), b = require('busy-b'), fs = require('fs')
module.exports = async ctx => {
	const found = {calls: a.count() + b.count(), seen: [...a.seen], global: globalThis.who ?? null, tmp: fs.readdirSync('/tmp').filter(f => f.startsWith('who-')), fn: fs.readdirSync('/fn')}
	a.seen.push(ctx.meta.tenant); globalThis.who = ctx.meta.tenant; fs.writeFileSync('/tmp/who-' + ctx.meta.tenant, '')
	return found
}`}
	tenant := func(k int) string { return fmt.Sprintf("demand%d", k) }
	const ahead, after = 2, 3
	for k := range ahead + after {
		n.Container(tenant(k), "c", nil)
		body["secrets"] = M{"WHO": tenant(k)}
		deployed(t, n, tenant(k), "c", "f", body)
	}
	cold := func(k int) float64 {
		a := n.Call(tenant(k), "c", "f")
		if want := `{"calls":2,"seen":[],"global":null,"tmp":[],"fn":["f"]}`; a.Text() != want || a.Header.Get("hearth-start") != "cold-local" {
			t.Errorf("call of %s: %d %s %s, want %s", tenant(k), a.Status, a.Header.Get("hearth-start"), a.Body, want)
		}
		return loadMS(t, n, tenant(k), "c", "f", a.Header.Get("hearth-request-id"))
	}
	if f := n.Frozen(); len(f) > 0 {
		t.Errorf("frozen before there was any call: %v", f)
	}
	var before, then []float64
	for k := range ahead {
		before = append(before, cold(k))
	}
	for k := range after {
		harness.WaitFor(t, "an instance with the packages is frozen", time.Minute, func() bool { return len(n.Frozen()) > 0 })
		waiting := n.Frozen()
		then = append(then, cold(ahead+k))
		if slices.Equal(n.Frozen(), waiting) {
			t.Errorf("the frozen instance %v was not taken", waiting)
		}
	}
	t.Logf("cold calls loaded for %.1f ms, with a preloaded instance for %.1f ms", before, then)
	if slices.Min(before) < 300 || 3*slices.Min(then) > slices.Min(before) {
		t.Errorf("a preloaded instance loads for %.1f ms, another for %.1f ms", then, before)
	}

	for k := range 4 {
		n.Container(fmt.Sprintf("ticking%d", k), "c", nil)
		deployed(t, n, fmt.Sprintf("ticking%d", k), "c", "f", M{"dependencies": M{"timer": "1"},
			"code": "const t = require('timer'); module.exports = async () => { await new Promise(done => setTimeout(done, 100)); return t.ticks > 3 }"})
		if a := n.Call(fmt.Sprintf("ticking%d", k), "c", "f"); a.Text() != "true" {
			t.Errorf("with a timer: %d %s", a.Status, a.Body)
		}
	}
	harness.WaitFor(t, "a tree with a timer is refused", time.Minute, func() bool {
		return strings.Contains(n.Log(), "tree cannot be preloaded") && strings.Contains(n.Log(), "Timeout")
	})
	if f := n.Frozen(); len(f) > 1 {
		t.Errorf("frozen: %v; want that of the first tree alone", f)
	}
}

// From inside a function the package store cannot be listed, written or guessed, and a lock on a file
// that two containers share holds up neither.
func TestHostStoreIsSafe(t *testing.T) {
	t.Parallel()
	n, r := withRegistry(t)
	r.Publish("safe-shared", "1.0.0", nil, nil)
	r.Publish("safe-other", "1.0.0", nil, nil)
	r.Publish("safe-flock", "1.0.0", map[string]string{
		"index.js":    "module.exports = require('./build/Release/addon.node').flock\n",
		"binding.gyp": `{"targets": [{"target_name": "addon", "sources": ["addon.cc"]}]}`,
		"addon.cc": `#include <node_api.h>
#include <errno.h>
#include <sys/file.h>
static napi_value Flock(napi_env env, napi_callback_info info) {
  size_t n = 1;
  napi_value arg, v;
  int32_t fd = -1;
  napi_get_cb_info(env, info, &n, &arg, nullptr, nullptr);
  napi_get_value_int32(env, arg, &fd);
  napi_create_int32(env, flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno, &v);
  return v;
}
NAPI_MODULE_INIT() {
  napi_value f;
  napi_create_function(env, nullptr, 0, Flock, nullptr, &f);
  napi_set_named_property(env, exports, "flock", f);
  return exports;
}
`}, M{"gypfile": true, "scripts": M{"install": "node-gyp rebuild"}})
	const code = `
const fs = require('fs'), path = require('path'), crypto = require('crypto'), flock = require('safe-flock')
let fd
module.exports = async () => {
	const tries = {}
	const attempt = (what, f) => { try { tries[what] = [f()] } catch (err) { tries[what] = err.code } }
	const pkg = fs.realpathSync(path.dirname(require.resolve('safe-shared'))), file = pkg + '/index.js'
	fd ??= fs.openSync(file)
	const again = fs.openSync(file)
	const locks = [flock(fd), flock(again)]
	fs.closeSync(again)
	for (const dir of ['', '/p', '/t', '/files', '/index', '/tmp', '/..data', '/synced']) attempt('list ' + dir, () => fs.readdirSync('/packages' + dir))
	attempt('list above', () => fs.readdirSync(path.resolve(pkg, '../../..')))
	attempt('write', () => fs.writeFileSync(file, 'x'))
	attempt('append', () => fs.appendFileSync(file, 'x'))
	attempt('truncate', () => fs.truncateSync(file))
	attempt('unlink', () => fs.unlinkSync(file))
	attempt('rename', () => fs.renameSync(file, file + '2'))
	attempt('chmod', () => fs.chmodSync(file, 0o777))
	attempt('utimes', () => fs.utimesSync(file, 1, 1))
	attempt('hard link', () => fs.linkSync(file, '/tmp/hard'))
	attempt('link', () => fs.symlinkSync('/etc/passwd', path.dirname(pkg) + '/evil'))
	attempt('folder', () => fs.mkdirSync(path.dirname(pkg) + '/evil'))
	attempt('new package', () => fs.mkdirSync('/packages/p/evil'))
	const guesses = []
	for (const word of ['safe-other', 'safe-other@1.0.0', 'safe-other/1.0.0', 'INTEGRITY', process.env.HOSTNAME ?? '', '']) {
		guesses.push(word, Buffer.from(word).toString('hex'))
		for (const sum of ['sha256', 'sha512', 'sha1', 'md5']) {
			const hex = crypto.createHash(sum).update(word).digest('hex')
			guesses.push(hex, hex.slice(0, 32), crypto.createHmac(sum, '').update(word).digest('hex').slice(0, 32))
		}
	}
	const guessed = guesses.filter(g => g && (fs.existsSync('/packages/p/' + g) || fs.existsSync('/packages/t/' + g)))
	return {pkg, locks, own: fs.readdirSync(pkg).sort(), open: Object.keys(tries).filter(k => Array.isArray(tries[k])), tries, guessed}
}`
	clean(n, "safe")
	clean(n, "unsafe")
	other := r.Publish("safe-other", "1.0.0", nil, nil)
	n.Container("safe", "c", nil)
	n.Container("unsafe", "c", nil)
	deployed(t, n, "safe", "c", "other", using("safe-other", "1"))
	var paths []any
	for _, tenant := range []string{"safe", "unsafe"} {
		deployed(t, n, tenant, "c", "f", M{"dependencies": M{"safe-shared": "1", "safe-flock": "1"}, "code": strings.Replace(code, "INTEGRITY", other.Integrity, 1)})
		a := n.Call(tenant, "c", "f")
		got := a.JSON()
		t.Logf("%s: %.600s", tenant, a.Body)
		if fmt.Sprint(got["open"], got["guessed"]) != "[] []" || fmt.Sprint(got["own"]) != "[index.js package.json]" {
			t.Errorf("%s: %s", tenant, a.Body)
		}
		if fmt.Sprint(got["locks"]) != "[0 11]" { // its own second try finds it locked: the first was a lock
			t.Errorf("%s: locks %v", tenant, got["locks"])
		}
		paths = append(paths, got["pkg"])
	}
	if paths[0] != paths[1] {
		t.Errorf("the package has two places: %v", paths)
	}
}

// burglary is an install script that looks for what is not its own, and tells in found.json.
const burglary = `
const fs = require('fs'), net = require('net'), path = require('path')
const canary = [...'CANARY'].reverse().join(''), found = []
const list = d => { try { return fs.readdirSync(d) } catch { return [] } }
const read = f => { try { return fs.readFileSync(f, 'latin1') } catch { return '' } }
const look = (where, text) => { if (text.includes(canary)) found.push('canary in ' + where) }
const walk = (dir, depth) => { for (const name of list(dir)) {
	const f = path.join(dir, name)
	look('the name ' + f, name)
	let st; try { st = fs.lstatSync(f) } catch { continue }
	if (['/proc', '/sys', '/dev', '/lib', '/usr', '/bin'].includes(f)) continue
	if (st.isDirectory() && depth < 8) walk(f, depth + 1)
	else if (st.isFile() && st.size < 1 << 20) look(f, read(f))
} }
look('the environment', JSON.stringify(process.env))
walk('/', 0); walk('/dev/shm', 0)
for (const pid of list('/proc')) for (const f of ['environ', 'cmdline', 'mountinfo', 'root/etc/hearth']) look('/proc/' + pid + '/' + f, read('/proc/' + pid + '/' + f))
for (const name of ['token', 'secret', 'password', 'auth']) for (const key of Object.keys(process.env)) if (key.toLowerCase().includes(name)) found.push('variable ' + key)
for (const f of ['../x-dep/index.js', '/packages/x', '/packages/p/x', '/lib/node_modules/npm/x', '/usr/x', '/hearth/shim/x', '/etc/passwd', '/x', '/fn/x']) {
	try { fs.appendFileSync(f, 'x'); found.push('wrote ' + f) } catch {}
}
try { fs.unlinkSync(fs.realpathSync('../x-dep') + '/index.js'); found.push('removed a file of x-dep') } catch {}
const places = ['HEARTH', 'REGISTRY', '127.0.0.1:80', '10.0.0.1:80', '169.254.169.254:80', '192.0.2.1:443', '::1:4873']
let left = places.length + 1
const done = () => { if (--left === 0) { fs.writeFileSync('found.json', JSON.stringify(found)); process.exit() } }
for (const p of places) {
	const at = p.lastIndexOf(':')
	const c = net.connect(+p.slice(at + 1), p.slice(0, at))
	c.on('connect', () => { found.push('reached ' + p); c.destroy(); done() }).on('error', done)
	setTimeout(() => { if (c.connecting) c.destroy(new Error('silent')) }, 2000).unref()
}
require('dns').lookup('example.com', (err, a) => { if (!err) found.push('resolved ' + a); done() })
`

// An install script of one tenant, after and beside those of another, finds no secret, reaches nothing
// but the registry's proxy and writes nothing but its own folder; one that takes all there is, or
// leaves processes behind, fails or spoils itself; and the next build is clean.
func TestH05_MaliciousInstallScript(t *testing.T) {
	r := registrytest.New(t)
	n := harness.StartWith(t, r, "--pool", "1")
	const canary = "canary-8f31c07e"
	reversed := []byte(canary)
	slices.Reverse(reversed)
	script := func(name, install string, files map[string]string, deps M) {
		r.Publish(name, "1.0.0", files, M{"scripts": M{"install": install}, "dependencies": deps})
	}
	r.Publish("x-dep", "1.0.0", nil, nil)
	script("x-victim", "for d in /work /tmp /dev/shm $HOME; do echo "+canary+" >$d/"+canary+"; done; echo 'module.exports = \""+canary+"\"' >index.js", nil, nil)
	script("x-look", "node attack.js", map[string]string{"index.js": "module.exports = require('./found.json')",
		"attack.js": strings.NewReplacer("CANARY", string(reversed), "HEARTH", strings.TrimPrefix(n.URL, "http://"), "REGISTRY", r.Host()).Replace(burglary)}, M{"x-dep": "1"})
	attacks := map[string]string{ // install script of each
		"x-memory": "node --max-old-space-size=16000 -e 'const a = []; for (;;) a.push(Buffer.alloc(1 << 24, 1))'",
		"x-disk":   "dd if=/dev/zero of=/work/big bs=1M; exit 1",
		"x-large":  "dd if=/dev/zero of=big bs=1M count=700; exit 0",
		"x-output": "timeout 5 yes 'line'; exit 1",
		"x-forks":  "f() { f | f & }; f; sleep 5; exit 1",
		"x-dies":   "kill -9 $PPID",
	}
	for name, install := range attacks {
		script(name, install, nil, nil)
	}
	script("x-daemon", "node -e \"for (let i = 0; i < 20; i++) child_process.spawn('sh', ['-c', 'trap \\\"\\\" TERM HUP; while :; do date >>late; done'], {detached: true, stdio: 'ignore'}).unref()\"; sleep 1", nil, nil)
	script("x-cpu", "while :; do :; done", nil, nil)
	for k := range 2 {
		script(fmt.Sprintf("x-honest%d", k), "(ls -A /tmp /dev/shm; ls -A /work | grep -v node_modules; ps ax 2>/dev/null | grep -c yes) >seen 2>&1; "+
			"node -e \"fs.writeFileSync('index.js', 'module.exports = ' + JSON.stringify(fs.readFileSync('seen', 'utf8')))\"", nil, nil)
	}
	for _, tenant := range []string{"victim", "burglar", "honest"} {
		n.Container(tenant, "c", nil)
	}

	body := using("x-victim", "1")
	body["secrets"], body["config"] = M{"CANARY": canary}, M{"canary": canary}
	deployed(t, n, "victim", "c", canary, body)
	if a := n.Call("victim", "c", canary); a.Text() != canary {
		t.Errorf("the victim: %d %s", a.Status, a.Body)
	}
	deployed(t, n, "burglar", "c", "look", using("x-look", "1"))
	var found []string
	a := n.Call("burglar", "c", "look")
	if err := json.Unmarshal(a.Body, &found); err != nil || len(found) > 0 {
		t.Errorf("an install script found: %d %s", a.Status, a.Body)
	}
	deployed(t, n, "burglar", "c", "dep", using("x-dep", "1"))
	if a := n.Call("burglar", "c", "dep"); a.Text() != "x-dep@1.0.0" {
		t.Errorf("its dependency: %d %s", a.Status, a.Body)
	}

	for name := range attacks {
		begun(t, n, "burglar", "c", name, using(name, "1"))
	}
	began := time.Now()
	deployed(t, n, "honest", "c", "f", using("x-honest0", "1"))
	t.Logf("another tenant's build, beside the attacks, was ready after %s", time.Since(began).Round(time.Millisecond))
	for name := range attacks {
		got := settles(t, n, "burglar", "c", name, 5*time.Minute)
		failure, _ := got["error"].(map[string]any)
		words, _ := failure["message"].(string)
		t.Logf("%s: %s %.300q", name, got["status"], words)
		if got["status"] != "failed" || !strings.Contains(words, name+"@1.0.0") {
			t.Errorf("%s: %v", name, got)
		}
	}
	// What goes on after its script is ended with it, so the package is as it was then.
	deployed(t, n, "burglar", "c", "daemon", using("x-daemon", "1"))
	begun(t, n, "burglar", "c", "cpu", using("x-cpu", "1"))
	harness.WaitFor(t, "the endless one runs", time.Minute, func() bool { return contents(t, n, "x-cpu")["building"] == 1 })
	began = time.Now()
	deployed(t, n, "honest", "c", "g", using("x-honest1", "1"))
	t.Logf("beside an endless one, another build was ready after %s", time.Since(began).Round(time.Millisecond))
	clean := n.Call("honest", "c", "f").Text()
	if got := n.Call("honest", "c", "g").Text(); got != clean || strings.Contains(got, canary) || strings.Contains(got, "big") {
		t.Errorf("a build after the attacks sees %q, one before %q", got, clean)
	}
	t.Logf("an honest build sees %q", clean)
	if strings.Contains(n.Log(), canary+" ") || strings.Contains(n.Log(), "CANARY") {
		t.Error("the canary is in the log of hearth")
	}
}
