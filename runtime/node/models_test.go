package node_test

import (
	"fmt"
	"strings"
	"testing"
)

// forms are the ways in which one function can be written: file name, package.json, and how an
// expression is exported.
var forms = []struct{ name, file, pkg, export string }{
	{"cjs", "index.js", "", "module.exports = %s"},
	{"cts", "index.cts", "", "const typed: number = 1; module.exports = %s"},
	{"ts-cjs", "index.ts", "", "const typed: number = 1; module.exports = %s"},
	{"mjs", "index.mjs", "", "export default %s"},
	{"esm", "index.js", `{"type":"module"}`, "export default %s"},
	{"detected", "index.js", "", "export default %s"},
	{"top-level-await", "index.mjs", "", "await new Promise(setImmediate); export default %s"},
	{"mts", "index.mts", "", "const typed: number = 1; export default %s"},
	{"ts-esm", "index.ts", "", "interface A { a: string }\nexport default %s"},
	{"compiled", "index.js", "", "Object.defineProperty(exports, '__esModule', { value: true }); exports.default = %s"},
}

func (s *shim) putForm(t *testing.T, name string, m manifest, form int, expression string) {
	f := forms[form]
	files := []string{f.file, fmt.Sprintf(f.export, expression)}
	if f.pkg != "" {
		files = append(files, "package.json", f.pkg)
	}
	s.put(name, m, files...)
}

func TestModelsInAllForms(t *testing.T) {
	models := []struct{ model, name, expression, want string }{
		{"callback", "cb0", "() => Promise.resolve({a: 1})", `{"a":1}`},
		{"callback", "cb1", "cb => cb(null, {a: 1, color: cb.config.color})", `{"a":1,"color":"red"}`},
		{"callback", "cb2", "(ctx, cb) => cb(null, {a: ctx.method})", `{"a":"GET"}`},
		{"callback", "cb3", "(ctx, req, res) => { res.end('raw ' + req.url + ' ' + ctx.path) }", "raw /x?y=z /x"},
		{"promise", "promise", "async ctx => ({status: 200, headers: {a: 'b'}, body: {q: ctx.query.y}})", `{"q":"z"}`},
		{"fetch", "fetch", "{async fetch(request, env, ctx) { return new Response(request.url + env.KEY + env.color) }}",
			"http://example.test/x?y=zs3cretred"},
		{"fetch", "fetchfn", "async (request, env, ctx) => Response.json({m: request.method})", `{"m":"GET"}`},
		{"server", "server", "process.getBuiltinModule('http').createServer((req, res) => res.end('served ' + req.url))", "served /x?y=z"},
		{"server", "reqres", "(req, res) => { res.end('reqres ' + req.url) }", "reqres /x?y=z"},
		{"server", "app", "Object.assign((req, res) => { res.end('app ' + req.url) }, {listen() {}})", "app /x?y=z"},
	}
	runtimes(t, func(t *testing.T, s *shim) {
		for _, m := range models {
			for i, f := range forms {
				name := m.name + "-" + f.name
				s.putForm(t, name, manifest{"model": m.model}, i, m.expression)
				a := s.get(name, "/x?y=z")
				if a.StatusCode != 200 || a.body != m.want {
					t.Errorf("%s: got %d %q, want %q", name, a.StatusCode, a.body, m.want)
				}
				if i == 0 && !strings.Contains(a.Header.Get("hearth-timing"), "load=") {
					t.Errorf("%s: hearth-timing %q of the first request has no load", name, a.Header.Get("hearth-timing"))
				}
			}
		}
	})
}

func TestModelIsTold(t *testing.T) {
	cases := []struct {
		name, file, code, model string
		parsed                  bool
	}{
		{"none", "index.js", "module.exports = () => 1", "callback", true},
		{"one", "index.js", "module.exports = cb => 1", "callback", true},
		{"two", "index.js", "module.exports = (ctx, cb) => 1", "callback", true},
		{"three", "index.js", "module.exports = (ctx, req, res) => 1", "callback", false},
		{"async-three", "index.js", "module.exports = async (ctx, req, res) => 1", "callback", false},
		{"async", "index.js", "module.exports = async ctx => 1", "promise", true},
		{"async-default", "index.mjs", "export default async ctx => 1", "fetch", false},
		{"three-default", "index.mjs", "export default (a, b, c) => 1", "fetch", false},
		{"fetch-export", "index.mjs", "export async function fetch(request) { return new Response('named') }", "fetch", false},
		{"fetch-cjs", "index.js", "module.exports = {fetch() {}}", "fetch", false},
		{"listen-first", "index.js", "module.exports = Object.assign((req, res) => 1, {listen() {}, fetch() {}})", "server", false},
		{"listen-no-door", "index.js", "module.exports = {listen() {}, fetch() {}}", "fetch", false},
		{"http-server", "index.js", "module.exports = require('http').createServer()", "server", false},
		{"promised-app", "index.js", "module.exports = Promise.resolve(require('http').createServer())", "server", false},
		{"default-cjs", "index.js", "exports.default = async ctx => 1", "promise", true},
	}
	s := start(t, "node24")
	t.Parallel()
	for _, c := range cases {
		s.put(c.name, nil, c.file, c.code)
		a := s.control("POST", "/load", fmt.Sprintf(`{"function":%q,"version":1}`, c.name))
		a.want(t, 200, fmt.Sprintf(`{"model":%q,"parsed":%v}`, c.model, c.parsed))
	}
	s.get("fetch-export", "/").want(t, 200, "named")
}

