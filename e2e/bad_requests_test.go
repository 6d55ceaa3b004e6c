package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/e2e/harness"
)

// badRequest is bytes that a client sends, and the answer that they must get.
type badRequest struct {
	name    string
	request string // HOST stands for the right Host field, END for the end of a plain header
	status  int
	code    string
	closed  bool // the connection closes after the answer, before what follows is taken for a request
}

func badRequests() []badRequest {
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\nEND" }
	f := "/run/bad-requests/c/f"
	list := []badRequest{
		{"method CONNECT", "CONNECT " + f + " HTTP/1.1\r\nEND", 405, "method_not_allowed", false},
		{"method TRACE", "TRACE " + f + " HTTP/1.1\r\nEND", 405, "method_not_allowed", false},
		{"method of other signs", "G(T " + f + " HTTP/1.1\r\nEND", 400, "malformed", true},
		{"no method", " " + f + " HTTP/1.1\r\nEND", 400, "malformed", true},
		{"no version", "GET " + f + "\r\nEND", 400, "malformed", true},
		{"HTTP/0.9", "GET " + f + "\r\n\r\n", 400, "malformed", true},
		{"HTTP/3.0", "GET " + f + " HTTP/3.0\r\nEND", 505, "malformed", true},
		{"HTTP/1.10", "GET " + f + " HTTP/1.10\r\nEND", 400, "malformed", true},
		{"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", 400, "malformed", true},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "malformed", true},
		{"HTTP/2 unasked", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 403, "forbidden", true},
		{"no host", "GET " + f + " HTTP/1.1\r\n\r\n", 400, "malformed", true},
		{"two hosts", "GET " + f + " HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "malformed", true},
		{"host of other signs", "GET " + f + " HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "malformed", true},
		{"space before colon", "GET " + f + " HTTP/1.1\r\nHOSTX : y\r\n\r\n", 400, "malformed", true},
		{"no colon", "GET " + f + " HTTP/1.1\r\nHOSTnothing\r\n\r\n", 400, "malformed", true},
		{"empty field name", "GET " + f + " HTTP/1.1\r\nHOST: x\r\n\r\n", 400, "malformed", true},
		{"zero byte in a value", "GET " + f + " HTTP/1.1\r\nHOSTX: a\x00b\r\n\r\n", 400, "malformed", true},
		{"escape in a value", "GET " + f + " HTTP/1.1\r\nHOSTX: a\x1bb\r\n\r\n", 400, "malformed", true},
		{"zero byte in the target", get(f + "\x00"), 400, "malformed", true},
		{"escape in the target", get(f + "/\x1b[0m"), 400, "malformed", true},
		{"two spaces in the target", get(f + "/a b"), 400, "malformed", true},
		{"fragment", get(f + "/#x"), 400, "malformed", false},
		{"broken percent sign", get(f + "/%zz"), 400, "malformed", true},
		{"length of letters", "POST " + f + " HTTP/1.1\r\nHOSTContent-Length: abc\r\n\r\n", 400, "malformed", true},
		{"length below zero", "POST " + f + " HTTP/1.1\r\nHOSTContent-Length: -1\r\n\r\n", 400, "malformed", true},
		{"length with plus", "POST " + f + " HTTP/1.1\r\nHOSTContent-Length: +5\r\n\r\nhello", 400, "malformed", true},
		{"two lengths", "POST " + f + " HTTP/1.1\r\nHOSTContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400, "malformed", true},
		{"length of 2^64", "POST " + f + " HTTP/1.1\r\nHOSTContent-Length: 18446744073709551617\r\n\r\n", 400, "malformed", true},
		{"encoding unknown", "POST " + f + " HTTP/1.1\r\nHOSTTransfer-Encoding: gzip\r\n\r\n", 501, "malformed", true},
		{"encodings two", "POST " + f + " HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501, "malformed", true},
		{"chunk of letters", "POST " + f + " HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", 400, "malformed", true},
		{"chunk too short", "POST " + f + " HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n", 400, "malformed", true},
		{"chunk of 2^64", "POST " + f + " HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", 400, "malformed", true},
		{"length and chunks", "POST " + f + " HTTP/1.1\r\nHOSTContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\"abc\"\r\n0\r\n\r\nGET /run/bad-requests/c/smuggled HTTP/1.1\r\nEND", 200, "", true},
		{"chunks", "POST " + f + " HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\n\r\n5\r\n\"abc\"\r\n0\r\n\r\n", 200, "", true},
		{"target over 16 KiB", get(f + "?" + strings.Repeat("a", 17<<10)), 414, "uri_too_long", false},
		{"target over 70 KiB", get(f + "?" + strings.Repeat("a", 80<<10)), 431, "headers_too_large", true},
		{"header over 64 KiB", "GET " + f + " HTTP/1.1\r\nHOSTX: " + strings.Repeat("a", 65<<10) + "\r\n\r\n", 431, "headers_too_large", false},
		{"header over 1 MiB", "GET " + f + " HTTP/1.1\r\nHOSTX: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", 431, "headers_too_large", true},
		{"200 fields", "GET " + f + " HTTP/1.1\r\nHOST" + strings.Repeat("X: y\r\n", 200) + "\r\n", 431, "headers_too_large", false},
		{"body over 10 MiB said", "POST " + f + " HTTP/1.1\r\nHOSTContent-Length: 10485761\r\n\r\n", 413, "too_large", true},
		{"body over 10 MiB said, Expect", "POST " + f + " HTTP/1.1\r\nHOSTExpect: 100-continue\r\nContent-Length: 10485761\r\n\r\n", 413, "too_large", true},
		{"body over 10 MiB in chunks", "POST " + f + " HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("100000\r\n"+strings.Repeat("x", 1<<20)+"\r\n", 11) + "0\r\n\r\n", 413, "too_large", true},
		{"Expect unknown", "GET " + f + " HTTP/1.1\r\nHOSTExpect: tea\r\n\r\n", 417, "malformed", true},
		{"broken JSON", "POST " + f + " HTTP/1.1\r\nHOSTContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{\"a", 400, "malformed", false},
		{"broken gzip", "POST " + f + " HTTP/1.1\r\nHOSTContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n123", 400, "malformed", false},
	}
	for _, target := range []string{
		"/run", "/run/", "/run/x", "/run/x/c", "/run//c/f", "/run/bad-requests//f", "/run/bad-requests/c/", "/run/bad-requests/c",
		"/run/nobody/c/f", "/run/bad-requests/none/f", "/run/bad-requests/c/none", "//run/bad-requests/c/f", "/run//bad-requests/c/f",
		"/run/Bad-Requests/c/f", "/run/bad-requests/c/F", "/run/bad-requests/c/f.", "/run/bad-requests/c/.f", "/run/bad-requests/c/f;x=y/",
		"/run/bad-requests/c/%66", "/run/bad%2drequests/c/f", "/run/bad-requests%2fc/f", "/run/bad-requests/c/f%00", "/run/bad-requests/c/f%2f",
		"/run/./bad-requests/c/f", "/run/x/../bad-requests/c/f", "/run/bad-requests/../other/c/f", "/run/%2e%2e/v1/tenants", "/run/bad-requests/c\\f",
		"/run/-bad/c/f", "/run/bad-/c/f", "/run/" + strings.Repeat("a", 64) + "/c/f", "/run/bad_requests/c/f", "/run/'%20OR%201=1/c/f", "/run/bad-requests/c/f\xff", "/run/\u00e4/c/f",
	} {
		list = append(list, badRequest{"target " + target, get(target), 404, "not_found", false})
	}
	for i := range list {
		list[i].request = strings.NewReplacer("HOST", "Host: localhost\r\n", "END", "Host: localhost\r\n\r\n").Replace(list[i].request)
	}
	return list
}

// Whatever a client sends, it gets a problem with a request id, and bytes that follow something
// unclear are never taken for a request.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	n := shared(t)
	n.Deploy("bad-requests", "c", "f", `module.exports = (ctx, cb) => cb(null, {got: String(ctx.rawBody)})`)
	n.Deploy("bad-requests", "c", "smuggled", `module.exports = cb => { console.log('smuggled'); cb(null, 'smuggled') }`)
	var nowhere string
	for _, b := range badRequests() {
		res, body, rest := send(t, n, b.request)
		if res == nil {
			t.Errorf("%s: no answer, want %d; %q", b.name, b.status, rest)
			continue
		}
		id := res.Header.Get("Hearth-Request-Id")
		if res.StatusCode != b.status || id == "" {
			t.Errorf("%s: %d with request id %q, want %d: %.200s", b.name, res.StatusCode, id, b.status, body)
		}
		if b.closed != res.Close {
			t.Errorf("%s: the connection closes: %t, want %t", b.name, res.Close, b.closed)
		}
		if bytes.Contains(rest, []byte("smuggled")) || bytes.Contains(body, []byte("smuggled")) {
			t.Errorf("%s: what followed was taken for a request: %s", b.name, rest)
		}
		if b.status < 400 {
			continue
		}
		var p map[string]any
		if err := json.Unmarshal(body, &p); err != nil || res.Header.Get("Content-Type") != "application/problem+json" ||
			p["code"] != b.code || p["instance"] != id || p["status"] != float64(b.status) || p["detail"] == "" || p["component"] == "" {
			t.Errorf("%s: want a problem with code %s: %v %.300s", b.name, b.code, res.Header, body)
		}
		if b.status == 404 && strings.HasPrefix(b.request, "GET /run/") { // one for all: nobody learns which names exist
			same := strings.ReplaceAll(string(body), id, "ID")
			if nowhere == "" {
				nowhere = same
			}
			if same != nowhere {
				t.Errorf("%s: %s differs from %s", b.name, same, nowhere)
			}
		}
	}
	t.Logf("%d bad requests", len(badRequests()))
	if a := n.Call("bad-requests", "c", "f"); a.Status != 200 {
		t.Errorf("afterwards: %d %v %s", a.Status, a.Err, a.Body)
	}
}

// send sends bytes on a connection of their own, reads one answer, and what comes behind it within
// a moment.
func send(t *testing.T, n *harness.Node, request string) (*http.Response, []byte, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	sent := make(chan struct{})
	go func() { // joined below; the answer may come before all is sent
		defer close(sent)
		_, _ = io.WriteString(conn, request)
	}()
	defer func() { conn.Close(); <-sent }()
	r := bufio.NewReader(conn)
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		rest, _ := io.ReadAll(r)
		return nil, nil, rest
	}
	body, _ := io.ReadAll(res.Body)
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	rest, _ := io.ReadAll(r)
	return res, body, rest
}

// A client that is too slow is told so, and keeps no instance waiting.
func TestSlowRequests(t *testing.T) {
	t.Parallel()
	n := shared(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /run/slow/c/f HTTP/1.1\r\nHost: localhost\r\nX: ")
	began := time.Now()
	_ = conn.SetDeadline(began.Add(20 * time.Second))
	answer, err := io.ReadAll(conn)
	took := time.Since(began)
	t.Logf("an unfinished header: %q, %v after %s", answer, err, took)
	if took < 9*time.Second || took > 13*time.Second {
		t.Errorf("ended after %s, want about 10s", took)
	}
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 408 ")) || !bytes.Contains(bytes.ToLower(answer), []byte("hearth-request-id: ")) {
		t.Errorf("got %q", answer)
	}
}

// No version that serves: 503 that says why and when to come again, at once.
func TestNoActiveVersion(t *testing.T) {
	t.Parallel()
	n := shared(t)
	clean(n, "inactive")
	n.Container("inactive", "c", nil)
	if a := n.Put("inactive", "c", "failed", M{"code": "throw 1"}); a.JSON()["status"] != "failed" {
		t.Fatalf("deploy: %s", a.Body)
	}
	if a := n.API("PUT", harness.FunctionPath("inactive", "c", "building"), M{"files": M{"index.mjs": "await new Promise(r => setTimeout(r, 3000)); export default () => new Response('at last')"}}); a.JSON()["status"] != "building" {
		t.Fatalf("deploy: %s", a.Body)
	}
	for _, reason := range []string{"failed", "building"} {
		a := n.Call("inactive", "c", reason)
		if a.Status != 503 || a.Header.Get("retry-after") == "" {
			t.Errorf("%s: %d %v %s", reason, a.Status, a.Header, a.Body)
		}
		wantProblem(t, a, "code", reason)
	}
	harness.WaitFor(t, "the version that was building", 15*time.Second, func() bool { return n.Call("inactive", "c", "building").Text() == "at last" })
}

// Fields that are Hearth's own pass in neither direction; nobody but Hearth says who called.
func TestReservedHeaders(t *testing.T) {
	t.Parallel()
	n := shared(t)
	clean(n, "reserved")
	n.Deploy("reserved", "c", "f", `module.exports = (ctx, req, res) => { res.setHeader('Hearth-Request-Id', 'mine'); res.setHeader('hearth-version', '99');
		res.setHeader('HEARTH-Start', 'warm'); res.setHeader('hearth-Other', 'x'); res.setHeader('x-mine', 'y');
		res.end(JSON.stringify({headers: req.headers, raw: req.rawHeaders, id: ctx.requestId})) }`)
	res, body, _ := send(t, n, "GET /run/reserved/c/f HTTP/1.1\r\nHost: localhost\r\nhearth-request-id: theirs\r\nHEARTH-FUNCTION: smuggled\r\nHearth-Version: 7\r\n"+
		"hearth-secret: x\r\nX-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nForwarded: for=8.8.8.8\r\nX-Real-Ip: 8.8.8.8\r\nConnection: hearth-function, x-drop\r\nX-Drop: z\r\nX-Keep: k\r\n\r\n")
	if res == nil || res.StatusCode != 200 {
		t.Fatalf("got %v %s", res, body)
	}
	h := res.Header
	if id := h.Get("hearth-request-id"); id == "mine" || id == "theirs" || len(h.Values("hearth-request-id")) != 1 || h.Get("hearth-version") != "1" ||
		!strings.HasPrefix(h.Get("hearth-start"), "cold") || h.Get("hearth-other") != "" || h.Get("x-mine") != "y" {
		t.Errorf("the answer's header: %v", h)
	}
	var saw struct {
		Headers map[string]string
		Raw     []string
		ID      string
	}
	if err := json.Unmarshal(body, &saw); err != nil {
		t.Fatal(err)
	}
	if saw.ID != h.Get("hearth-request-id") || saw.Headers["x-keep"] != "k" || saw.Headers["x-drop"] != "" ||
		saw.Headers["x-forwarded-for"] != "127.0.0.1" || saw.Headers["x-forwarded-proto"] != "http" || strings.Contains(saw.Headers["forwarded"], "8.8.8.8") || saw.Headers["x-real-ip"] != "" {
		t.Errorf("the function saw %s", body)
	}
	if strings.Contains(strings.ToLower(fmt.Sprint(saw.Headers, saw.Raw)), "hearth") {
		t.Errorf("the function saw fields of Hearth: %s", body)
	}
}

// The management side asks for the token, on whatever address it is.
func TestManagementSide(t *testing.T) {
	t.Parallel()
	n := shared(t)
	for _, path := range []string{"/v1/tenants", "/v1/tenants/x", "/v1", "/v1/nodes", "/metrics"} {
		for _, header := range [][]string{{}, {"Authorization", "Bearer " + strings.Repeat("x", 43)}, {"Authorization", "Basic " + n.Token}, {"Cookie", "token=" + n.Token}} {
			a := n.Do(t.Context(), "GET", path+"?token="+n.Token, nil, header...)
			if a.Status != 401 || a.JSON()["code"] != "unauthorized" || a.Header.Get("www-authenticate") == "" || a.Header.Get("hearth-request-id") == "" {
				t.Errorf("GET %s with %v: %d %v %s", path, header, a.Status, a.Header, a.Body)
			}
		}
	}
	if a := n.API("GET", "/metrics", nil); a.Status != 200 || !strings.Contains(a.Text(), "hearth_") {
		t.Errorf("metrics with the token: %d", a.Status)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if a := n.Do(t.Context(), "GET", path, nil); a.Status != 200 {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
}

// With --admin-listen, the public address serves functions and health, and nothing else.
func TestAdminListen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin := l.Addr().String()
	l.Close()
	n := harness.Start(t, "--pool", "1", "--admin-listen", admin)
	public := n.URL
	n.URL = "http://" + admin
	n.Deploy("split", "c", "f", `module.exports = cb => cb(null, 'hi')`)
	if a := n.Do(t.Context(), "GET", "/metrics", nil); a.Status != 200 {
		t.Errorf("metrics on the admin side: %d", a.Status)
	}
	if a := n.Call("split", "c", "f"); a.Status != 404 {
		t.Errorf("functions on the admin side: %d %s", a.Status, a.Body)
	}
	if a := n.Do(t.Context(), "GET", "/v1/tenants", nil); a.Status != 401 {
		t.Errorf("the API without a token: %d", a.Status)
	}
	n.URL = public
	for _, path := range []string{"/v1/tenants", "/metrics", "/openapi.json", "/docs", "/console", "/"} {
		if a := n.API("GET", path, nil); a.Status != 404 || a.Header.Get("hearth-request-id") == "" {
			t.Errorf("%s on the public side: %d %v %s", path, a.Status, a.Header, a.Body)
		}
	}
	if a := n.Call("split", "c", "f"); a.Text() != "hi" || a.Header.Get("content-security-policy") != "" {
		t.Errorf("the function: %d %v %s", a.Status, a.Header, a.Body)
	}
	if a := n.Do(t.Context(), "GET", "/readyz", nil); a.Status != 200 {
		t.Errorf("readyz on the public side: %d", a.Status)
	}
}
