package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/e2e/harness"
)

// attack is a function that does harm when it is called. With ?ok it answers {id}, where id is new
// with every instance.
type attack struct {
	name string
	evil string // the body of (ctx, cb) => {…}, or of (ctx, req, res) => {…} if raw
	raw  bool
	put  M // fields of the document beside code; timeout_ms is 500 unless said
	body []byte

	status    []int // that the caller may get; none: an answer that breaks off
	component string
	reason    string // as the problem says it
	fresh     bool   // the container's next call needs a new instance, and the old one is gone soon
	lives     bool   // the same instance goes on
	check     func(t *testing.T, n *harness.Node, tenant string, a harness.Answer, took time.Duration)
}

func status(s ...int) []int { return s }

// serveInstead takes the shim's listener over and answers every new connection with bytes.
func serveInstead(bytes string) string {
	return `for (const h of process._getActiveHandles()) if (h._handle?.fd === 3 && h.listening) {
		h.removeAllListeners('connection'); h.on('connection', s => s.on('data', () => s.write(` + bytes + `))) }; cb(null, 'first')`
}

// garbage is an attack that writes bytes past Node.js's HTTP to the socket of its request.
func garbage(name, bytes string) attack {
	return attack{name: "raw-" + name, raw: true, evil: "res.socket.write(" + bytes + ")",
		status: status(502), component: "code", reason: "bad_answer"}
}

