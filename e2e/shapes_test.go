package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// forms are the ways to write a module that exports an expression. An ES module's default function is
// fetch by rule, so another model is asked for there.
var forms = []struct {
	name, file, code string
	es               bool
}{
	{"cjs", "index.js", "module.exports = %s", false},
	{"esm", "index.mjs", "export default %s", true},
	{"ts", "index.ts", "interface Answer { a: string }\nconst typed: number = 1\nexport default %s", true},
	{"ts-cjs", "index.ts", "const typed: number = 1; module.exports = %s", false},
}

// builtin gives a module of Node.js in every module system.
const builtin = "process.getBuiltinModule"

// shapes is every shape of a function. Each is called with POST {"a":1} to /rest?q=1.
var shapes = []struct {
	name, model string // the model that is told, and asked for in ES modules
	expression  string
	want        string
}{
	{"callback-0", "callback", `() => ({zero: true})`, `{"zero":true}`},
	{"callback-1", "callback", `cb => cb(null, {hello: 'world', body: cb.body})`, `{"hello":"world","body":{"a":1}}`},
	{"callback-1-promise", "callback", `ctx => Promise.resolve({q: ctx.query.q})`, `{"q":"1"}`},
	{"callback-2", "callback", `(ctx, cb) => cb(null, ctx.body)`, `{"a":1}`},
	{"callback-2-later", "callback", `(ctx, cb) => setTimeout(() => cb(null, ctx.path), 5)`, `/rest`},
	{"callback-3", "callback", `(ctx, req, res) => res.end('raw ' + req.method + ' ' + req.url)`, `raw POST /rest?q=1`},
	{"callback-3-async", "callback", `async (ctx, req, res) => { let b = ''; for await (const p of req) b += p; res.end(b) }`, `{"a":1}`},
	{"promise", "promise", `async ctx => ({status: 200, headers: {'x-a': 'b'}, body: {got: ctx.body}})`, `{"got":{"a":1}}`},
	{"fetch-object", "fetch", `{async fetch(request, env, ctx) { return new Response(request.method + ' ' + await request.text()) }}`, `POST {"a":1}`},
	{"server-http", "server", builtin + `('http').createServer((req, res) => { let b = ''; req.on('data', p => b += p).on('end', () => res.end(req.url + ' ' + b)) })`, `/rest?q=1 {"a":1}`},
	{"server-function", "server", `Object.assign((req, res) => { res.end('app ' + req.url) }, {listen() {}})`, `app /rest?q=1`},
	{"server-plain", "server!", `(req, res) => { res.end('plain ' + req.url) }`, `plain /rest?q=1`},
	{"fetch-function", "fetch!", `async (request, env, ctx) => Response.json({url: new URL(request.url).pathname, m: request.method})`, `{"url":"/rest","m":"POST"}`},
}

// Every shape, in every module system, told by its rules and asked for by name.
func TestShapes(t *testing.T) {
	t.Parallel()
	n := shared(t)
	for _, f := range forms {
		n.Container("shapes", f.name, nil)
		n.Container("shapes", f.name+"-model", nil)
		for _, s := range shapes {
			model, only := strings.CutSuffix(s.model, "!") // only by name, outside ES modules
			asks := []bool{true, false}
			if f.es && model != "fetch" && model != "server" || !f.es && only || s.name == "server-plain" {
				asks = asks[:1] // told otherwise
			}
			for _, ask := range asks {
				if ask && f.name != "cjs" && len(asks) == 2 {
					continue // asking is the same in every module system
				}
				t.Run(fmt.Sprintf("%s/%s/model=%t", f.name, s.name, ask), func(t *testing.T) {
					t.Parallel()
					n := n.For(t)
					container, body := f.name, M{"files": M{f.file: fmt.Sprintf(f.code, s.expression)}}
					if ask {
						container += "-model"
						body["model"] = model
					}
					a := n.Put("shapes", container, s.name, body)
					if v := a.JSON(); v["status"] != "ready" || v["model"] != model {
						t.Fatalf("deploy: %d %v %s, want model %s", a.Status, a.Err, a.Body, model)
					}
					for range 2 { // the first may load, the second does not
						a = n.Do(context.Background(), "POST", "/run/shapes/"+container+"/"+s.name+"/rest?q=1", []byte(`{"a":1}`), "Content-Type", "application/json")
						if a.Status != 200 || a.Text() != s.want {
							t.Errorf("answered %d %v %q, want %q", a.Status, a.Err, a.Body, s.want)
						}
					}
				})
			}
		}
	}
}

