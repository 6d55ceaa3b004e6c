package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/e2e/harness"
	"hearth/internal/module/registry/registrytest"
)

var packed struct {
	once     sync.Once
	node     *harness.Node
	registry *registrytest.Registry
	stop     func() bool
}

// withRegistry is the hearth whose packages come from a registry of ours, which tests share as they
// share the other one: a test keeps to tenants and package names of its own.
func withRegistry(t testing.TB) (*harness.Node, *registrytest.Registry) {
	t.Helper()
	harness.Binary(t)
	packed.once.Do(func() {
		packed.node, packed.registry, packed.stop = harness.SharedWith("--pool", "2")
	})
	if packed.node == nil {
		t.Fatal("the hearth with a registry of its own did not start")
	}
	return packed.node.For(t), packed.registry
}

// deployed puts a function and fails the test unless it is ready in time.
func deployed(t *testing.T, n *harness.Node, tenant, container, function string, body M) {
	t.Helper()
	if got := settled(t, n, tenant, container, function, body); got["status"] != "ready" {
		t.Fatalf("deploy %s/%s/%s: %v", tenant, container, function, got)
	}
}

// settled puts a function and waits until it is ready or failed, longer than one request may.
func settled(t *testing.T, n *harness.Node, tenant, container, function string, body M) map[string]any {
	t.Helper()
	a := n.Put(tenant, container, function, body)
	if a.Status >= 400 {
		t.Fatalf("put %s/%s/%s: %d %s", tenant, container, function, a.Status, a.Body)
	}
	return settles(t, n, tenant, container, function, 3*time.Minute)
}

// settles waits until the newest version of a function is ready or failed.
func settles(t *testing.T, n *harness.Node, tenant, container, function string, patience time.Duration) map[string]any {
	t.Helper()
	var got map[string]any
	harness.WaitFor(t, tenant+"/"+container+"/"+function+" is settled", patience, func() bool {
		got = n.API("GET", harness.FunctionPath(tenant, container, function), nil).JSON()
		return got["status"] == "ready" || got["status"] == "failed"
	})
	return got
}