var attacks = []attack{
	{name: "throw", evil: `throw new Error('hidden')`, status: status(500), component: "code", reason: "throw", lives: true},
	{name: "throw-null", evil: `throw null`, status: status(500), component: "code", reason: "throw", lives: true},
	{name: "throw-later", evil: `setTimeout(() => { throw new Error('hidden') }, 5)`, status: status(500), component: "code", reason: "throw", fresh: true},
	{name: "throw-null-later", evil: `setImmediate(() => { throw null })`, status: status(500), component: "code", reason: "throw", fresh: true},
	{name: "reject", evil: `return Promise.reject(new Error('hidden'))`, status: status(500), component: "code", reason: "reject", lives: true},
	{name: "callback-error", evil: `cb(new Error('hidden'))`, status: status(500), component: "code", reason: "reject", lives: true},
	{name: "unhandled-rejection", evil: `Promise.reject(new Error('hidden'))`, status: status(500), component: "code", reason: "throw", fresh: true},
	{name: "never-answers", evil: ``, status: status(504), component: "code", reason: "timeout", fresh: true, check: inTime},
	{name: "never-answers-raw", raw: true, evil: ``, status: status(504), component: "code", reason: "timeout", fresh: true, check: inTime},
	{name: "answers-twice", evil: `cb(null, 'first'); cb(null, 'second')`, status: status(200), lives: true, check: text("first")},
	{name: "answers-twice-raw", raw: true, evil: `res.end('first'); res.end('second'); res.write('third')`, status: status(200), check: text("first")},
	{name: "throws-after-answer", evil: `cb(null, 'first'); throw new Error('hidden')`, status: status(200), lives: true, check: text("first")},
	{name: "endless-loop", evil: `for (;;) {}`, status: status(504), component: "code", reason: "timeout", fresh: true, check: inTime},
	{name: "endless-ticks", evil: `const again = () => process.nextTick(again); again()`, status: status(504), component: "code", reason: "timeout", fresh: true, check: inTime},
	{name: "regexp", evil: `cb(null, /^(a+)+$/.test('a'.repeat(60) + '!'))`, status: status(504), component: "code", reason: "timeout", fresh: true, check: inTime},
	{name: "loop-after-answer", evil: `cb(null, 'first'); setImmediate(() => { for (;;) {} })`, status: status(200), check: thenStuck},
	{name: "stop-itself", evil: `process.kill(process.pid, 'SIGSTOP')`, status: status(504), component: "code", reason: "timeout", fresh: true, check: inTime},
	{name: "sleep-in-atomics", evil: `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)`, status: status(504), component: "code", reason: "timeout", fresh: true, check: inTime},
	{name: "exit", evil: `process.exit(0)`, status: status(502), component: "code", reason: "died", fresh: true},
	{name: "abort", evil: `process.abort()`, status: status(502), component: "code", reason: "died", fresh: true},
	{name: "kill-itself", evil: `process.kill(process.pid, 'SIGKILL')`, status: status(502), component: "code", reason: "died", fresh: true},
	{name: "kill-all", evil: `process.kill(-1, 'SIGKILL')`, status: status(500, 502, 504), component: "code"},
	{name: "kill-init", evil: `process.kill(1, 'SIGTERM')`, status: status(502, 504), component: "code", fresh: true},
	{name: "memory-heap", evil: `const a = []; for (;;) a.push(new Array(1e4).fill(a.length).map(String))`, put: M{"timeout_ms": 20000},
		status: status(502), component: "code", reason: "oom", fresh: true},
	{name: "memory-buffers", evil: `const a = []; for (;;) a.push(Buffer.alloc(4 << 20, 1))`, put: M{"timeout_ms": 20000},
		status: status(502), component: "code", reason: "oom", fresh: true},
	{name: "body-length", evil: `cb(null, ctx.rawBody.length)`, body: make([]byte, 10<<20+1), status: status(413), component: "limit", reason: "parsed_body_bytes"},
	{name: "answer-too-large", evil: `cb(null, Buffer.alloc((10 << 20) + 1))`, put: M{"timeout_ms": 5000}, status: status(500), component: "code", reason: "answer", lives: true},
	{name: "close-descriptors", evil: `for (let fd = 0; fd < 5; fd++) require('fs').closeSync(fd); cb(null, 'closed')`, status: status(200), check: closed},
	{name: "close-everything", evil: `for (let fd = 0; fd < 64; fd++) try { require('fs').closeSync(fd) } catch {}; cb(null, 'closed')`, status: status(200, 502, 504), check: closed},
	{name: "unlisten", evil: `for (const h of process._getActiveHandles()) if (h.close) h.close(); cb(null, 'closed')`, status: status(200, 502, 504), check: closed},
	{name: "replace-server", evil: serveInstead(`'HTTP/1.1 200 OK\r\nHearth-Request-Id: stolen\r\nHearth-Version: 99\r\nContent-Length: 5\r\n\r\nmine!'`),
		status: status(200), check: replaced},
	{name: "flood-answer", evil: serveInstead(`'HTTP/1.1 200 OK\r\nContent-Length: 20971520\r\n\r\n' + 'x'.repeat(1e6)`),
		status: status(200), check: tooLarge},
	{name: "flood-chunks", evil: serveInstead(`'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' + '100000\r\n'.concat('x'.repeat(1 << 20), '\r\n').repeat(20) + '0\r\n\r\n'`),
		status: status(200), check: cut},
	{name: "lend-server", evil: `require('child_process').spawn(process.execPath, ['-e', "require('net').createServer(s => s.on('data', () => s.write('HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nmine!'))).listen({fd: 3})", 'TAG'],
		{detached: true, stdio: ['ignore', 'ignore', 'ignore', 3]}).unref(); setTimeout(() => process.exit(0), 300)`, put: M{"timeout_ms": 5000}, status: status(502), component: "code", reason: "died", fresh: true},
	{name: "exit-after-answer", evil: `cb(null, 'first'); setTimeout(() => process.exit(0), 20)`, status: status(200), fresh: true, check: lateNews},
	{name: "fork-bomb", evil: `const {spawn} = require('child_process'); const self = process.execPath;
		const bomb = "const {spawn} = require('child_process'); const c = () => { for (let i = 0; i < 20; i++) try { spawn(process.execPath, process.execArgv.concat(['-e', process.argv[1], process.argv[1], '` + "TAG" + `']), {detached: true, stdio: 'ignore'}).on('error', () => {}) } catch {} }; c(); setInterval(c, 50)";
		for (let i = 0; i < 200; i++) spawn(self, ['-e', bomb, bomb, 'TAG'], {detached: true, stdio: 'ignore'}).on('error', () => {});
		setTimeout(cb, 1000, null, 'forked')`, put: M{"timeout_ms": 3000}, status: status(200, 500, 502, 504)},
	{name: "daemons", evil: `for (let i = 0; i < 5; i++) require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e3)', 'TAG'], {detached: true, stdio: 'ignore'}).unref();
		setTimeout(() => process.exit(0), 300)`, put: M{"timeout_ms": 5000}, status: status(502), component: "code", reason: "died", fresh: true},
	{name: "fill-tmp", evil: `const fs = require('fs'); let n = 0; try { for (;; n++) fs.appendFileSync('/tmp/' + (n >> 4), Buffer.alloc(1 << 20)) } catch (err) { cb(null, err.code) }`,
		put: M{"timeout_ms": 10000}, status: status(200), lives: true, check: text("ENOSPC")},
	{name: "fill-tmp-inodes", evil: `const fs = require('fs'); let n = 0; try { for (;; n++) fs.writeFileSync('/tmp/' + n, '') } catch (err) { cb(null, err.code) }`,
		put: M{"timeout_ms": 20000}, status: status(200), lives: true, check: text("ENOSPC")},
	{name: "descriptors", evil: `const fs = require('fs'); try { for (;;) fs.openSync('/fn') } catch (err) { cb(null, err.code) }`, put: M{"timeout_ms": 10000}, status: status(200), check: text("EMFILE")},
	{name: "threads", evil: `const {Worker} = require('worker_threads'); let n = 0; for (let i = 0; i < 300; i++) try { new Worker('setInterval(() => {}, 1000)', {eval: true}).on('error', () => n++) } catch { n++ }; setTimeout(cb, 500, null, 'full')`,
		put: M{"timeout_ms": 5000}, status: status(200, 500, 502, 504)},
	{name: "endless-answer", raw: true, evil: `const more = () => { while (res.write('x'.repeat(65536))) {} }; res.on('drain', more); more()`},
	{name: "dripping-answer", raw: true, evil: `res.write('x'); setInterval(() => res.write('x'), 20)`},
	garbage("no-http", `'SSH-2.0-evil\r\n\r\n'`),
	garbage("two-lengths", `'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!'`),
	garbage("length-and-chunks", `'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'`),
	garbage("huge-header", `'HTTP/1.1 200 OK\r\nX: ' + 'a'.repeat(1 << 20)`),
	garbage("many-fields", `'HTTP/1.1 200 OK\r\n' + 'X: y\r\n'.repeat(1000) + '\r\n'`),
	garbage("endless-interim", `'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(1000)`),
	garbage("bare-lf", `'HTTP/1.1 200 OK\nContent-Length: 2\n\nhi'`),
	garbage("old-http", `'HTTP/0.9 200 OK\r\n\r\n'`),
	garbage("bad-field", `'HTTP/1.1 200 OK\r\nX\u0000Y: z\r\nContent-Length: 0\r\n\r\n'`),
	{name: "raw-bad-chunk", raw: true, evil: `res.socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n')`},
	{name: "raw-short", raw: true, evil: `res.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort')`},
	{name: "raw-close", raw: true, evil: `res.socket.destroy()`, status: status(502), component: "code", reason: "closed"},
	{name: "raw-second-answer", raw: true, evil: `res.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond')`,
		status: status(200), check: text("first")},
}