// What a promise resolves to.
func TestPromiseResults(t *testing.T) {
	t.Parallel()
	n := shared(t)
	cases := []struct {
		result, body, contentType string
		status                    int
	}{
		{`({status: 201, headers: {'x-a': 'b'}, body: {a: 1}})`, `{"a":1}`, "application/json", 201},
		{`({status: 202})`, ``, "", 202},
		{`({body: 'text'})`, `text`, "text/plain; charset=utf-8", 200},
		{`({headers: {'content-type': 'text/html'}, body: '<p>'})`, `<p>`, "text/html", 200},
		{`({a: 1})`, `{"a":1}`, "application/json", 200},
		{`'text ü'`, `text ü`, "text/plain; charset=utf-8", 200},
		{`Buffer.from([0, 255, 10])`, "\x00\xff\n", "application/octet-stream", 200},
		{`new Uint8Array([1, 2])`, "\x01\x02", "application/octet-stream", 200},
		{`[1, 2]`, `[1,2]`, "application/json", 200},
		{`42`, `42`, "application/json", 200},
		{`null`, `null`, "application/json", 200},
		{`undefined`, ``, "", 200},
		{`new Response('made', {status: 203, headers: {'content-type': 'x/y'}})`, `made`, "x/y", 203},
	}
	var code strings.Builder
	code.WriteString("module.exports = async ctx => { switch (ctx.query.case) {\n")
	for i, c := range cases {
		fmt.Fprintf(&code, "case '%d': return %s\n", i, c.result)
	}
	code.WriteString("} }")
	n.Deploy("results", "c", "f", code.String())
	for i, c := range cases {
		a := n.Do(context.Background(), "GET", fmt.Sprintf("/run/results/c/f?case=%d", i), nil)
		if a.Status != c.status || a.Text() != c.body || a.Header.Get("Content-Type") != c.contentType {
			t.Errorf("%s: got %d %q %q, want %d %q %q", c.result, a.Status, a.Header.Get("Content-Type"), a.Body, c.status, c.contentType, c.body)
		}
	}
}

// A Response is taken from every model.
func TestResponseFromEveryModel(t *testing.T) {
	t.Parallel()
	n := shared(t)
	const response = `new Response(new Blob(['from ', 'it']).stream(), {status: 418, headers: {'x-from': 'here'}})`
	for name, code := range map[string]string{
		"callback-1":        `module.exports = cb => cb(null, %s)`,
		"callback-2":        `module.exports = (ctx, cb) => cb(null, %s)`,
		"callback-returned": `module.exports = ctx => %s`,
		"callback-promised": `module.exports = ctx => Promise.resolve(%s)`,
		"promise":           `module.exports = async ctx => %s`,
		"fetch":             `module.exports = {fetch: () => %s}`,
	} {
		n.Deploy("response", "c", name, fmt.Sprintf(code, response))
		if a := n.Call("response", "c", name); a.Status != 418 || a.Text() != "from it" || a.Header.Get("x-from") != "here" {
			t.Errorf("%s: %d %v %q", name, a.Status, a.Err, a.Body)
		}
	}
}

// What cannot be called fails at deploy, with the list of shapes.
func TestNoShape(t *testing.T) {
	t.Parallel()
	n := shared(t)
	clean(n, "noshape")
	n.Container("noshape", "c", nil)
	for i, code := range []string{`module.exports = {a: 1}`, `module.exports = 42`, `module.exports = null`, `module.exports = class A {}`,
		`module.exports = function* () {}`, `module.exports = []`, `const unused = 1`, `exports.handler = async () => 1`} {
		a := n.Put("noshape", "c", fmt.Sprintf("f%d", i), M{"code": code})
		v := a.JSON()
		failure, _ := v["error"].(M)
		message, _ := failure["message"].(string)
		if a.Status != 201 || v["status"] != "failed" || failure["reason"] != "shape" {
			t.Errorf("%s: %d %v %s", code, a.Status, a.Err, a.Body)
		}
		for _, shape := range []string{"cb => ", "(ctx, cb) =>", "(ctx, req, res) =>", "async ctx =>", "async fetch(request, env, ctx)", "async (request, env, ctx)", "listen"} {
			if !strings.Contains(message, shape) {
				t.Errorf("%s: the message lacks %q: %s", code, shape, message)
			}
		}
		if a := n.Call("noshape", "c", fmt.Sprintf("f%d", i)); a.Status != 503 || a.JSON()["reason"] != "failed" || a.JSON()["component"] != "code" {
			t.Errorf("%s: the call got %d %s", code, a.Status, a.Body)
		}
	}
	// A model that the export does not fit.
	a := n.Put("noshape", "c", "misfit", M{"code": `module.exports = {fetch() {}}`, "model": "callback"})
	if failure, _ := a.JSON()["error"].(M); failure["reason"] != "shape" || !strings.Contains(fmt.Sprint(failure["message"]), `"model": "callback"`) {
		t.Errorf("misfit: %d %s", a.Status, a.Body)
	}
}