func TestNoShape(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	for i, code := range []string{"module.exports = {}", "module.exports = 5", "module.exports = null", "module.exports = class A {}",
		"module.exports = function* () {}", "module.exports = {listen() {}}", "exports.handler = async () => 1", "module.exports = 'text'"} {
		name := fmt.Sprintf("f%d", i)
		s.put(name, nil, "index.js", code)
		a := s.control("POST", "/load", fmt.Sprintf(`{"function":%q,"version":1}`, name))
		if a.StatusCode != 422 || !strings.Contains(a.body, `"reason":"shape"`) || !strings.Contains(a.body, "module.exports = async ctx") {
			t.Errorf("%s: got %d %s", code, a.StatusCode, a.body)
		}
		got := s.get(name, "/")
		got.wantProblem(t, 500, "function_error", "shape")
		if got.Header.Get("hearth-outcome") != "no-shape" {
			t.Errorf("%s: outcome %q", code, got.Header.Get("hearth-outcome"))
		}
	}
	s.put("forced", manifest{"model": "fetch"}, "index.js", "module.exports = {a: 1}")
	if a := s.control("POST", "/load", `{"function":"forced","version":1}`); a.StatusCode != 422 {
		t.Errorf("forced: %d %s", a.StatusCode, a.body)
	}
}

func TestLoadFailures(t *testing.T) {
	cases := []struct{ name, file, code, reason, message string }{
		{"syntax", "index.js", "module.exports = {", "syntax", "index.js"},
		{"syntax-esm", "index.mjs", "export default {", "syntax", "index.mjs:1"},
		{"syntax-ts", "index.ts", "const a: = 1", "syntax", "index.ts:1"},
		{"enum-ts", "index.ts", "enum A { B }; module.exports = () => 1", "syntax", "enum"},
		{"missing", "index.js", "require('nowhere')", "load", "Cannot find module 'nowhere'"},
		{"missing-esm", "index.mjs", "import 'nowhere'", "load", "nowhere"},
		{"throws", "index.js", "throw new Error('at load')", "load", "at load"},
		{"throws-null", "index.js", "throw null", "load", "null"},
		{"throws-esm", "index.mjs", "throw new Error('at load')", "load", "at load"},
		{"rejects", "index.mjs", "await Promise.reject(new Error('at load'))", "load", "at load"},
		{"no-export", "index.mjs", "import { nope } from 'node:fs'; export default nope", "syntax", "nope"},
	}
	runtimes(t, func(t *testing.T, s *shim) {
		for _, c := range cases {
			s.put(c.name, nil, c.file, c.code)
			for range 2 { // a failed load is tried again
				a := s.control("POST", "/load", fmt.Sprintf(`{"function":%q,"version":1}`, c.name))
				if a.StatusCode != 422 || !strings.Contains(a.body, `"reason":"`+c.reason+`"`) || !strings.Contains(a.body, c.message) {
					t.Errorf("%s: got %d %s", c.name, a.StatusCode, a.body)
				}
			}
			a := s.get(c.name, "/")
			a.wantProblem(t, 500, "function_error", "load")
			if strings.Contains(a.body, "at load") {
				t.Errorf("%s: the caller sees the reason: %s", c.name, a.body)
			}
		}
		if a := s.control("POST", "/load", `{"function":"../x","version":"1"}`); a.StatusCode != 422 {
			t.Errorf("path: %d %s", a.StatusCode, a.body)
		}
	})
}