// Every attack gets its clear answer, its container's next call works, nothing of it is left, and
// another tenant's steady calls don't notice.
func TestBadFunctions(t *testing.T) {
	n := harness.Start(t)
	n.Deploy("steady", "main", "hello", `module.exports = (ctx, cb) => cb(null, {hello: ctx.query.name || 'world'})`)
	s := startSteady(t, n, "steady", "main", "hello")
	time.Sleep(5 * time.Second)
	quiet := s.take()
	t.Run("attacks", func(t *testing.T) {
		for _, a := range attacks {
			t.Run(a.name, func(t *testing.T) { a.run(t, n.For(t)) })
		}
	})
	beside := s.stop()
	t.Logf("another tenant's calls at 50 a second: quiet %s; beside the attacks %s", quiet, beside)
	if m := slices.Max(beside.took); m > 2*time.Second {
		t.Errorf("one of another tenant's calls took %s", m)
	}
	if len(quiet.failed)+len(beside.failed) > 0 {
		t.Errorf("another tenant's calls failed: %s", append(quiet.failed, beside.failed...))
	}
}

func (a *attack) run(t *testing.T, n *harness.Node) {
	tenant, tag := "bad-"+a.name, "bad-"+a.name
	code := fmt.Sprintf("const id = Math.random(); process.title = '%s';\nconst evil = (%s) => { %s };\n", tag,
		map[bool]string{false: "ctx, cb", true: "ctx, req, res"}[a.raw], strings.ReplaceAll(a.evil, "TAG", tag))
	if a.raw {
		code += "module.exports = (ctx, req, res) => ctx.query.ok ? res.end(JSON.stringify({id})) : evil(ctx, req, res)"
	} else {
		code += "module.exports = (ctx, cb) => ctx.query.ok ? cb(null, {id}) : evil(ctx, cb)"
	}
	doc := M{"code": code, "timeout_ms": 500}
	for k, v := range a.put {
		doc[k] = v
	}
	n.Container(tenant, "c", M{"memory_mib": 128})
	if p := n.Put(tenant, "c", "f", doc); p.JSON()["status"] != "ready" {
		t.Fatalf("deploy: %d %v %s", p.Status, p.Err, p.Body)
	}
	defer func() { // nothing of it stays when it is deleted
		if d := n.API("DELETE", "/v1/tenants/"+tenant+"?recursive=true", nil); d.Status != 204 {
			t.Errorf("delete: %d %v %s", d.Status, d.Err, d.Body)
		}
		harness.WaitFor(t, "the end of all processes", 5*time.Second, func() bool { return len(tagged(tag)) == 0 })
	}()
	before := nextCall(t, n, tenant)
	harness.WaitFor(t, "one process", 2*time.Second, func() bool { return len(tagged(tag)) == 1 }) // the trial's has ended
	old := tagged(tag)

	began := time.Now()
	answer := n.Do(t.Context(), "POST", "/run/"+tenant+"/c/f", a.body)
	took := time.Since(began)
	a.judge(t, answer)
	if a.fresh {
		harness.WaitFor(t, "the end of the instance", 2*time.Second, func() bool {
			return !slices.ContainsFunc(old, func(p string) bool { return slices.Contains(tagged(tag), p) })
		})
	}
	if a.check != nil {
		a.check(t, n, tenant, answer, took)
	}
	after := nextCall(t, n, tenant)
	if a.fresh && after == before {
		t.Error("the instance goes on")
	}
	if a.lives && after != before {
		t.Error("the instance was replaced for nothing")
	}
	t.Logf("%d %s after %s", answer.Status, bytes.TrimSpace(answer.Body[:min(len(answer.Body), 300)]), took.Round(time.Millisecond))
}

