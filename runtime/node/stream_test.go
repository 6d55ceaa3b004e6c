package node_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestParsedBodies(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	s.put("f", nil, "index.js", `module.exports = async ctx => ({body: {body: Buffer.isBuffer(ctx.body) ? 'bytes' : ctx.body, raw: ctx.rawBody.toString('latin1')}})`)
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	zw.Write([]byte(`{"z":1}`))
	zw.Close()
	cases := []struct{ contentType, body, want string }{
		{"application/json", `{"a":[1,{"b":null}]}`, `{"a":[1,{"b":null}]}`},
		{"application/json; charset=utf-8", `"é"`, `"é"`},
		{"Application/JSON", `1`, `1`},
		{"application/vnd.github+json", "\xef\xbb\xbf[]", `[]`},
		{"application/x-www-form-urlencoded", "a=1&b=x+y&b=%C3%A9", `{"a":"1","b":["x y","é"]}`},
		{"text/plain", "text", `"text"`},
		{"text/plain; charset=ISO-8859-1", "\xe9", `"é"`},
		{"application/octet-stream", "\x00\xff", `"bytes"`},
		{"multipart/form-data; boundary=x", "--x--", `"bytes"`},
		{"", "{}", `"bytes"`},
	}
	for _, c := range cases {
		a := s.post("f", "/", c.contentType, c.body)
		if a.StatusCode != 200 || !strings.HasPrefix(a.body, `{"body":`+c.want+`,"raw":`) {
			t.Errorf("%s %q: got %d %s", c.contentType, c.body, a.StatusCode, a.body)
		}
		chunked := s.do(s.request("f", "POST", "/", io.MultiReader(strings.NewReader(c.body)), "Content-Type", c.contentType))
		if chunked.body != a.body {
			t.Errorf("%s %q: chunked %s, with length %s", c.contentType, c.body, chunked.body, a.body)
		}
	}
	a := s.post("f", "/", "application/json", zipped.String(), "Content-Encoding", "gzip")
	if !strings.HasPrefix(a.body, `{"body":{"z":1},"raw":"\u001f`) {
		t.Errorf("gzip: %d %s", a.StatusCode, a.body)
	}
	for _, bad := range []string{`{"a":`, `{'a':1}`, "\x00", "NaN"} {
		s.post("f", "/", "application/json", bad).wantProblem(t, 400, "malformed", "body")
	}
	s.post("f", "/", "application/json", "not gzip", "Content-Encoding", "gzip").wantProblem(t, 400, "malformed", "body")
	s.post("f", "/", "application/json", "").want(t, 200, `{"raw":""}`)
}

func TestParsedBodyLimit(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	s.put("f", nil, "index.js", `module.exports = async ctx => ctx.rawBody.length`)
	const limit = 10 << 20
	big := make([]byte, limit+1)
	s.do(s.request("f", "POST", "/", bytes.NewReader(big[:limit]))).want(t, 200, fmt.Sprint(limit))
	for range 2 { // and the connection is still good
		s.do(s.request("f", "POST", "/", bytes.NewReader(big))).wantProblem(t, 413, "too_large", "parsed_body_bytes")
		s.do(s.request("f", "POST", "/", io.MultiReader(bytes.NewReader(big)))).wantProblem(t, 413, "too_large", "parsed_body_bytes")
	}
	var bomb bytes.Buffer
	zw := gzip.NewWriter(&bomb)
	zw.Write(append([]byte(`"`), bytes.Repeat([]byte("x"), limit)...))
	zw.Close()
	s.post("f", "/", "application/json", bomb.String(), "Content-Encoding", "gzip").wantProblem(t, 413, "too_large", "parsed_body_bytes")
}