func TestCtxFields(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	code := `{
		body: ctx.body, raw: ctx.rawBody.toString(), query: ctx.query, params: ctx.params, type: ctx.headers['content-type'],
		hearth: Object.keys(ctx.headers).filter(k => k.startsWith('hearth')), method: ctx.method, path: ctx.path,
		secrets: ctx.secrets, config: ctx.config, meta: ctx.meta, requestId: ctx.requestId, aborted: ctx.signal.aborted,
		storage: 'storage' in ctx, env: Object.values(process.env).join(), names: Object.keys(process.env).sort(), argv: process.argv.length,
		execArgv: process.execArgv, cwd: process.cwd(), gc: typeof gc}`
	s.put("one", nil, "index.js", "module.exports = ctx => ctx(null, "+code+")")
	s.put("two", nil, "index.js", "module.exports = (ctx, cb) => cb(null, "+code+")")
	s.put("promise", nil, "index.js", "module.exports = async ctx => ({body: "+code+"})")
	for _, name := range []string{"one", "two", "promise"} {
		want := `{"body":{"x":1},"raw":"{\"x\":1}","query":{"q":["1","2"],"__proto__":"p"},"params":{"q":["1","2"],"__proto__":"p","x":1},` +
			`"type":"application/json","hearth":[],"method":"POST","path":"/a/b","secrets":{"KEY":"s3cret"},"config":{"color":"red"},` +
			`"meta":{"tenant":"t","container":"c","function":"` + name + `","version":1,"runtime":"node24","prefix":"/run/t/c/` + name + `"},` +
			`"requestId":"req-1","aborted":false,"storage":false,` +
			`"env":"/usr/local/bin:/usr/bin:/bin,/tmp,production,C.UTF-8,UTC,/etc/ssl/certs,/etc/ssl/certs/ca-certificates.crt",` +
			`"names":["HOME","LANG","NODE_ENV","PATH","SSL_CERT_DIR","SSL_CERT_FILE","TZ"],"argv":2,"execArgv":[],"cwd":"/","gc":"undefined"}`
		s.post(name, "/a/b?q=1&q=2&__proto__=p", "application/json", `{"x":1}`).want(t, 200, want)
	}
}