// npmPackages publishes a small world that has every form of dependency, and returns the package.json
// of a program that uses it.
func npmPackages(r *registrytest.Registry) M {
	lib := func(name, version string, deps M) {
		code := fmt.Sprintf("exports.me = %q\n", name+"@"+version)
		for dep := range deps {
			code += fmt.Sprintf("exports[%q] = require(%[1]q)\n", dep)
		}
		r.Publish(name, version, map[string]string{"index.js": code}, M{"dependencies": deps})
	}
	// A framework in small: ranges, a package in two versions, each at its place.
	lib("e-debug", "1.4.0", M{"e-ms": "^1"})
	lib("e-debug", "2.0.1", M{"e-ms": "^2"})
	lib("e-ms", "1.0.9", nil)
	lib("e-ms", "2.1.0", nil)
	lib("e-ms", "2.1.3", nil)
	lib("e-router", "1.1.0", M{"e-debug": "~1.4"})
	lib("e-web", "5.0.0", M{"e-router": "1", "e-debug": "^2.0.0"})
	lib("e-web", "5.1.2", M{"e-router": "1", "e-debug": "^2.0.0"})
	// One core that two others must share.
	for _, v := range []string{"3.0.0", "3.2.0", "4.0.0"} {
		r.Publish("e-core", v, map[string]string{"index.js": "exports.Core = class Core {}; exports.me = 'e-core@" + v + "'\n"}, nil)
	}
	for _, name := range []string{"@e/plugin", "@e/other"} {
		r.Publish(name, "1.0.0", map[string]string{"index.js": "const {Core} = require('e-core'); exports.make = () => new Core()\n"}, M{"peerDependencies": M{"e-core": "^3"}})
	}
	// An override, and packages of other platforms.
	lib("e-leaf", "1.2.0", nil)
	lib("e-leaf", "1.3.0", nil)
	lib("e-stem", "1.0.0", M{"e-leaf": "^1.2"})
	r.Publish("e-fast-darwin", "1.0.0", nil, M{"os": []string{"darwin"}})
	r.Publish("e-fast-linux", "1.0.0", map[string]string{"index.js": "module.exports = 'native speed'\n"}, M{"os": []string{"linux"}})
	r.Publish("e-fast", "1.0.0", map[string]string{"index.js": "module.exports = ['darwin', 'linux'].map(os => { try { return require('e-fast-' + os) } catch { return null } })\n"},
		M{"optionalDependencies": M{"e-fast-darwin": "1", "e-fast-linux": "1"}})
	// What is inside, what has no require, what is not declared.
	r.Publish("e-inner", "9.0.0", nil, nil)
	r.Publish("e-bundle", "1.0.0", map[string]string{
		"index.js":                           "module.exports = require('e-inner')\n",
		"node_modules/e-inner/package.json":  `{"name": "e-inner", "version": "9.0.0"}`,
		"node_modules/e-inner/index.js":      "module.exports = 'from the bundle'\n",
		"node_modules/e-inner/lib/unused.js": "",
	}, M{"dependencies": M{"e-inner": "9.0.0"}, "bundleDependencies": []string{"e-inner"}})
	r.Publish("e-esm", "1.0.0", map[string]string{"index.js": "import leaf from 'e-leaf'; export default {me: 'e-esm@1.0.0', leaf: leaf.me}\n"},
		M{"type": "module", "exports": M{"import": "./index.js"}, "dependencies": M{"e-leaf": "1"}})
	r.Publish("e-sloppy", "1.0.0", map[string]string{"index.js": "exports.undeclared = require('e-leaf').me\n"}, nil)
	// A command that another package's install script runs, and an addon in C++.
	r.Publish("e-tool", "1.0.0", map[string]string{"cli.js": "#!/usr/bin/env node\nrequire('fs').writeFileSync(process.argv[2], 'module.exports = \"made by e-tool\"')\n"}, M{"bin": M{"e-make": "cli.js"}})
	r.Publish("e-made", "1.0.0", map[string]string{"index.js": "module.exports = require('./made.js')\n"}, M{"dependencies": M{"e-tool": "1"}, "scripts": M{"install": "e-make made.js"}})
	r.Publish("e-addon", "1.0.0", map[string]string{
		"index.js":    "module.exports = require('./build/Release/addon.node').answer()\n",
		"binding.gyp": `{"targets": [{"target_name": "addon", "sources": ["addon.cc"]}]}`,
		"addon.cc": `#include <node_api.h>
#include <vector>
static napi_value Answer(napi_env env, napi_callback_info) {
  std::vector<int> all{42};
  napi_value v;
  napi_create_int32(env, all.back(), &v);
  return v;
}
NAPI_MODULE_INIT() {
  napi_value f;
  napi_create_function(env, nullptr, 0, Answer, nullptr, &f);
  napi_set_named_property(env, exports, "answer", f);
  return exports;
}
`}, M{"gypfile": true, "scripts": M{"install": "node-gyp rebuild"}}) // as npm publish fills it in
	return M{"name": "program", "version": "1.0.0",
		"dependencies": M{"e-web": "^5.0.0", "e-ms": "2.1.0", "e-core": "<4", "@e/plugin": "latest", "@e/other": "1", "old-core": "npm:e-core@3.0.0",
			"e-stem": "1", "e-fast": "*", "e-bundle": "1", "e-esm": "1", "e-sloppy": "1"},
		"overrides": M{"e-leaf": "1.2.0"}}
}

