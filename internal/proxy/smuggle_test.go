package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Requests that two parsers could read differently. Each carries, where the other parser would see
// a second request, the path /smuggled. It must never reach an instance, and no more than one request
// may: then no parser before Hearth can be made to disagree with it.
func smuggles() map[string]string {
	all := map[string]string{}
	const inner = "GET /run/t/c/f/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
	post := func(name, fields, body string) {
		all[name] = "POST /run/t/c/f/first HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n\r\n" + body
	}
	chunkedInner := "0\r\n\r\n" + inner

	// Content-Length and Transfer-Encoding together, in every disguise (TE.CL, CL.TE, TE.TE).
	for _, te := range []string{"Transfer-Encoding: chunked", "Transfer-Encoding : chunked", "Transfer-Encoding:\tchunked", "Transfer-Encoding: chunked ", "Transfer-Encoding: Chunked",
		"Transfer-Encoding: xchunked", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked", "Transfer-Encoding: identity", "Transfer-Encoding: gzip, chunked",
		"Transfer-Encoding:\x0bchunked", "Transfer-Encoding: \x00chunked", "Transfer-Encoding: chunked\x00", "Transfer-Encoding:\n chunked", "Transfer-Encoding:\r\n chunked",
		"\x20Transfer-Encoding: chunked", "X: y\nTransfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked", "Transfer-Encoding: \"chunked\"", "Transfer-Encoding: 'chunked'",
		"Transfer_Encoding: chunked", "Transfer-Encoding\x00: chunked", "Transfer-Encoding\r: chunked", "transfer-encoding: CHUNKED", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
		"Transfer-Encoding: x\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked;x=1",
		"Transfer-Encoding: ,chunked", "Transfer-Encoding: chunked,", "Transfer-Encoding;: chunked", "Transfer-Encoding: chunk\xc3\xa9d", "Transfer-Encoding:\xa0chunked", "Content-Encoding: chunked",
		"Transfer-Encoding: chunked\r\nConnection: transfer-encoding", "Connection: content-length\r\nTransfer-Encoding: chunked"} {
		post("length of all and "+te, fmt.Sprintf("Content-Length: %d\r\n%s", len(chunkedInner), te), chunkedInner)
		post("length 0 and "+te, "Content-Length: 0\r\n"+te, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner))
	}
	// Lengths.
	for _, cl := range []string{"+0", "-0", "0x0", "0 ", " 0", "0,0", "0, 0", "0\x00", "0\t", "00", "0;", "0_", "0e0", "", "\x0b0", "18446744073709551616", "-1", "0\r\n Content-Length: 5"} {
		post(fmt.Sprintf("length %q", cl), "Content-Length: "+cl, inner)
	}
	for _, cls := range [][2]string{{"0", "5"}, {"5", "0"}, {"0", "0"}, {"0", "+0"}, {"0", ""}} {
		post(fmt.Sprintf("lengths %q", cls), "Content-Length: "+cls[0]+"\r\nContent-Length: "+cls[1], inner)
	}
	for _, f := range []string{"Content-Length : 0", "Content_Length: 0", "Content-Length\t: 0", "Content-Length:\n0", " Content-Length: 0", "X: y\nContent-Length: 0", "X: y\rContent-Length: 0", "Content-Length\x00: 0", "content-length: 0"} {
		post(fmt.Sprintf("field %q", f), f, inner)
	}
	// Chunks.
	for _, c := range []string{"0;\r\n\r\n", "0 \r\n\r\n", "00\r\n\r\n", "0x0\r\n\r\n", "+0\r\n\r\n", "-0\r\n\r\n", "0\n\n", "0\r\r", "0\r\n\n", "0\n\r\n", "0;a=\"\r\n\"\r\n\r\n", "0;\nx\r\n\r\n", "1;\n\r\nx\r\n0\r\n\r\n",
		"1\r\nx\n0\r\n\r\n", "1\r\nxX0\r\n\r\n", "1\r\nxyz\r\n0\r\n\r\n", "1 ;a\r\nx\r\n0\r\n\r\n", "ffffffffffffffff0\r\n", "0\r\nContent-Length: 5\r\n\r\n", "0\r\nX: y\r\n z\r\n\r\n", "0\r\n\x00: y\r\n\r\n", "1;" + strings.Repeat("x", 5000) + "\r\nx\r\n0\r\n\r\n"} {
		post(fmt.Sprintf("chunks %.30q", c), "Transfer-Encoding: chunked", c+inner)
	}
	// Header and request line.
	for _, line := range []string{"GET /run/t/c/f/first HTTP/1.1\n", "GET  /run/t/c/f/first HTTP/1.1\r\n", "GET /run/t/c/f/first  HTTP/1.1\r\n", "GET\t/run/t/c/f/first\tHTTP/1.1\r\n", " GET /run/t/c/f/first HTTP/1.1\r\n",
		"GET /run/t/c/f/first HTTP/1.1 \r\n", "GET /run/t/c/f/first HTTP/1.1\r\n\r", "GET /run/t/c/f/first HTTP/1.10\r\n", "GET /run/t/c/f/first HTTP/2.0\r\n", "GET /run/t/c/f/first HTTP/0.9\r\n", "GET /run/t/c/f/first\r\n",
		"GET /run/t/c/f/first http/1.1\r\n", "GET /run/t/c/f/first HTTP/1.1\r\nHost: other\r\n", "GET http://h/run/t/c/f/first HTTP/1.1\r\nHost: other\r\n", "GET /run/t/c/f/first HTTP/1.1\r\nHost : h\r\n", "GET /run/t/c/f/first HTTP/1.1\r\n Host: x\r\n",
		"\r\nGET /run/t/c/f/first HTTP/1.1\r\n", "\x00GET /run/t/c/f/first HTTP/1.1\r\n", "G\x00ET /run/t/c/f/first HTTP/1.1\r\n", "GET /run/t/c/f/first\x00 HTTP/1.1\r\n", "GET /run/t/c/f/first HTTP/1.1\r\nExpect: 100-continue\r\n",
		"GET /run/t/c/f/first HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n"} {
		all[fmt.Sprintf("line %.60q", line)] = line + "Host: h\r\nContent-Length: " + fmt.Sprint(len(inner)) + "\r\n\r\n" + inner
	}
	// A body where none is expected, and an expectation.
	for _, method := range []string{"GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"} {
		all["body of "+method] = method + " /run/t/c/f/first HTTP/1.1\r\nHost: h\r\nContent-Length: " + fmt.Sprint(len(inner)) + "\r\n\r\n" + inner
	}
	post("HTTP/1.0 in chunks", "", "")
	all["HTTP/1.0 in chunks"] = "POST /run/t/c/f/first HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + chunkedInner
	post("expectation", fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d", len(inner)), inner)
	return all
}