// judge checks the answer to the attack.
func (a *attack) judge(t *testing.T, answer harness.Answer) {
	t.Helper()
	if len(a.status) == 0 {
		if answer.Err == nil {
			t.Errorf("a broken answer looks whole: %d, %d bytes", answer.Status, len(answer.Body))
		}
		return
	}
	if answer.Err != nil || !slices.Contains(a.status, answer.Status) {
		t.Errorf("got %d %v %.300s, want one of %v", answer.Status, answer.Err, answer.Body, a.status)
		return
	}
	wantProblem(t, answer, a.component, a.reason)
	if bytes.Contains(answer.Body, []byte("hidden")) {
		t.Errorf("the caller sees the function's own words: %s", answer.Body)
	}
}

// wantProblem checks the request id of any answer, and that one from 400 on is a problem that names it.
func wantProblem(t *testing.T, a harness.Answer, component, reason string) {
	t.Helper()
	id := a.Header.Get("hearth-request-id")
	if id == "" {
		t.Error("the answer has no hearth-request-id")
	}
	if a.Status < 400 {
		return
	}
	p := a.JSON()
	if a.Header.Get("content-type") != "application/problem+json" || p["instance"] != id || p["status"] != float64(a.Status) ||
		p["detail"] == "" || p["code"] == nil || p["title"] == "" {
		t.Errorf("no clear problem: %v %s", a.Header, a.Body)
	}
	if component != "" && p["component"] != component || reason != "" && p["reason"] != reason {
		t.Errorf("component %v, reason %v; want %q, %q: %s", p["component"], p["reason"], component, reason, a.Body)
	}
}