func TestResults(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	cases := []struct {
		name, code        string
		status            int
		contentType, body string
	}{
		{"object", "async () => ({a: 1})", 200, "application/json", `{"a":1}`},
		{"array", "async () => [1]", 200, "application/json", `[1]`},
		{"string", "async () => 'é'", 200, "text/plain; charset=utf-8", "é"},
		{"number", "async () => 5", 200, "application/json", "5"},
		{"null", "async () => null", 200, "application/json", "null"},
		{"undefined", "async () => {}", 200, "", ""},
		{"buffer", "async () => Buffer.from([0, 255])", 200, "application/octet-stream", "\x00\xff"},
		{"arraybuffer", "async () => new Uint8Array([1, 2]).buffer", 200, "application/octet-stream", "\x01\x02"},
		{"words", "async () => new Uint16Array([1])", 200, "application/octet-stream", "\x01\x00"},
		{"envelope", "async () => ({status: 418, headers: {'Content-Type': 'text/x', 'Content-Length': '99'}, body: 'tea'})", 418, "text/x", "tea"},
		{"status", "async () => ({status: 204})", 204, "", ""},
		{"body-null", "async () => ({body: null})", 200, "", ""},
		{"body-buffer", "async () => ({body: Buffer.from('x')})", 200, "application/octet-stream", "x"},
		{"cb-status", "cb => cb(null, {status: 'ok', body: 1})", 200, "application/json", `{"status":"ok","body":1}`},
		{"cb-nothing", "cb => cb()", 200, "", ""},
		{"cb-string", "cb => cb(null, 'text')", 200, "text/plain; charset=utf-8", "text"},
		{"cb-response", "cb => cb(null, new Response('r', {status: 202}))", 202, "text/plain;charset=UTF-8", "r"},
		{"cb-returns-response", "cb => new Response('r')", 200, "text/plain;charset=UTF-8", "r"},
		{"cb2-promise", "(ctx, cb) => Promise.resolve({status: 201, body: 'p'})", 201, "text/plain; charset=utf-8", "p"},
		{"cb2-async", "async (ctx, cb) => { setImmediate(() => cb(null, 'later')) }", 200, "text/plain; charset=utf-8", "later"},
		{"cb0-value", "() => ({a: 1})", 200, "application/json", `{"a":1}`},
		{"cb0-timer", "(...args) => setTimeout(() => args[0](null, 'rest'), 1)", 200, "text/plain; charset=utf-8", "rest"},
		{"promise-response", "async () => new Response('r', {status: 201})", 201, "text/plain;charset=UTF-8", "r"},
		{"three-response", "async (ctx, req, res) => new Response('r')", 200, "text/plain;charset=UTF-8", "r"},
		{"headers-object", "async () => ({headers: new Headers([['content-type', 'a/b']]), body: 'x'})", 200, "a/b", "x"},
		{"headers-pairs", "async () => ({headers: [['content-type', 'a/b']], body: 'x'})", 200, "a/b", "x"},
		{"headers-number", "async () => ({headers: {'content-type': 'a/b', 'x-n': 5, 'x-u': undefined}, body: 'x'})", 200, "a/b", "x"},
		{"tojson", "async () => new Date(0)", 200, "application/json", `"1970-01-01T00:00:00.000Z"`},
		{"thenable", "() => ({then(ok) { ok('thenable') }})", 200, "text/plain; charset=utf-8", "thenable"},
	}
	for _, c := range cases {
		s.put(c.name, nil, "index.js", "module.exports = "+c.code)
		a := s.get(c.name, "/")
		if a.StatusCode != c.status || a.body != c.body || a.Header.Get("Content-Type") != c.contentType {
			t.Errorf("%s: got %d %q %q, want %d %q %q", c.name, a.StatusCode, a.Header.Get("Content-Type"), a.body, c.status, c.contentType, c.body)
		}
		if got := a.Header.Get("hearth-outcome"); got != "" {
			t.Errorf("%s: outcome %q", c.name, got)
		}
		head := s.do(s.request(c.name, "HEAD", "/", nil))
		if head.StatusCode != c.status || head.body != "" {
			t.Errorf("%s: HEAD gives %d %q", c.name, head.StatusCode, head.body)
		}
	}
	s.put("cookies", nil, "index.js", "module.exports = async () => ({headers: {'set-cookie': ['a=b', 'c=d']}})")
	s.put("cookies-fetch", nil, "index.js", "module.exports = {fetch: () => new Response('', {headers: [['set-cookie', 'a=b'], ['set-cookie', 'c=d']]})}")
	for _, name := range []string{"cookies", "cookies-fetch"} {
		if got := fmt.Sprint(s.get(name, "/").Header.Values("Set-Cookie")); got != "[a=b c=d]" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestStrippedTypeScript(t *testing.T) {
	files := []string{"index.ts", "import type { A } from './a.ts'; import { b } from './lib/b.ts'; import c from './c.cts'; import d from './d.mts'; import f from './é f.ts';\n" +
		"const a: A = { a: 1 }; export default { async fetch(r: Request): Promise<Response> { return Response.json([a, b, c, d, f, 2 as number]) } }",
		"a.ts", "export interface A { a: number }", "lib/b.ts", "export const b: string = 'b'", "c.cts", "const e = require('./e.ts') as string; module.exports = e",
		"d.mts", "export default await Promise.resolve<string>('d')", "e.ts", "module.exports = 'e' as string", "é f.ts", "type Ü = '漢😀'; export default 'f' as string\r\n"}
	const want = `[{"a":1},"b","e","d","f",2]`
	runtimes(t, func(t *testing.T, s *shim) {
		s.put("f", nil, files...)
		s.get("f", "/").want(t, 200, want)
		stripped := []string{}
		for i := 0; i < len(files); i += 2 {
			got := s.control("POST", "/strip", files[i+1])
			if got.StatusCode != 200 || len(got.body) != len(files[i+1]) || strings.Contains(got.body, "string") || strings.Contains(got.body, "interface") {
				t.Errorf("%s: %d %q", files[i], got.StatusCode, got.body)
			}
			stripped = append(stripped, files[i], got.body)
		}
		s.put("g", manifest{"stripped": true}, stripped...)
		s.get("g", "/").want(t, 200, want)
		s.put("not", nil, files...) // another version is not affected
		s.get("not", "/").want(t, 200, want)
		s.put("untrue", manifest{"stripped": true}, files...)
		s.get("untrue", "/").wantProblem(t, 500, "function_error", "load")
		if got := s.control("POST", "/strip", "enum A { B }"); got.StatusCode != 422 || !strings.Contains(got.body, "enum") {
			t.Errorf("an enum: %d %q", got.StatusCode, got.body)
		}
	})
}

// An error in stripped code stands where it stood in the TypeScript.
func TestStrippedTypeScriptKeepsPlaces(t *testing.T) {
	const code = "interface A {\n  a: number\n}\nexport default async (ctx: A): Promise<void> => {\n  const x: string = 'x'; throw new Error('here')\n}"
	runtimes(t, func(t *testing.T, s *shim) {
		s.put("f", manifest{"stripped": true}, "index.ts", s.control("POST", "/strip", code).body)
		s.get("f", "/").wantProblem(t, 500, "function_error", "reject")
		s.waitLog(func(l line) bool { return strings.Contains(l.text, "f/1/index.ts:5:32") })
	})
}
