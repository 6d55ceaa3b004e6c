package node_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFailures(t *testing.T) {
	cases := []struct{ name, code, reason string }{
		{"throws", "cb => { throw new Error('hidden') }", "throw"},
		{"throws-null", "cb => { throw null }", "throw"},
		{"throws-proxy", "cb => { throw new Proxy({}, {get() { throw 1 }}) }", "throw"},
		{"throws-3", "(ctx, req, res) => { res.setHeader('a', 'b'); throw new Error('hidden') }", "throw"},
		{"throws-async-3", "async (ctx, req, res) => { throw new Error('hidden') }", "reject"},
		{"throws-in-event", "(ctx, req, res) => { req.on('end', () => { throw new Error('hidden') }); req.resume() }", "throw"},
		{"rejects", "async () => { throw new Error('hidden') }", "reject"},
		{"rejects-undefined", "() => Promise.reject()", "reject"},
		{"callback", "(ctx, cb) => cb(new Error('hidden'))", "reject"},
		{"callback-string", "(ctx, cb) => cb('hidden')", "reject"},
		{"circular", "cb => { const a = {}; a.a = a; cb(null, a) }", "answer"},
		{"bigint", "cb => cb(null, 1n)", "answer"},
		{"function", "cb => cb(null, () => 1)", "answer"},
		{"status-text", "async () => ({status: 'ok'})", "answer"},
		{"status-99", "async () => ({status: 99})", "answer"},
		{"status-1000", "async () => ({status: 1000})", "answer"},
		{"header-name", "async () => ({headers: {'a b': 'c'}})", "answer"},
		{"header-value", "async () => ({headers: {a: 'b\\r\\nc: d'}})", "answer"},
		{"headers-string", "async () => ({headers: 'a: b'})", "answer"},
		{"too-large", "async () => Buffer.alloc(10 * 1024 * 1024 + 1)", "answer"},
		{"fetch-throws", "({fetch() { throw new Error('hidden') }})", "reject"},
		{"fetch-object", "({async fetch() { return {a: 1} }})", "answer"},
		{"fetch-nothing", "({async fetch() {}})", "answer"},
		{"fetch-error", "({fetch: () => Response.error()})", "answer"},
		{"fetch-used", "({async fetch() { const r = new Response('x'); await r.text(); return r }})", "answer"},
		{"fetch-stream-fails", "({fetch: () => new Response(new ReadableStream({pull() { throw new Error('hidden') }}))})", "answer"},
		{"server", "Object.assign((req, res) => { throw new Error('hidden') }, {listen() {}})", "throw"},
	}
	runtimes(t, func(t *testing.T, s *shim) {
		for _, c := range cases {
			s.put(c.name, nil, "index.js", "module.exports = "+c.code)
			for range 2 {
				a := s.get(c.name, "/")
				a.wantProblem(t, 500, "function_error", c.reason)
				if strings.Contains(a.body, "hidden") || a.Header.Get("hearth-outcome") != "error" || a.Header.Get("a") != "" {
					t.Errorf("%s: %v %s", c.name, a.Header, a.body)
				}
			}
			l := s.waitLog(func(l line) bool { return l.function == c.name && l.level == "error" })
			if l.fd != "2" || l.request != "req-1" || l.version != "1" {
				t.Errorf("%s: log %+v", c.name, l)
			}
		}
	})
}

func TestExposedErrors(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	s.put("f", nil, "index.js", `module.exports = async ctx => {
		throw Object.assign(new Error('tell the caller'), {expose: ctx.query.expose === '1', status: +ctx.query.status}) }`)
	for query, want := range map[string]struct {
		status int
		told   bool
	}{
		"expose=1&status=403": {403, true}, "expose=1&status=200": {500, true}, "expose=1": {500, true}, "status=403": {500, false},
	} {
		a := s.get("f", "/?"+query)
		if a.StatusCode != want.status || strings.Contains(a.body, "tell the caller") != want.told {
			t.Errorf("%s: got %d %s", query, a.StatusCode, a.body)
		}
	}
}

