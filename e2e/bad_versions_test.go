package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/e2e/harness"
)

// brokenVersion does not load: what Node.js says about it, and under which reason.
type brokenVersion struct {
	name, file, code string
	reason           string
	says             []string // in message or stack
}

var broken = []brokenVersion{
	{"syntax", "index.js", "const a = 1;\nmodule.exports = cb => cb(null, ;", "syntax", []string{"SyntaxError", "Unexpected token ';'", "index.js:2"}},
	{"syntax-module", "index.mjs", "export default async () => {\n  return )\n}", "syntax", []string{"SyntaxError", "Unexpected token ')'", "index.mjs:2"}},
	{"syntax-typescript", "index.ts", "export default async (r: Request): => new Response('x')", "syntax", []string{"SyntaxError"}},
	{"enum-typescript", "index.ts", "enum A { B }\nexport default async () => new Response(A.B)", "syntax", []string{"enum is not supported in strip-only mode"}},
	{"throw", "index.js", "throw new TypeError('no database')", "load", []string{"no database", "TypeError", "index.js:1"}},
	{"throw-null", "index.js", "throw null", "load", []string{"null"}},
	{"throw-later", "index.mjs", "setTimeout(() => { throw new Error('too late') }, 10); await new Promise(() => {})", "load", []string{"too late"}},
	{"reject", "index.mjs", "await Promise.reject(new Error('no queue')); export default () => {}", "load", []string{"no queue"}},
	{"missing-module", "index.js", "require('./nowhere')", "load", []string{"Cannot find module './nowhere'"}},
	{"missing-import", "index.mjs", "import x from './nowhere.js'", "load", []string{"Cannot find module", "nowhere.js"}},
	{"missing-export", "index.mjs", "import {nothing} from 'node:fs'", "syntax", []string{"does not provide an export named 'nothing'"}},
	{"exit", "index.js", "process.exit(3)", "exit", []string{"status 3"}},
	{"abort", "index.js", "process.abort()", "exit", []string{"status 134"}},
	{"kill", "index.js", "process.kill(process.pid, 'SIGKILL')", "exit", []string{"status 137"}},
	{"memory", "index.js", "const a = []; for (;;) a.push(Buffer.alloc(4 << 20, 1))", "oom", []string{"128 MiB"}},
	{"nothing", "index.js", "", "shape", []string{"The module exports nothing that Hearth can call", "{}"}},
	{"number", "index.js", "module.exports = 42", "shape", []string{"module.exports = cb => cb(null, result)", "42"}},
	{"class", "index.js", "module.exports = class A {}", "shape", []string{"class A"}},
	{"close", "index.js", "for (let fd = 3; fd < 64; fd++) try { require('fs').closeSync(fd) } catch {}; module.exports = cb => cb()", "", nil},
	{"stop", "index.js", "process.kill(process.pid, 'SIGSTOP')", "timeout", []string{"10s"}},
	{"endless", "index.js", "for (;;) {}", "timeout", []string{"10s"}},
	{"endless-await", "index.mjs", "await new Promise(r => setTimeout(r, 1e6)); export default () => {}", "timeout", []string{"10s"}},
}

// A broken version is failed, in the words of Node.js, while the old one goes on serving.
func TestBadVersions(t *testing.T) {
	n := shared(t)
	n.Container("bad-versions", "c", M{"memory_mib": 128})
	for _, b := range broken {
		n.Put("bad-versions", "c", b.name, M{"code": "module.exports = cb => cb(null, 1)"})
	}
	s := startSteady(t, n, "bad-versions", "c", "syntax")
	time.Sleep(2 * time.Second)
	quiet := s.take()
	put := func(t *testing.T, b brokenVersion) {
		n := n.For(t)
		a := n.Put("bad-versions", "c", b.name, M{"files": M{b.file: b.code}})
		f, _ := a.JSON()["error"].(map[string]any)
		text := fmt.Sprint(f["message"], "\n", f["stack"])
		if a.Status != 200 || a.JSON()["status"] != "failed" || a.JSON()["version"] != 2.0 || a.JSON()["active"] != 1.0 || b.reason != "" && f["reason"] != b.reason {
			t.Errorf("%s: got %d %v %s", b.name, a.Status, a.Err, a.Body)
		}
		for _, want := range b.says {
			if !strings.Contains(text, want) {
				t.Errorf("%s: it says %q, without %q", b.name, text, want)
			}
		}
		if strings.Contains(text, "/hearth/shim") {
			t.Errorf("%s: it shows the shim: %q", b.name, text)
		}
		if c := n.Call("bad-versions", "c", b.name); c.Text() != "1" || c.Header.Get("hearth-version") != "1" {
			t.Errorf("%s: the old version answers %d %s", b.name, c.Status, c.Body)
		}
	}
	var endless sync.WaitGroup
	for _, b := range broken {
		if b.reason == "timeout" {
			endless.Go(func() { put(t, b) }) // ten seconds each, side by side
		}
	}
	time.Sleep(time.Second) // they are under way
	began := time.Now()
	n.Deploy("bad-versions-other", "c", "f", "module.exports = cb => cb(null, 1)")
	took := time.Since(began)
	if took > 5*time.Second {
		t.Errorf("another tenant waited %s for its deploy", took)
	}
	t.Logf("another tenant's deploy beside the endless ones took %s", took.Round(time.Millisecond))
	endless.Wait()
	for _, b := range broken {
		if b.reason != "timeout" {
			t.Run(b.name, func(t *testing.T) { put(t, b) })
		}
	}
	beside := s.stop()
	t.Logf("calls of the old versions: %s; beside the broken ones %s", quiet, beside)
	if len(beside.failed) > 0 {
		t.Errorf("calls of the old version failed: %s", beside.failed)
	}
}