const showCtx = `module.exports = (ctx, cb) => cb(null, {
	body: ctx.body, rawBody: ctx.rawBody.toString('base64'), isBuffer: Buffer.isBuffer(ctx.rawBody), query: ctx.query, params: ctx.params,
	header: ctx.headers['x-custom'], inner: Object.keys(ctx.headers).filter(n => n.startsWith('hearth-')), method: ctx.method, path: ctx.path,
	secrets: ctx.secrets, config: ctx.config, meta: ctx.meta, requestId: ctx.requestId, aborted: ctx.signal.aborted,
	storage: 'storage' in ctx, env: JSON.stringify(process.env), cwd: process.cwd(), home: process.env.HOME, uid: process.getuid(), node: process.version})`

func TestCtx(t *testing.T) {
	t.Parallel()
	n := shared(t)
	clean(n, "ctx")
	for _, runtime := range []string{"node24", "node26"} {
		t.Run(runtime, func(t *testing.T) {
			n := n.For(t)
			n.DeployBody("ctx", runtime, "f", M{"code": showCtx, "runtime": runtime, "config": M{"color": "red", "deep": M{"n": 1}},
				"secrets": M{"KEY": "s3cr3t-canary"}})
			raw := []byte("{\n \"a\": 1, \"b\": \"ü\" }")
			a := n.Do(t.Context(), "PUT", "/run/ctx/"+runtime+"/f/x/y%20z?q=1&q=2&b=over", raw,
				"Content-Type", "application/json", "X-Custom", "v", "Hearth-Prefix", "forged", "Hearth-Request-Id", "forged")
			var got M
			if err := json.Unmarshal(a.Body, &got); err != nil {
				t.Fatalf("%d %v %s", a.Status, a.Err, a.Body)
			}
			var rawBody []byte
			if json.Unmarshal([]byte(fmt.Sprintf("%q", got["rawBody"])), &rawBody) != nil || !bytes.Equal(rawBody, raw) {
				t.Errorf("rawBody %q, sent %q", rawBody, raw)
			}
			env := got["env"].(string)
			if strings.Contains(env, "s3cr3t") || strings.Contains(env, "red") || strings.Contains(env, "KEY") {
				t.Errorf("process.env holds the function's: %s", env)
			}
			if major := "v" + strings.TrimPrefix(runtime, "node") + "."; !strings.HasPrefix(got["node"].(string), major) {
				t.Errorf("runs on %s, want %s", got["node"], major)
			}
			if id := a.Header.Get("hearth-request-id"); id == "" || id == "forged" || got["requestId"] != id {
				t.Errorf("requestId %v, header %q", got["requestId"], id)
			}
			for _, key := range []string{"rawBody", "env", "node", "requestId"} {
				delete(got, key)
			}
			body := M{"a": 1.0, "b": "ü"}
			want := M{"body": body, "isBuffer": true, "query": M{"q": []any{"1", "2"}, "b": "over"}, "params": M{"q": []any{"1", "2"}, "a": 1.0, "b": "ü"},
				"header": "v", "inner": []any{}, "method": "PUT", "path": "/x/y%20z", "secrets": M{"KEY": "s3cr3t-canary"},
				"config": M{"color": "red", "deep": M{"n": 1.0}}, "aborted": false, "storage": false, "cwd": "/", "home": "/tmp", "uid": 1000.0,
				"meta": M{"tenant": "ctx", "container": runtime, "function": "f", "version": 1.0, "runtime": runtime, "prefix": "/run/ctx/" + runtime + "/f"}}
			for key := range want {
				if !reflect.DeepEqual(got[key], want[key]) {
					t.Errorf("ctx %s is %v, want %v", key, got[key], want[key])
				}
			}
		})
	}
}