func TestNoRequestIsSmuggled(t *testing.T) {
	t.Parallel()
	cases := smuggles()
	if len(cases) < 70 {
		t.Fatalf("%d cases, want at least 70", len(cases))
	}
	t.Logf("%d cases", len(cases))
	var mu sync.Mutex
	var seen []string // request lines that reached the instance
	h := newHouse(serve(t, func(c net.Conn, r *bufio.Reader) {
		for {
			line, err := r.Peek(1)
			if err != nil || len(line) == 0 {
				return
			}
			req, err := http.ReadRequest(r)
			if err != nil {
				t.Errorf("the instance got what is no request: %v", err)
				return
			}
			if req.ContentLength >= 0 && len(req.TransferEncoding) > 0 {
				t.Errorf("the instance got two framings: %v", req)
			}
			mu.Lock()
			seen = append(seen, req.Method+" "+req.RequestURI)
			mu.Unlock()
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			io.WriteString(c, ok("x"))
		}
	}))
	addr := front(t, h)
	// Where the framing is plain and the second request stands behind it, it is a request of its own
	// right, and every other parser sees it so too: a body of no bytes, or no length at all.
	plain := map[string]bool{`length "00"`: true, `length "0 "`: true, `length " 0"`: true, `length "0\t"`: true, `lengths ["0" "0"]`: true, `field "content-length: 0"`: true,
		`field "Content_Length: 0"`: true, `field "X: y\nContent-Length: 0"`: true}
	n := 0
	for name, request := range cases {
		n++
		tag := fmt.Sprintf("/%d", n) // a late one is not taken for another case's
		request = strings.ReplaceAll(strings.ReplaceAll(request, "/first", "/first"+tag), "/smuggled", "/smuggled"[:len("/smuggled")-len(tag)]+tag)
		answer := raw(t, addr, request, 60*time.Millisecond)
		time.Sleep(time.Millisecond)
		mu.Lock()
		first, second := 0, 0
		for _, s := range seen {
			if strings.HasSuffix(s, tag) && strings.Contains(s, "/first") {
				first++
			} else if strings.HasSuffix(s, tag) {
				second++
			}
		}
		mu.Unlock()
		if second > 0 && !plain[name] {
			t.Errorf("%s: the second request reached the instance; the client got %.100q", name, answer)
		}
		if first > 1 {
			t.Errorf("%s: one request reached the instance %d times", name, first)
		}
	}
}
