package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/e2e/harness"
)

// patience is how long tests wait for what should come at once.
const patience = 10 * time.Second

// wire is a connection on which a test writes and reads HTTP by itself.
type wire struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func dial(t *testing.T, n *harness.Node) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * patience))
	return &wire{t, conn, bufio.NewReader(conn)}
}

func (w *wire) send(format string, args ...any) {
	w.t.Helper()
	if _, err := fmt.Fprintf(w.conn, format, args...); err != nil {
		w.t.Fatalf("send: %v", err)
	}
}

// chunk sends a chunk of a chunked body; an empty one ends it.
func (w *wire) chunk(data string) {
	w.t.Helper()
	w.send("%x\r\n%s\r\n", len(data), data)
}

// head reads the header of an answer to the method.
func (w *wire) head(method string) *http.Response {
	w.t.Helper()
	resp, err := http.ReadResponse(w.r, &http.Request{Method: method})
	if err != nil {
		w.t.Fatalf("read answer: %v", err)
	}
	return resp
}

// answer reads a whole answer.
func (w *wire) answer(method string) harness.Answer {
	w.t.Helper()
	resp := w.head(method)
	body, err := io.ReadAll(resp.Body)
	return harness.Answer{Status: resp.StatusCode, Header: resp.Header, Body: body, Err: err}
}

// expect reads exactly the text from r.
func expect(t *testing.T, r io.Reader, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != text {
		t.Fatalf("read %q (%v), want %q", got[:n], err, text)
	}
}

// The function sees and answers each chunk before the client sends the next one.
func TestStreamsBothWays(t *testing.T) {
	t.Parallel()
	n := shared(t)
	for _, name := range []string{"callback3", "fetch", "server"} {
		t.Run(name, func(t *testing.T) {
			n := n.For(t)
			n.DeployBody("duplex", "c", name, echoes[name])
			w := dial(t, n)
			w.send("POST /run/duplex/c/%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", name)
			w.chunk("first")
			resp := w.head("POST")
			expect(t, resp.Body, "first")
			for i := range 3 {
				text := fmt.Sprintf("chunk %d", i)
				w.chunk(text)
				expect(t, resp.Body, text)
			}
			w.chunk("")
			if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
				t.Errorf("rest %q, %v", rest, err)
			}
		})
	}
}

// The client has each part before the function goes on, which it does only when told by another
// call: nothing on the way may wait for more.
func TestAnswersStream(t *testing.T) {
	t.Parallel()
	n := shared(t)
	const waiting = `
		const {EventEmitter, once} = require('events'); const bus = new EventEmitter()
		async function* parts() { for (let i = 0; i < 3; i++) { yield 'data: ' + i + '\n\n'; await once(bus, 'on') } }
		const events = {'content-type': 'text/event-stream'}
	`
	for name, code := range map[string]string{
		"callback3": `module.exports = async (ctx, req, res) => { if (ctx.path === '/on') { bus.emit('on'); return res.end() }
			res.writeHead(200, events); for await (const p of parts()) res.write(p); res.end() }`,
		"fetch": `module.exports = {fetch(request) { if (request.url.endsWith('/on')) { bus.emit('on'); return new Response() }
			return new Response(ReadableStream.from(parts()).pipeThrough(new TextEncoderStream()), {headers: events}) }}`,
		"server": `module.exports = require('http').createServer(async (req, res) => { if (req.url === '/on') { bus.emit('on'); return res.end() }
			res.writeHead(200, events); for await (const p of parts()) res.write(p); res.end() })`,
		"promise": `module.exports = async ctx => { if (ctx.path === '/on') { bus.emit('on'); return 1 }
			return new Response(ReadableStream.from(parts()).pipeThrough(new TextEncoderStream()), {headers: events}) }`,
	} {
		t.Run(name, func(t *testing.T) {
			n := n.For(t)
			n.Deploy("events", "c", name, waiting+code)
			w := dial(t, n)
			w.send("GET /run/events/c/%s HTTP/1.1\r\nHost: x\r\n\r\n", name)
			resp := w.head("GET")
			if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" {
				t.Errorf("content type %q", ct)
			}
			for i := range 3 {
				expect(t, resp.Body, fmt.Sprintf("data: %d\n\n", i))
				if a := n.Do(t.Context(), "GET", "/run/events/c/"+name+"/on", nil); a.Status != 200 {
					t.Fatalf("go on: %d %v %s", a.Status, a.Err, a.Body)
				}
			}
			if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
				t.Errorf("rest %q, %v", rest, err)
			}
		})
	}
}