// later is a function that loads when it is tried, and does harm when it is loaded to serve.
func later(evil string, timeoutMS int) M {
	harm := fmt.Sprintf("if (Date.now() > %d) { %s }\n", time.Now().Add(2*time.Second).UnixMilli(), evil)
	if strings.Contains(evil, "await") {
		return M{"files": M{"index.mjs": harm + "export default () => new Response('ok')"}, "timeout_ms": timeoutMS}
	}
	return M{"code": harm + "module.exports = cb => cb(null, 'ok')", "timeout_ms": timeoutMS}
}

// What breaks while it is loaded for a call is that call's clear answer, over and over; the container
// is told to wait only when its instances keep crashing.
func TestBadLoads(t *testing.T) {
	n := shared(t)
	cases := []struct {
		name, evil        string
		status            int
		component, reason string
		crashes           bool // the instance with it
	}{
		{"exit", "process.exit(3)", 502, "code", "died", true},
		{"throw", "throw new Error('hidden')", 500, "code", "load", false},
		{"throw-later", "setImmediate(() => { throw new Error('hidden') }); await new Promise(() => {})", 500, "code", "throw", true},
		{"endless", "for (;;) {}", 504, "code", "timeout", false},
		{"endless-await", "await new Promise(() => {})", 504, "code", "timeout", false},
		{"memory", "const a = []; for (;;) a.push(Buffer.alloc(4 << 20, 1))", 502, "code", "oom", true},
	}
	for _, c := range cases {
		n.Container("bad-loads", c.name, M{"memory_mib": 128})
		timeoutMS := 10_000 // filling the memory takes more than a second on a busy machine
		if c.reason == "timeout" {
			timeoutMS = 1000
		}
		for name, doc := range map[string]M{"f": later(c.evil, timeoutMS), "other": {"code": "module.exports = cb => cb(null, 'ok')"}} {
			if p := n.Put("bad-loads", c.name, name, doc); p.JSON()["status"] != "ready" {
				t.Fatalf("%s: %d %v %s", c.name, p.Status, p.Err, p.Body)
			}
		}
	}
	time.Sleep(2 * time.Second)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			n := n.For(t)
			told := 0
			for i := range 8 {
				a := n.Call("bad-loads", c.name, "f")
				if c.crashes && a.Status == 503 { // enough is enough
					wantProblem(t, a, "code", "crashed")
					if a.Header.Get("retry-after") == "" {
						t.Error("no Retry-After")
					}
					told++
					continue
				}
				if a.Err != nil || a.Status != c.status {
					t.Fatalf("call %d: %d %v %s", i, a.Status, a.Err, a.Body)
				}
				wantProblem(t, a, c.component, c.reason)
				if strings.Contains(a.Text(), "hidden") {
					t.Errorf("the caller sees %s", a.Body)
				}
				if i < 2 { // later the container has to wait
					if o := n.Call("bad-loads", c.name, "other"); o.Text() != "ok" {
						t.Errorf("the other function after call %d: %d %v %s", i, o.Status, o.Err, o.Body)
					}
				}
				if c.reason == "timeout" && i == 2 {
					break
				}
			}
			if c.crashes && told == 0 {
				t.Error("8 crashes in a row were never answered with: wait")
			}
		})
	}
	harness.WaitFor(t, "the container to get an instance again", 20*time.Second, func() bool {
		return n.Do(context.Background(), "GET", "/run/bad-loads/exit/other", nil).Text() == "ok"
	})
}