// program loads the packages of npmPackages and tells what it got, and name@version of all that is
// loaded. It runs as a function and with node alone.
const program = `
const fs = require('fs'), path = require('path')
async function run() {
	const web = require('e-web'), core = require('e-core'), old = require('old-core')
	const esm = (await import('e-esm')).default
	const out = {
		web: web.me, router: web['e-router'].me, debug: [web['e-debug'].me, web['e-router']['e-debug'].me],
		ms: [require('e-ms').me, web['e-debug']['e-ms'].me, web['e-router']['e-debug']['e-ms'].me],
		same: [require('@e/plugin').make() instanceof core.Core, require('@e/other').make() instanceof core.Core, require('@e/plugin').make() instanceof old.Core],
		core: [core.me, old.me], leaf: require('e-stem')['e-leaf'].me, fast: require('e-fast'), bundle: require('e-bundle'), esm, sloppy: require('e-sloppy').undeclared,
	}
	const seen = new Set()
	for (const file of Object.keys(require.cache)) {
		if (!file.includes('/node_modules/')) continue
		let dir = path.dirname(file)
		while (!fs.existsSync(dir + '/package.json')) dir = path.dirname(dir)
		const {name, version} = JSON.parse(fs.readFileSync(dir + '/package.json', 'utf8'))
		seen.add(name + '@' + version)
	}
	out.loaded = [...seen].sort()
	return out
}
module.exports = run
if (require.main === module) run().then(out => console.log(JSON.stringify(out)))
`

// npm runs the real npm in dir against r.
func npm(t *testing.T, r *registrytest.Registry, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("npm", append(args, "--no-audit", "--no-fund", "--ignore-scripts", "--registry", r.URL(), "--cache", filepath.Join(dir, ".npm"),
		"--userconfig", filepath.Join(dir, "user.npmrc"), "--globalconfig", filepath.Join(dir, "global.npmrc"))...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm %s: %v\n%s", args[0], err, out)
	}
}

// The same packages are loaded, each from its place, as after npm ci of the same lock: ranges, copies,
// peers, aliases, overrides, other platforms, bundles, ES modules, and what is not declared; whether
// Hearth makes the lock or gets it. Install scripts and addons in C++ work on both runtimes.
func TestDependencies(t *testing.T) {
	t.Parallel()
	n, r := withRegistry(t)
	manifest := npmPackages(r)
	text, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"package.json": string(text), "index.js": program} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	npm(t, r, dir, "install", "--package-lock-only")
	npm(t, r, dir, "ci")
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "index.js")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node index.js after npm ci: %v", err)
	}
	want := strings.TrimSpace(string(out))
	t.Logf("after npm ci: %s", want)
	if !strings.Contains(want, `"same":[true,true,false]`) || !strings.Contains(want, `"fast":[null,"native speed"]`) || !strings.Contains(want, `"leaf":"e-leaf@1.2.0"`) {
		t.Error("the program does not show what it is for")
	}
	clean(n, "dependencies")
	n.Container("dependencies", "c", nil)
	files := M{"package.json": string(text), "index.js": program}
	locked := M{"package.json": string(text), "index.js": program, "package-lock.json": string(lock)}
	for _, rt := range []string{"node24", "node26"} {
		for form, files := range map[string]M{"resolved": files, "locked": locked} {
			name := form + rt
			deployed(t, n, "dependencies", "c", name, M{"runtime": rt, "files": files})
			if a := n.Call("dependencies", "c", name); a.Status != 200 || a.Text() != want {
				t.Errorf("%s on %s: %d, got and want:\n%s\n%s", form, rt, a.Status, a.Body, want)
			}
		}
		deployed(t, n, "dependencies", "c", "built"+rt, M{"runtime": rt, "dependencies": M{"e-addon": "1", "e-made": "1"},
			"code": "module.exports = cb => cb(null, [process.version.split('.')[0], require('e-addon'), require('e-made')])"})
		wantBuilt := fmt.Sprintf(`["v%s",42,"made by e-tool"]`, strings.TrimPrefix(rt, "node"))
		if a := n.Call("dependencies", "c", "built"+rt); a.Text() != wantBuilt {
			t.Errorf("built on %s: %d %s, want %s\n%+v", rt, a.Status, a.Body, wantBuilt, readLogs(t, n, "dependencies", "c", "built"+rt))
		}
	}
	if asked := r.Asked(); slices.Contains(asked, "e-inner@9.0.0") {
		t.Error("a bundled package was fetched")
	}
}