// The header alone arrives, too, before there is a byte of the body.
func TestHeaderArrivesFirst(t *testing.T) {
	t.Parallel()
	n := shared(t)
	n.Deploy("early", "c", "f", `let open; module.exports = (ctx, req, res) => {
		if (ctx.path === '/on') { open.end('late'); return res.end() }
		open = res; res.writeHead(201, {'x-early': 'yes'}); res.flushHeaders() }`)
	w := dial(t, n)
	w.send("GET /run/early/c/f HTTP/1.1\r\nHost: x\r\n\r\n")
	resp := w.head("GET")
	if resp.StatusCode != 201 || resp.Header.Get("x-early") != "yes" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	n.Do(t.Context(), "GET", "/run/early/c/f/on", nil)
	expect(t, resp.Body, "late")
}

func TestTrailers(t *testing.T) {
	t.Parallel()
	n := shared(t)
	n.Deploy("trailers", "c", "f", `module.exports = (ctx, req, res) => { req.resume().on('end', () => {
		res.writeHead(200, {trailer: 'x-sum', 'transfer-encoding': 'chunked'}); res.write('body')
		res.addTrailers({'x-sum': 'back ' + req.trailers['x-sent']}); res.end() }) }`)
	w := dial(t, n)
	w.send("POST /run/trailers/c/f HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nTrailer: x-sent\r\nTransfer-Encoding: chunked\r\n\r\n")
	w.chunk("some")
	w.send("0\r\nx-sent: there\r\n\r\n")
	resp := w.head("POST")
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "body" || resp.Trailer.Get("x-sum") != "back there" {
		t.Errorf("body %q, %v, trailer %v", body, err, resp.Trailer)
	}
}

// The client that asks first sends its body only when it is wanted.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	n := shared(t)
	for _, name := range []string{"callback", "callback3", "fetch", "server"} {
		n.DeployBody("expect", "c", name, echoes[name])
		w := dial(t, n)
		w.send("POST /run/expect/c/%s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n", name)
		if resp := w.head("POST"); resp.StatusCode != 100 {
			t.Errorf("%s: %d instead of 100", name, resp.StatusCode)
			continue
		}
		w.send("body")
		if a := w.answer("POST"); a.Status != 200 || a.Text() != "body" {
			t.Errorf("%s: %d %q %v", name, a.Status, a.Body, a.Err)
		}
	}
	n.Deploy("expect", "c", "refuses", `module.exports = (ctx, req, res) => { res.statusCode = 403; res.end('no') }`)
	w := dial(t, n)
	w.send("POST /run/expect/c/refuses HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	resp := w.head("POST")
	if resp.StatusCode == 100 { // allowed, but then the body has to be sent
		w.send("body")
		resp = w.head("POST")
	}
	if resp.StatusCode != 403 {
		t.Errorf("refused with %d", resp.StatusCode)
	}
}

// ctx.signal is aborted when the client goes, in every model; so is the signal of a Request.
func TestClientGone(t *testing.T) {
	t.Parallel()
	n := shared(t)
	clean(n, "gone")
	const state = `let started = 0, gone = 0; const wait = signal => { started++; signal.addEventListener('abort', () => gone++) }
		const count = () => ({started, gone})
	`
	for name, code := range map[string]string{
		"callback":  `module.exports = (ctx, cb) => ctx.path === '/count' ? cb(null, count()) : wait(ctx.signal)`,
		"callback3": `module.exports = (ctx, req, res) => { ctx.path === '/count' ? res.end(JSON.stringify(count())) : wait(ctx.signal) }`,
		"promise":   `module.exports = async ctx => ctx.path === '/count' ? count() : (wait(ctx.signal), new Promise(() => {}))`,
		"fetch":     `module.exports = {fetch: r => r.url.endsWith('/count') ? Response.json(count()) : (wait(r.signal), new Promise(() => {}))}`,
	} {
		t.Run(name, func(t *testing.T) {
			n := n.For(t)
			n.Deploy("gone", "c", name, state+code)
			counts := func() M { return n.Do(t.Context(), "GET", "/run/gone/c/"+name+"/count", nil).JSON() }
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan harness.Answer)
			go func() { done <- n.Do(ctx, "GET", "/run/gone/c/"+name, nil) }()
			harness.WaitFor(t, "the call to have started", patience, func() bool { return counts()["started"] == 1.0 })
			if c := counts(); c["gone"] != 0.0 {
				t.Errorf("aborted while the client waits: %v", c)
			}
			cancel()
			<-done
			harness.WaitFor(t, "the signal to be aborted", patience, func() bool { return counts()["gone"] == 1.0 })
		})
	}
}