func TestBinaryEchoBothWays(t *testing.T) {
	runtimes(t, func(t *testing.T, s *shim) {
		s.put("promise", nil, "index.js", "module.exports = async ctx => ctx.rawBody")
		s.put("three", nil, "index.js", "module.exports = (ctx, req, res) => req.pipe(res)")
		s.put("server", nil, "index.js", "module.exports = require('http').createServer((req, res) => req.pipe(res))")
		s.put("fetch", nil, "index.mjs", "export default {fetch: request => new Response(request.body)}")
		s.put("fetch-buffered", nil, "index.mjs", "export default {fetch: async request => new Response(await request.arrayBuffer())}")
		rnd := rand.NewChaCha8([32]byte{1})
		for _, size := range []int{1, 1000, 65536, 3 << 20} {
			data := make([]byte, size)
			rnd.Read(data)
			for _, name := range []string{"promise", "three", "server", "fetch", "fetch-buffered"} {
				for _, body := range []io.Reader{bytes.NewReader(data), io.MultiReader(bytes.NewReader(data))} {
					a := s.do(s.request(name, "POST", "/", body))
					if a.StatusCode != 200 || sha256.Sum256([]byte(a.body)) != sha256.Sum256(data) {
						t.Errorf("%s with %d bytes: got %d and %d bytes", name, size, a.StatusCode, len(a.body))
					}
				}
			}
		}
	})
}

// TestStreamsArriveEarly checks that a chunk is there before the next one is made, both ways.
func TestStreamsArriveEarly(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	s.put("three", nil, "index.js", "module.exports = (ctx, req, res) => { req.on('data', d => res.write('<' + d + '>')); req.on('end', () => res.end('end')) }")
	s.put("fetch", nil, "index.mjs", `export default {fetch: request => new Response(request.body.pipeThrough(new TransformStream({
		transform(chunk, c) { c.enqueue(new TextEncoder().encode('<' + new TextDecoder().decode(chunk) + '>')) },
		flush(c) { c.enqueue(new TextEncoder().encode('end')) } })))}`)
	for _, name := range []string{"three", "fetch"} {
		pr, pw := io.Pipe()
		go pw.Write([]byte("a")) // ends when the shim has read it
		res, err := s.http.Do(s.request(name, "POST", "/", pr))
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 3)
		for _, c := range []string{"a", "b", "c"} {
			if c != "a" {
				pw.Write([]byte(c))
			}
			if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != "<"+c+">" {
				t.Fatalf("%s: got %q, %v", name, got, err)
			}
		}
		pw.Close()
		rest, err := io.ReadAll(res.Body)
		if err != nil || string(rest) != "end" {
			t.Errorf("%s: got %q, %v", name, rest, err)
		}
		res.Body.Close()
	}
}