type checker = func(*testing.T, *harness.Node, string, harness.Answer, time.Duration)

func text(want string) checker {
	return func(t *testing.T, _ *harness.Node, _ string, a harness.Answer, _ time.Duration) {
		if a.Text() != want {
			t.Errorf("answered %.300q, want %q", a.Body, want)
		}
	}
}

// inTime: the answer comes when the limit of 500 ms is over, and not much later.
func inTime(t *testing.T, _ *harness.Node, _ string, _ harness.Answer, took time.Duration) {
	if took < 480*time.Millisecond || took > 700*time.Millisecond {
		t.Errorf("answered after %s, want 500ms to 700ms", took)
	}
}

// thenStuck: the loop begins behind an answer, so the next request pays for it, and no other.
func thenStuck(t *testing.T, n *harness.Node, tenant string, _ harness.Answer, _ time.Duration) {
	a := n.Do(t.Context(), "GET", "/run/"+tenant+"/c/f?ok=1", nil)
	if a.Status != 504 {
		t.Errorf("got %d %v %s", a.Status, a.Err, a.Body)
		return
	}
	wantProblem(t, a, "code", "timeout")
}

// lateNews: an instance that ends behind an answer still takes connections for a moment. A call that
// was sent then was not read, and goes to another instance.
func lateNews(t *testing.T, n *harness.Node, tenant string, _ harness.Answer, _ time.Duration) {
	a := n.Do(t.Context(), "GET", "/run/"+tenant+"/c/f?ok=1", nil)
	if a.Err != nil || a.Status != 200 {
		t.Errorf("got %d %v %s", a.Status, a.Err, a.Body)
	}
}

// closed: whatever the instance cannot do any more costs clear answers, and few of them.
func closed(t *testing.T, n *harness.Node, tenant string, _ harness.Answer, _ time.Duration) {
	var mu sync.Mutex
	counts := map[int]int{}
	for range 3 {
		var wg sync.WaitGroup
		for range 4 { // so that new connections are needed
			wg.Go(func() {
				a := n.Do(t.Context(), "GET", "/run/"+tenant+"/c/f?ok=1", nil)
				mu.Lock()
				defer mu.Unlock()
				counts[a.Status]++
				if a.Err != nil || !slices.Contains([]int{200, 502, 503, 504}, a.Status) {
					t.Errorf("got %d %v %s", a.Status, a.Err, a.Body)
					return
				}
				wantProblem(t, a, "", "")
			})
		}
		wg.Wait()
	}
	t.Logf("12 calls afterwards: %v", counts)
}

// replaced: a server of the function's own in place of the shim is still only the tenant's speech.
func replaced(t *testing.T, n *harness.Node, tenant string, _ harness.Answer, _ time.Duration) {
	hijacked := burst(t, n, tenant, func(a harness.Answer) bool {
		if a.Err != nil || a.Status != 200 || a.Header.Get("hearth-version") != "1" || a.Header.Get("hearth-request-id") == "stolen" {
			t.Errorf("got %d %v %v %s", a.Status, a.Err, a.Header, a.Body)
		}
		return a.Text() == "mine!"
	})
	if hijacked == 0 {
		t.Error("the server was not replaced, so nothing was tried")
	}
	mend(t, n, tenant)
}

// tooLarge: nor may it answer more than functions whose bodies are parsed may.
func tooLarge(t *testing.T, n *harness.Node, tenant string, _ harness.Answer, _ time.Duration) {
	refused := burst(t, n, tenant, func(a harness.Answer) bool {
		wantProblem(t, a, "", "")
		return a.Status == 502 && a.JSON()["component"] == "limit" && a.JSON()["reason"] == "answer_too_large"
	})
	if refused == 0 {
		t.Error("no answer was refused as too large")
	}
	mend(t, n, tenant)
}

