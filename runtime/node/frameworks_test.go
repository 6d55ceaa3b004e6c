package node_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// frameworks are pinned, so that a new release cannot break the tests by itself.
var frameworks = []string{"express@5.1.0", "express4@npm:express@4.21.2", "koa@3.0.1", "fastify@5.6.0", "hono@4.9.6", "ws@8.18.3", "polka@0.5.2", "connect@3.7.0"}

func TestFrameworks(t *testing.T) {
	t.Parallel()
	s := start(t, "node24")
	if err := os.WriteFile(filepath.Join(s.root, "package.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("npm", append([]string{"install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"}, frameworks...)...)
	cmd.Dir = s.root // node_modules above all functions, where Node.js finds it
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("npm cannot install the frameworks, which needs a network: %v: %.300s", err, out)
	}
	const express = `const express = require('%s'); const app = express(); app.use(express.json());
		app.get('/hello/:name', (req, res) => res.cookie('a', 'b').json({hello: req.params.name, q: req.query.q, url: req.url}));
		app.post('/', (req, res) => res.status(201).send(req.body)); app.get('/fail', () => { throw new Error('handled by express') });
		module.exports = app`
	const want = `{"hello":"x","q":"1","url":"/hello/x?q=1"}`
	cases := []struct{ name, file, code, model string }{
		{"express", "index.js", fmt.Sprintf(express, "express"), "server"},
		{"express4", "index.js", fmt.Sprintf(express, "express4"), "server"},
		{"express-esm", "index.mjs", `import express from 'express'; const app = express(); app.use(express.json());
			app.get('/hello/:name', (req, res) => res.json({hello: req.params.name, q: req.query.q, url: req.url}));
			app.post('/', (req, res) => res.status(201).send(req.body)); export default app`, "server"},
		{"express-listening", "index.js", "const http = require('http');" + strings.Replace(fmt.Sprintf(express, "express"), "module.exports = app", "module.exports = http.createServer(app)", 1), "server"},
		{"koa", "index.js", `const Koa = require('koa'); const app = new Koa(); app.use(async ctx => {
			if (ctx.method === 'POST') { const chunks = []; for await (const c of ctx.req) chunks.push(c); ctx.status = 201; ctx.body = JSON.parse(Buffer.concat(chunks)) }
			else ctx.body = {hello: ctx.path.split('/').pop(), q: ctx.query.q, url: ctx.url} }); module.exports = app`, "server"},
		{"fastify", "index.js", `const app = require('fastify')(); app.get('/hello/:name', async r => ({hello: r.params.name, q: r.query.q, url: r.url}));
			app.post('/', async (r, reply) => reply.code(201).send(r.body)); module.exports = app`, "server"},
		{"fastify-ts", "index.ts", `import fastify, { type FastifyInstance } from 'fastify'; const app: FastifyInstance = fastify();
			app.get('/hello/:name', async (r: any) => ({hello: r.params.name, q: r.query.q, url: r.url}));
			app.post('/', async (r, reply) => reply.code(201).send(r.body)); export default app`, "server"},
		{"hono", "index.mjs", `import { Hono } from 'hono'; const app = new Hono();
			app.get('/hello/:name', c => c.json({hello: c.req.param('name'), q: c.req.query('q'), url: new URL(c.req.url).pathname + '?q=1'}));
			app.post('/', async c => c.json(await c.req.json(), 201)); export default app`, "fetch"},
		{"polka", "index.js", `const app = require('polka')(); app.get('/hello/:name', (req, res) => res.end(JSON.stringify({hello: req.params.name, q: req.query.q, url: req.url})));
			app.post('/', (req, res) => { res.statusCode = 201; req.pipe(res) }); module.exports = app`, "server"},
		{"connect", "index.js", `const app = require('connect')(); app.use((req, res) => { if (req.method === 'POST') { res.statusCode = 201; req.pipe(res) }
			else res.end(JSON.stringify({hello: 'x', q: '1', url: req.url})) }); module.exports = app`, "server"},
	}
	for _, c := range cases {
		s.put(c.name, nil, c.file, c.code)
		s.control("POST", "/load", fmt.Sprintf(`{"function":%q,"version":1}`, c.name)).want(t, 200, fmt.Sprintf(`{"model":%q,"parsed":false}`, c.model))
		for range 2 {
			if a := s.get(c.name, "/hello/x?q=1"); a.StatusCode != 200 || a.body != want {
				t.Errorf("%s: got %d %q", c.name, a.StatusCode, a.body)
			}
			s.post(c.name, "/", "application/json", `{"a":1}`).want(t, 201, `{"a":1}`)
		}
	}
	if a := s.get("express", "/fail"); a.StatusCode != 500 || strings.Contains(a.Header.Get("Content-Type"), "problem") {
		t.Errorf("an error that the framework handles: %d %s", a.StatusCode, a.body)
	}

	s.put("ws", nil, "index.js", `const { WebSocketServer } = require('ws'); const server = require('http').createServer();
		new WebSocketServer({server}).on('connection', ws => ws.on('message', m => { console.log('message'); ws.send('echo ' + m) })); module.exports = server`)
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nhearth-function: ws\r\nhearth-version: 1\r\nhearth-request-id: req-1\r\n\r\n")
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("upgrade: %v %v", res, err)
	}
	conn.Write([]byte{0x81, 0x82, 0, 0, 0, 0, 'h', 'i'}) // a masked text frame
	got := make([]byte, 9)
	if _, err := br.Read(got); err != nil || string(got) != "\x81\x07echo hi" {
		t.Errorf("frame %q, %v", got, err)
	}
	s.waitLog(func(l line) bool { return l.text == "message" && l.request == "req-1" && l.function == "ws" })
}