func TestAnswersTwice(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	for name, code := range map[string]string{
		"cb":          "cb => { cb(null, 'first'); cb(null, 'second') }",
		"cb-error":    "cb => { cb(null, 'first'); cb(new Error('second')) }",
		"cb-throw":    "cb => { cb(null, 'first'); throw new Error('second') }",
		"cb-reject":   "cb => { cb(null, 'first'); return Promise.reject(new Error('second')) }",
		"promise-cb":  "async (ctx, cb) => { cb(null, 'first'); return 'second' }",
		"three":       "(ctx, req, res) => { res.end('first'); res.end('second') }",
		"three-late":  "(ctx, req, res) => { res.end('first'); res.write('second') }",
		"three-throw": "(ctx, req, res) => { res.end('first'); throw new Error('second') }",
	} {
		s.put(name, nil, "index.js", "module.exports = "+code)
		for range 3 {
			s.get(name, "/").want(t, 200, "first")
		}
		if name != "promise-cb" && name != "three" {
			s.waitLog(func(l line) bool { return l.function == name && (l.level == "warn" || l.level == "error") })
		}
	}
}

func TestHeadersSentThenThrow(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	s.put("f", nil, "index.js", "module.exports = (ctx, req, res) => { res.write('part'); setImmediate(() => { res.emit('x') }); res.on('x', () => { throw new Error('broken') }) }")
	s.put("stream", nil, "index.js", `module.exports = {fetch: () => { let n = 0; return new Response(new ReadableStream({
		pull(c) { if (n++ < 3) c.enqueue(new TextEncoder().encode('part')); else throw new Error('broken') } })) }}`)
	s.put("ok", nil, "index.js", "module.exports = cb => cb(null, 'ok')")
	for _, name := range []string{"f", "stream"} {
		res, err := s.http.Do(s.request(name, "GET", "/", nil))
		if err == nil {
			_, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: a broken answer looks whole", name)
		}
		s.waitLog(func(l line) bool { return l.function == name && strings.Contains(l.text, "broken") })
		s.get("ok", "/").want(t, 200, "ok")
	}
}

func TestUncaughtEndsTheProcess(t *testing.T) {
	for name, code := range map[string]string{
		"timer":      "cb => { setTimeout(() => { throw new Error('uncaught') }, 1) }",
		"timer-null": "cb => { setTimeout(() => { throw null }, 1) }",
		"floating":   "cb => { Promise.reject(new Error('uncaught')) }",
		"tick":       "cb => { process.nextTick(() => { throw new Error('uncaught') }) }",
		"emitter":    "cb => { setImmediate(() => new (require('events'))().emit('error', new Error('uncaught'))) }",
		"socket":     "cb => { require('net').connect('/nowhere') }",
	} {
		t.Run(name, func(t *testing.T) {
			runtimes(t, func(t *testing.T, s *shim) {
				s.put("slow", nil, "index.js", "module.exports = cb => {}")
				s.put("f", nil, "index.js", "module.exports = "+code)
				var wg sync.WaitGroup
				wg.Go(func() { // another request, so that there is a choice whose failure it is
					if res, err := s.http.Do(s.request("slow", "GET", "/", nil, "hearth-request-id", "req-2")); err == nil {
						t.Errorf("the other request got %d", res.StatusCode)
						res.Body.Close()
					}
				})
				time.Sleep(100 * time.Millisecond)
				s.get("f", "/").wantProblem(t, 500, "function_error", "throw")
				wg.Wait()
				<-s.exited
				if code := s.cmd.ProcessState.ExitCode(); code != 1 {
					t.Errorf("exit status %d", code)
				}
				s.waitLog(func(l line) bool { return l.function == "f" && l.request == "req-1" && l.level == "error" })
			})
		})
	}
}

func TestFunctionHandlesUncaught(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	s.put("f", nil, "index.js", `process.on('uncaughtException', () => {}); module.exports = cb => { setImmediate(() => { throw new Error('x') }) }`)
	for range 2 {
		s.get("f", "/").wantProblem(t, 500, "function_error", "throw")
	}
}