// cut: without a length it comes out too late for a problem.
func cut(t *testing.T, n *harness.Node, tenant string, _ harness.Answer, _ time.Duration) {
	broken := burst(t, n, tenant, func(a harness.Answer) bool { return a.Err != nil && len(a.Body) <= 10<<20 })
	if broken == 0 {
		t.Error("no answer was cut off at the limit")
	}
	mend(t, n, tenant)
}

// burst makes calls at once, so that new connections are needed, and counts those for which ok holds.
func burst(t *testing.T, n *harness.Node, tenant string, ok func(harness.Answer) bool) int {
	t.Helper()
	count := 0
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			a := n.Do(t.Context(), "GET", "/run/"+tenant+"/c/f?ok=1", nil)
			mu.Lock()
			defer mu.Unlock()
			if ok(a) {
				count++
			}
		})
	}
	wg.Wait()
	return count
}

// mend deploys a version that means well: it gets an instance of its own.
func mend(t *testing.T, n *harness.Node, tenant string) {
	t.Helper()
	if p := n.Put(tenant, "c", "f", M{"code": "const id = Math.random(); module.exports = cb => cb(null, {id})"}); p.JSON()["status"] != "ready" {
		t.Errorf("deploy: %d %v %s", p.Status, p.Err, p.Body)
	}
}

// nextCall calls an attacker's function that means well now, and returns its instance's id.
func nextCall(t *testing.T, n *harness.Node, tenant string) any {
	t.Helper()
	a := n.Do(t.Context(), "GET", "/run/"+tenant+"/c/f?ok=1", nil)
	if a.Err != nil || a.Status != 200 || a.JSON()["id"] == nil {
		t.Errorf("the next call: %d %v %.300s", a.Status, a.Err, a.Body)
	}
	return a.JSON()["id"]
}

// tagged lists the host's processes that have tag as an argument or are named by it.
func tagged(tag string) []string {
	var pids []string
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		cmdline, err := os.ReadFile(p + "/cmdline")
		if err != nil {
			continue
		}
		for arg := range bytes.SplitSeq(cmdline, []byte{0}) {
			if string(arg) == tag {
				pids = append(pids, filepath.Base(p))
				break
			}
		}
	}
	return pids
}

// steady calls a function 50 times a second, whether earlier calls have been answered or not.
type steady struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu  sync.Mutex
	now figures
}

// figures are what calls of some time came to.
type figures struct {
	took   []time.Duration
	failed []string
}

func startSteady(t *testing.T, n *harness.Node, tenant, container, function string) *steady {
	ctx, cancel := context.WithCancel(t.Context())
	s := &steady{cancel: cancel}
	t.Cleanup(func() { s.stop() })
	call := func() {
		began := time.Now()
		a := n.Do(context.WithoutCancel(ctx), "GET", "/run/"+tenant+"/"+container+"/"+function, nil)
		took := time.Since(began)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now.took = append(s.now.took, took)
		if a.Err != nil || a.Status != 200 {
			s.now.failed = append(s.now.failed, fmt.Sprintf("%d %v %.200s after %s", a.Status, a.Err, a.Body, took))
		}
	}
	call() // the cold one
	s.take()
	s.done.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				s.done.Go(call)
			}
		}
	})
	return s
}

// take returns the figures since the last time.
func (s *steady) take() figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.now
	s.now = figures{}
	return f
}

func (s *steady) stop() figures {
	s.cancel()
	s.done.Wait()
	return s.take()
}

func (f figures) String() string {
	took := slices.Sorted(slices.Values(f.took))
	at := func(q float64) time.Duration {
		if len(took) == 0 {
			return 0
		}
		return took[min(len(took)-1, int(math.Ceil(q*float64(len(took))))-1)].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %s, p99 %s, max %s (%d calls, %d failed)", at(0.5), at(0.99), at(1), len(took), len(f.failed))
}