// env and ctx of the fetch model.
func TestFetchEnv(t *testing.T) {
	t.Parallel()
	n := shared(t)
	n.DeployBody("fetchenv", "c", "f", M{"files": M{"index.mjs": `export default async (request, env, ctx) =>
		Response.json({env, id: ctx.requestId, meta: ctx.meta, process: JSON.stringify(process.env), url: request.url, header: request.headers.get('x-a')})`},
		"config": M{"color": "red"}, "secrets": M{"KEY": "s3cr3t-canary"}})
	a := n.Do(t.Context(), "GET", "/run/fetchenv/c/f/x?y=z", nil, "X-A", "b")
	got := a.JSON()
	if !reflect.DeepEqual(got["env"], M{"color": "red", "KEY": "s3cr3t-canary"}) || got["id"] != a.Header.Get("hearth-request-id") || got["header"] != "b" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if meta, _ := got["meta"].(M); meta["function"] != "f" {
		t.Errorf("meta %v", got["meta"])
	}
	if env := fmt.Sprint(got["process"]); strings.Contains(env, "s3cr3t") || strings.Contains(env, "red") {
		t.Errorf("process.env %s", env)
	}
	if url := fmt.Sprint(got["url"]); !strings.HasSuffix(url, "/x?y=z") || strings.Contains(url, "/run/") {
		t.Errorf("url %s", url)
	}
}

// req.url is what comes after the function's name, and always begins with a slash.
func TestReqURL(t *testing.T) {
	t.Parallel()
	n := shared(t)
	n.Deploy("url", "c", "f", `module.exports = require('http').createServer((req, res) => res.end(req.url))`)
	for sent, want := range map[string]string{"": "/", "?q=1": "/?q=1", "/": "/", "/?": "/?", "/a/b%2Fc?x=%20": "/a/b%2Fc?x=%20", "//a": "//a", "/a/../b": "/a/../b", "/%2e%2e/": "/%2e%2e/"} {
		conn := dial(t, n)
		conn.send("GET /run/url/c/f%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", sent)
		if a := conn.answer("GET"); a.Status != 200 || a.Text() != want {
			t.Errorf("%q: function saw %d %q, want %q", sent, a.Status, a.Body, want)
		}
	}
}

// Bodies that get parsed: the value, and the bytes as they came.
func TestParsedBodies(t *testing.T) {
	t.Parallel()
	n := shared(t)
	n.Deploy("parsed", "c", "f", `module.exports = (ctx, cb) => cb(null, {body: Buffer.isBuffer(ctx.body) ? 'bytes' : ctx.body === undefined ? 'none' : ctx.body, raw: ctx.rawBody.toString('latin1')})`)
	for _, c := range []struct {
		contentType, body string
		want              any
	}{
		{"application/json", `{"a": [1, 2.50, "x"]}`, M{"a": []any{1.0, 2.5, "x"}}},
		{"application/json; charset=utf-8", ` 7 `, 7.0},
		{"application/vnd.github+json", `{"a":1}`, M{"a": 1.0}},
		{"application/x-www-form-urlencoded", `a=1&a=2&b=x+y%21&c`, M{"a": []any{"1", "2"}, "b": "x y!", "c": ""}},
		{"text/plain", "line\r\n", "line\r\n"},
		{"application/octet-stream", "\x00\x01", "bytes"},
		{"", "", "none"},
	} {
		a := n.Do(t.Context(), "POST", "/run/parsed/c/f", []byte(c.body), "Content-Type", c.contentType)
		if got := a.JSON(); !reflect.DeepEqual(got["body"], c.want) || got["raw"] != c.body {
			t.Errorf("%s %q: got %d %s", c.contentType, c.body, a.Status, a.Body)
		}
	}
	if a := n.Do(t.Context(), "POST", "/run/parsed/c/f", []byte(`{"a":`), "Content-Type", "application/json"); a.Status != 400 || a.JSON()["component"] != "request" {
		t.Errorf("bad JSON: %d %s", a.Status, a.Body)
	}
}

// echoes give back what they got, byte for byte, in every model.
var echoes = map[string]M{
	"callback":  {"code": `module.exports = (ctx, cb) => cb(null, ctx.rawBody)`},
	"callback3": {"code": `module.exports = (ctx, req, res) => { req.pipe(res) }`},
	"promise":   {"code": `module.exports = async ctx => ({headers: {'content-type': 'x/y'}, body: ctx.rawBody})`},
	"fetch":     {"files": M{"index.mjs": `export default {fetch: request => new Response(request.body)}`}},
	"fetch-all": {"files": M{"index.mjs": `export default async request => new Response(await request.arrayBuffer())`}},
	"server":    {"code": `module.exports = require('http').createServer((req, res) => req.pipe(res))`},
}