func TestCrashDuringLoad(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	s.put("f", nil, "index.mjs", "setTimeout(() => { throw new Error('while loading') }, 1); await new Promise(() => {})")
	a := s.control("POST", "/load", `{"function":"f","version":1}`)
	if a.StatusCode != 422 || !strings.Contains(a.body, "while loading") {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	<-s.exited
}

func TestTimeoutAbortsAndStaysSilent(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	s.put("f", nil, "index.js", `module.exports = (ctx, cb) => { ctx.signal.addEventListener('abort', () => {
		console.log('aborted', ctx.signal.reason.name); cb(null, 'too late') }) }`)
	s.put("late", nil, "index.js", `module.exports = (ctx, cb) => { setTimeout(() => { console.log('asked', ctx.signal.aborted); cb(new Error('too late')) }, 200) }`)
	for _, name := range []string{"f", "late"} {
		r := s.request(name, "GET", "/", nil, "hearth-timeout-ms", "50")
		done := make(chan error, 1)
		go func() { _, err := s.http.Do(r); done <- err }() // ends when the shim is killed
		want := map[string]string{"f": "aborted TimeoutError", "late": "asked true"}[name]
		s.waitLog(func(l line) bool { return l.text == want })
		select {
		case err := <-done:
			t.Errorf("%s: answered (%v)", name, err)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

func TestManyAtOnceFailAlone(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	s.put("f", nil, "index.js", `module.exports = async ctx => { await new Promise(r => setTimeout(r, Math.random() * 20));
		console.log('line', ctx.query.n); if (ctx.query.n % 2) throw new Error('odd ' + ctx.query.n); return ctx.query.n }`)
	var wg sync.WaitGroup
	for n := range 200 {
		wg.Go(func() {
			a := s.get("f", fmt.Sprintf("/?n=%d", n), "hearth-request-id", fmt.Sprint("r", n))
			if n%2 == 0 && a.body != fmt.Sprint(n) || n%2 == 1 && a.StatusCode != 500 {
				t.Errorf("%d: got %d %s", n, a.StatusCode, a.body)
			}
		})
	}
	wg.Wait()
	for _, l := range s.logs() {
		if f := strings.Fields(l.text); f[0] == "line" && l.request != "r"+f[1] {
			t.Errorf("line of another request: %+v", l)
		}
	}
}

func TestPollution(t *testing.T) {
	runtimes(t, func(t *testing.T, s *shim) {
		s.put("evil", nil, "index.js", `
			const no = () => { throw new Error('polluted') };
			for (const key of ['status', 'headers', 'body', 'default', 'then', 'get', 'type', 'fetch', 'listen', 'length', 'expose', 'code'])
				Object.defineProperty(Object.prototype, key, {__proto__: null, value: 404, writable: true, configurable: true});
			Object.prototype.enumerable1 = 'x';
			JSON.parse = JSON.stringify = no;
			Promise.prototype.then = Promise.prototype.catch = Promise.prototype.finally = no;
			globalThis.Promise = undefined;
			globalThis.Buffer = undefined;
			const http = require('http');
			for (const k of ['writeHead', 'end', 'write', 'setHeader']) http.ServerResponse.prototype[k] = no;
			http.createServer = no;
			Map.prototype.get = Map.prototype.set = no;
			Object.keys = Object.hasOwn = Array.isArray = Number.isInteger = no;
			String.prototype.startsWith = String.prototype.endsWith = String.prototype.trim = no;
			Array.prototype.concat = no;
			require('fs').writeSync = no;
			globalThis.setTimeout = globalThis.setImmediate = globalThis.clearTimeout = no;
			module.exports = (ctx, cb) => cb(null, {hello: ctx.body});`)
		s.put("after", nil, "index.js", "module.exports = async ctx => { console.log('still logs'); return {status: 201, headers: {a: 'b'}, body: {x: ctx.query.x}} }")
		s.put("cb", nil, "index.js", "module.exports = cb => cb(null, 'cb')")
		s.put("throws", nil, "index.js", "module.exports = cb => { throw new Error('x') }")
		s.put("fetch", nil, "index.js", "module.exports = {fetch: () => new Response('web')}")
		for range 2 {
			s.post("evil", "/", "application/json", `{"a":1}`).want(t, 200, `{"hello":{"a":1}}`)
			s.get("after", "/?x=1").want(t, 201, `{"x":"1"}`)
			s.get("cb", "/").want(t, 200, "cb")
			s.get("throws", "/").wantProblem(t, 500, "function_error", "throw")
		}
		s.waitLog(func(l line) bool { return l.text == "still logs" && l.function == "after" })
		if got := s.control("GET", "/ping", "").body; !strings.Contains(got, "evil/1") {
			t.Errorf("ping: %s", got)
		}
	})
}