func TestBackpressure(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	s.put("fetch", nil, "index.mjs", `globalThis.pulled = 0; export default {fetch: () => new Response(new ReadableStream({
		pull(c) { globalThis.pulled++; c.enqueue(new Uint8Array(65536)) } }))}`)
	s.put("pulled", nil, "index.js", "module.exports = async () => globalThis.pulled")
	res, err := s.http.Do(s.request("fetch", "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	first := s.get("pulled", "/").body
	time.Sleep(300 * time.Millisecond)
	if second := s.get("pulled", "/").body; second != first || len(first) > 2 {
		t.Errorf("a reader that waits is sent %s and then %s chunks", first, second)
	}
	res.Body.Close() // the endless stream is cancelled with its caller
	time.Sleep(200 * time.Millisecond)
	third := s.get("pulled", "/").body
	time.Sleep(100 * time.Millisecond)
	if fourth := s.get("pulled", "/").body; third != fourth {
		t.Errorf("a stream without a reader goes on: %s, %s", third, fourth)
	}
}

func TestClientGoneAborts(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	wait := "console.log('started'); const s = SIGNAL; s.addEventListener('abort', () => console.log('gone', s.reason.name)); return new Promise(() => {})"
	s.put("cb", nil, "index.js", "module.exports = (ctx, cb) => {"+strings.Replace(wait, "SIGNAL", "ctx.signal", 1)+"}")
	s.put("promise", nil, "index.js", "module.exports = async ctx => {"+strings.Replace(wait, "SIGNAL", "ctx.signal", 1)+"}")
	s.put("three", nil, "index.js", "module.exports = (ctx, req, res) => {"+strings.Replace(wait, "SIGNAL", "ctx.signal", 1)+"}")
	s.put("fetch", nil, "index.mjs", "export default request => {"+strings.Replace(wait, "SIGNAL", "request.signal", 1)+"}")
	for _, name := range []string{"cb", "promise", "three", "fetch"} {
		conn, err := net.Dial("unix", s.socket)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: a\r\nhearth-function: %s\r\nhearth-version: 1\r\nhearth-request-id: r\r\nhearth-timeout-ms: 9000\r\n\r\n", name)
		s.waitLog(func(l line) bool { return l.function == name && l.text == "started" })
		conn.Close()
		s.waitLog(func(l line) bool { return l.function == name && l.text == "gone AbortError" })
	}
}

func TestHeadersAndStatuses(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	s.put("three", nil, "index.js", `module.exports = (ctx, req, res) => {
		const hearth = h => JSON.stringify(h).includes('hearth');
		if (hearth(req.headers) || hearth(req.rawHeaders) || hearth(req.headersDistinct)) throw new Error('reserved headers are seen');
		res.writeHead(+ctx.query.status, {n: req.rawHeaders.length / 2, x: req.headers.x ?? '', d: (req.headersDistinct.x ?? []).join()}); res.end() }`)
	s.put("fetch", nil, "index.mjs", `export default request => { if ([...request.headers.keys()].join().includes('hearth')) throw new Error('seen');
		return new Response(null, {status: +new URL(request.url).searchParams.get('status'), headers: {x: request.headers.get('x')}}) }`)
	for _, status := range []int{200, 204, 304, 404, 599} {
		for _, name := range []string{"three", "fetch"} {
			a := s.get(name, fmt.Sprint("/?status=", status), "X", "1", "X", "2")
			if a.StatusCode != status || a.body != "" || a.Header.Get("X") != "1, 2" || name == "three" && a.Header.Get("D") != "1,2" {
				t.Errorf("%s: got %d %v %q", name, a.StatusCode, a.Header, a.body)
			}
		}
	}
	big := strings.Repeat("x", 60<<10)
	if a := s.get("three", "/?status=200", "X", big); a.Header.Get("X") != big {
		t.Errorf("a header of 60 KiB came back with %d bytes", len(a.Header.Get("X")))
	}
	many := make([]string, 0, 240)
	for i := range 120 {
		many = append(many, fmt.Sprint("A", i), "b")
	}
	if a := s.get("three", "/?status=200", many...); a.Header.Get("N") < "120" {
		t.Errorf("of 120 headers %s arrived", a.Header.Get("N"))
	}
	for target, want := range map[string]string{"/": "/", "/?q=1": "/?q=1", "/a/b%20c/../?": "/a/b%20c/../?"} {
		s.put("url", nil, "index.js", "module.exports = (ctx, req, res) => res.end(req.url)")
		r := s.request("url", "GET", "/", nil)
		r.URL.Opaque = target
		s.do(r).want(t, 200, want)
	}
}

func TestTrailers(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	s.put("f", nil, "index.js", `module.exports = (ctx, req, res) => { res.setHeader('trailer', 'out'); req.resume();
		req.on('end', () => { res.write('x'); res.addTrailers({out: req.trailers.in}); res.end() }) }`)
	r := s.request("f", "POST", "/", io.MultiReader(strings.NewReader("body")))
	r.Trailer = http.Header{"In": {"value"}}
	if got := s.do(r).Trailer.Get("Out"); got != "value" {
		t.Errorf("trailer %q", got)
	}
}

func TestFetchBodies(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	s.put("f", nil, "index.mjs", `export default async (request, env, ctx) => {
		const { pathname } = new URL(request.url);
		ctx.waitUntil(Promise.reject(new Error('background')));
		ctx.passThroughOnException();
		if (pathname === '/json') return Response.json(await request.json());
		if (pathname === '/form') return new Response((await request.formData()).get('a'));
		if (pathname === '/unread') return new Response('unread', {status: 202, statusText: 'Fine'});
		if (pathname === '/html') return new Response('<p>', {headers: {'content-type': 'text/html', 'content-length': '99'}});
		if (pathname === '/meta') return Response.json([ctx.requestId, ctx.meta.function, request.method, env]);
		return new Response(new ReadableStream({async start(c) { for (const x of 'abc') { await 1; c.enqueue(new TextEncoder().encode(x)) } c.close() }}));
	}`)
	s.post("f", "/json", "application/json", `{"a":1}`).want(t, 200, `{"a":1}`)
	s.post("f", "/form", "application/x-www-form-urlencoded", "a=b").want(t, 200, "b")
	s.post("f", "/form", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--\r\n").want(t, 200, "b")
	for range 3 {
		a := s.post("f", "/unread", "text/plain", strings.Repeat("x", 1<<20))
		a.want(t, 202, "unread")
		if !strings.HasSuffix(a.Status, "Fine") {
			t.Errorf("status %q", a.Status)
		}
	}
	s.get("f", "/html").want(t, 200, "<p>")
	s.get("f", "/meta").want(t, 200, `["req-1","f","GET",{"color":"red","KEY":"s3cret"}]`)
	s.get("f", "/stream").want(t, 200, "abc")
	odd := s.request("f", "GET", "/html", nil)
	odd.Host = "[odd"
	s.do(odd).want(t, 200, "<p>")
	s.waitLog(func(l line) bool { return strings.Contains(l.text, "background") && l.request == "req-1" })
}

func TestUpgrade(t *testing.T) {
	runtimes(t, func(t *testing.T, s *shim) {
		s.put("echo", nil, "index.js", `const server = require('http').createServer((req, res) => res.end('http'));
			server.on('upgrade', (req, socket) => { socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
				socket.on('data', d => { console.log('got', String(d)); socket.write(d); if (String(d) === 'bad') throw new Error('in socket') }) });
			module.exports = server`)
		s.put("plain", nil, "index.js", "module.exports = Object.assign((req, res) => res.end('http'), {listen() {}})")
		s.put("cb", nil, "index.js", "module.exports = cb => cb(null, 1)")
		s.put("broken", nil, "index.js", "throw new Error('x')")
		dial := func(name string) (net.Conn, *bufio.Reader, *http.Response) {
			conn, err := net.Dial("unix", s.socket)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			fmt.Fprintf(conn, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\nhearth-function: %s\r\nhearth-version: 1\r\nhearth-request-id: req-1\r\n\r\n", name)
			br := bufio.NewReader(conn)
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return conn, br, res
		}
		for range 2 {
			conn, br, res := dial("echo")
			if res.StatusCode != 101 {
				t.Fatalf("status %d", res.StatusCode)
			}
			for _, text := range []string{"hello", "again"} {
				conn.Write([]byte(text))
				got := make([]byte, len(text))
				if _, err := io.ReadFull(br, got); err != nil || string(got) != text {
					t.Fatalf("echo %q: %v", got, err)
				}
				s.waitLog(func(l line) bool { return l.text == "got "+text && l.request == "req-1" && l.function == "echo" })
			}
			conn.Write([]byte("bad"))
			s.waitLog(func(l line) bool { return strings.Contains(l.text, "in socket") && l.function == "echo" })
			s.get("echo", "/").want(t, 200, "http")
		}
		for _, name := range []string{"plain", "cb", "broken"} {
			_, _, res := dial(name)
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != 501 || !strings.Contains(string(body), `"function_error"`) {
				t.Errorf("%s: %d %s", name, res.StatusCode, body)
			}
		}
	})
}

func TestLogs(t *testing.T) {
	runtimes(t, func(t *testing.T, s *shim) {
		s.put("f", nil, "index.js", `console.log('at load'); module.exports = (ctx, req, res) => {
			console.log('log %s', 1, {a: 1}); console.info('info'); console.warn('warn'); console.error('error'); console.debug('debug');
			console.group('group'); console.log('indented'); console.groupEnd(); console.table([{a: 1}]); console.log();
			process.stdout.write('out'); process.stderr.write(Buffer.from('err\n'));
			console.log('multi\nline \x1e fake'); console.log('x'.repeat(65535) + 'é' + 'y'.repeat(100000));
			setTimeout(() => console.log('timer'), 1); queueMicrotask(() => console.log('microtask'));
			require('fs').readFile('/nowhere', () => console.log('fs')); new Promise(r => setImmediate(r)).then(() => console.log('promise'));
			req.on('data', () => console.log('data')); req.on('end', () => { console.log('end'); res.end(); });
			res.on('finish', () => console.log('finish')); res.on('close', () => console.log('close')); }`)
		s.post("f", "/", "text/plain", "body")
		want := []struct{ fd, level, text string }{
			{"1", "log", "at load"}, {"1", "log", "log 1 { a: 1 }"}, {"1", "info", "info"}, {"2", "warn", "warn"}, {"2", "error", "error"},
			{"1", "debug", "debug"}, {"1", "log", "group"}, {"1", "log", "  indented"}, {"1", "log", " "}, {"1", "stdout", "out"}, {"2", "stderr", "err"},
			{"1", "log", "multi\nline \x1e fake"}, {"1", "log", strings.Repeat("x", 65535)}, {"1", "log", "é" + strings.Repeat("y", 65534)},
			{"1", "log", strings.Repeat("y", 100000-65534)},
			{"1", "log", "timer"}, {"1", "log", "microtask"}, {"1", "log", "fs"}, {"1", "log", "promise"}, {"1", "log", "data"}, {"1", "log", "end"},
			{"1", "log", "finish"}, {"1", "log", "close"},
		}
		for _, w := range want {
			s.waitLog(func(l line) bool {
				return l == line{w.fd, "f", "1", "req-1", w.level, w.text}
			})
		}
		if s.plain.Len() > 0 {
			t.Errorf("not framed: %s", s.plain.String())
		}
	})
}

func TestStandardStreamsAreStreams(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	s.put("f", nil, "index.js", `module.exports = async () => { const { Readable } = require('stream');
		Readable.from(['piped']).pipe(process.stdout); await new Promise(r => process.stdout.write('called', r));
		process.stdout.end(); console.log('after end');
		return [process.stdout.fd, process.stderr.fd, process.stdout.isTTY ?? null, process.stdin.readable] }`)
	s.get("f", "/").want(t, 200, "[1,2,null,true]")
	s.waitLog(func(l line) bool { return l.text == "piped" && l.function == "f" })
	s.waitLog(func(l line) bool { return l.text == "called" && l.function == "f" })
	s.waitLog(func(l line) bool { return l.text == "after end" && l.function == "f" })
}

func TestVersionsSideBySide(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	s.putVersion("f", 1, nil, "index.js", "globalThis.shared = 'x'; module.exports = async ctx => 'one' + ctx.meta.version")
	s.putVersion("f", 2, nil, "lib/a.js", "module.exports = async ctx => require('./b.js') + ctx.meta.version + globalThis.shared", "lib/b.js", "module.exports = 'two'")
	s.get("f", "/").want(t, 200, "one1")
	s.get("f", "/", "hearth-version", "2").want(t, 200, "two2x")
	if got := s.control("GET", "/ping", "").body; got != `{"loaded":["f/1","f/2"]}` {
		t.Errorf("ping: %s", got)
	}
	s.get("f", "/", "hearth-version", "3").wantProblem(t, 500, "function_error", "load")
	s.get("f", "/", "hearth-version", "../f/1").wantProblem(t, 500, "function_error", "load")
}