func TestBinaryBodies(t *testing.T) {
	t.Parallel()
	n := shared(t)
	for name, body := range echoes {
		n.DeployBody("binary", "c", name, body)
	}
	for _, size := range []int{0, 1, 65_537, 1 << 20} {
		sent := make([]byte, size)
		rand.Read(sent)
		for name := range echoes {
			a := n.Do(t.Context(), "POST", "/run/binary/c/"+name, sent, "Content-Type", "application/octet-stream")
			if a.Status != 200 || !bytes.Equal(a.Body, sent) {
				t.Errorf("%s: sent %d bytes, got %d %v and %d bytes, the same: %t", name, size, a.Status, a.Err, len(a.Body), bytes.Equal(a.Body, sent))
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	n := shared(t)
	n.Deploy("headers", "c", "f", `module.exports = require('http').createServer((req, res) => {
		const size = +req.headers['x-want'] || 0
		for (let i = 0; i < 6; i++) if (size) res.setHeader('x-big-' + i, String.fromCharCode(97 + i).repeat(size))
		res.setHeader('set-cookie', Array.from({length: 40}, (_, i) => 'c' + i + '=' + i + '; Path=/'))
		res.setHeader('hearth-start', 'forged')
		res.setHeader('hearth-own', 'forged')
		res.end(JSON.stringify(Object.entries(req.headers).filter(([n]) => n.startsWith('x-big-')).map(([n, v]) => n + v)))
	})`)
	header := []string{"X-Want", "10200"}
	var want []any
	for i := range 6 {
		name, value := fmt.Sprintf("X-Big-%d", i), strings.Repeat(string(rune('A'+i)), 10_200)
		header = append(header, name, value)
		want = append(want, strings.ToLower(name)+value)
	}
	a := n.Do(t.Context(), "GET", "/run/headers/c/f", nil, header...)
	var got []any
	if err := json.Unmarshal(a.Body, &got); err != nil || len(got) != len(want) {
		t.Fatalf("%d %v %.300s", a.Status, a.Err, a.Body)
	}
	for _, w := range want {
		if !strings.Contains(a.Text(), fmt.Sprint(w)) {
			t.Errorf("the function did not see %.20s…", w)
		}
	}
	for i := range 6 {
		if v := a.Header.Get(fmt.Sprintf("x-big-%d", i)); v != strings.Repeat(string(rune('a'+i)), 10_200) {
			t.Errorf("x-big-%d came back with %d bytes", i, len(v))
		}
	}
	cookies := a.Header.Values("Set-Cookie")
	for i, c := range cookies {
		if c != fmt.Sprintf("c%d=%d; Path=/", i, i) {
			t.Errorf("cookie %d is %q", i, c)
		}
	}
	if len(cookies) != 40 || a.Header.Get("hearth-start") == "forged" || a.Header.Get("hearth-own") != "" {
		t.Errorf("%d cookies, hearth-start %q, hearth-own %q", len(cookies), a.Header.Get("hearth-start"), a.Header.Get("hearth-own"))
	}
	if a := n.Do(t.Context(), "GET", "/run/headers/c/f", nil, "X-Large", strings.Repeat("x", 70<<10)); a.Status != 431 {
		t.Errorf("a header of 70 KiB got %d %v %s", a.Status, a.Err, a.Body)
	}
}

// Answers without a body, one after the other on one connection: a byte too many would show.
func TestNoBodies(t *testing.T) {
	t.Parallel()
	n := shared(t)
	for name, body := range map[string]M{
		"server":  {"code": `module.exports = require('http').createServer((req, res) => { res.statusCode = +req.url.slice(1); res.end(res.statusCode === 200 ? 'body' : undefined) })`},
		"promise": {"code": `module.exports = async ctx => ({status: +ctx.path.slice(1), body: ctx.path === '/200' ? 'body' : undefined})`},
		"fetch":   {"files": M{"index.mjs": `export default async r => { const s = +new URL(r.url).pathname.slice(1); return new Response(s === 200 ? 'body' : null, {status: s}) }`}},
	} {
		n.DeployBody("nobody", "c", name, body)
		conn := dial(t, n)
		for _, c := range []struct {
			method, path, body string
			status             int
		}{{"HEAD", "200", "", 200}, {"GET", "204", "", 204}, {"GET", "304", "", 304}, {"HEAD", "304", "", 304}, {"POST", "204", "", 204}, {"GET", "200", "body", 200}} {
			conn.send("%s /run/nobody/c/%s/%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", c.method, name, c.path)
			if a := conn.answer(c.method); a.Status != c.status || a.Text() != c.body || a.Header.Get("hearth-request-id") == "" {
				t.Errorf("%s: %s %s: %d %q %v", name, c.method, c.path, a.Status, a.Body, a.Err)
			}
		}
	}
}
