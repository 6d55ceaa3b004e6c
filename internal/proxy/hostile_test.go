package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// An instance's code can write what it likes on its socket. Each case is what it sends instead of an
// answer; want is what the client must then see.
type hostile struct {
	name   string
	answer string
	want   string // the body of a 200, bad (502), or cut (a header, then an aborted connection)
	open   bool   // the instance leaves the connection open
}

const (
	bad = "\x00502"
	cut = "\x00cut"
)

const secondAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"

// hostiles generates the corpus.
func hostiles() []hostile {
	var all []hostile
	add := func(want, name, answer string) {
		all = append(all, hostile{name: name, answer: answer, want: want})
	}
	const okLine, cl5 = "HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n"

	// Status lines.
	for _, line := range []string{"", " ", "\r\n", "\n", "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 20", "HTTP/1.1 2000 OK", "HTTP/1.1 099 X", "HTTP/1.1 000 X",
		"HTTP/1.1 -20 X", "HTTP/1.1 +20 X", "HTTP/1.1 20x OK", "HTTP/1.1  200 OK", "HTTP/1.1\t200 OK", "HTTP/1.2 200 OK", "HTTP/0.9 200 OK", "HTTP/2 200",
		"HTTP/2.0 200 OK", "HTTP/3.0 200 OK", "HTTP/01.1 200 OK", "HTTP/1.01 200 OK", "HTTP/1 200 OK", "HTTP/1. 200 OK", "http/1.1 200 OK", "HTTPS/1.1 200 OK",
		"ICY 200 OK", "SSH-2.0-OpenSSH", "GET / HTTP/1.1", "<html>", "200 OK", "HTTP/1.1 200OK", "HTTP/1.1 2 0 OK", "HTTP/1.1 200 O\x00K",
		"HTTP/1.1 200 O\x01K", "HTTP/1.1 200 O\x7fK", "HTTP/1.1 200 O\rK", "\xef\xbb\xbfHTTP/1.1 200 OK", "HTTP/1.1 ２００ OK", "HTTP/1.1 0x2 OK", "HTTP/1.1 2e2 OK"} {
		add(bad, "status line "+line, line+"\r\n"+cl5+"\r\nhello")
	}
	for _, line := range []string{"HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.1 200 \xff\xfe", "HTTP/1.1 200 a b\tc", "HTTP/1.0 200 OK"} {
		add("hello", "status line "+line, line+"\r\n"+cl5+"\r\nhello")
	}
	add(bad, "HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	add(bad, "HTTP/2 frames", "\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64")
	add(bad, "TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
	add(bad, "HTTP/0.9", "hello")
	add(bad, "nothing", "")

	// Line ends.
	for _, end := range []string{"\n", "\r", "\r\r\n", "\n\r", "\r\n\n", "\v\r\n", "\x00\r\n", "\r\x00\n"} {
		if end != "\r\r\n" && end != "\x00\r\n" && end != "\v\r\n" { // those stand in the reason below
			add(bad, fmt.Sprintf("status line ends with %q", end), "HTTP/1.1 200 OK"+end+cl5+"\r\nhello")
		}
		add(bad, fmt.Sprintf("field ends with %q", end), okLine+"X-A: b"+end+cl5+"\r\nhello")
	}
	add(bad, "header ends with LF", okLine+cl5+"\nhello")
	add(bad, "header ends with CR", okLine+cl5+"\r hello")
	add(bad, "all LF", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello")

	// Fields.
	for _, f := range []string{"X-A b", ": b", " X-A: b", "\tX-A: b", "X-A : b", "X-A\t: b", "X A: b", "X-A\x00: b", "X(A): b", "X-Ä: b", "X\"A: b", "X/A: b",
		"X-A: b\r\n c", "X-A: b\r\n\tc", "X-A: b\r\n \r\n c", "X-A: \x00", "X-A: a\x01b", "X-A: a\x7fb", "X-A: a\x0bb", "X-A: a\rb", "X-A: a\r\rSet-Cookie: b",
		"X-A: a\nSet-Cookie: b", "=: b", "@: b", "[: b", "{}: b", "X-A", "", "HTTP/1.1 200 OK"} {
		if f == "" {
			continue
		}
		if f == "=: b" {
			f = "X=A: b"
		}
		add(bad, fmt.Sprintf("field %q", f), okLine+f+"\r\n"+cl5+"\r\nhello")
	}
	for _, f := range []string{"X-A:", "X-A: ", "X-A:b", "X-A:\tb\t", "X-A: \xff", "!#$%&'*+-.^_`|~09azAZ: b", "x-a: \"", "X-A: b\r\nX-A: c"} {
		add("hello", fmt.Sprintf("field %q", f), okLine+f+"\r\n"+cl5+"\r\nhello")
	}

	// Lengths.
	for _, v := range []string{"", "+5", "-5", "-0", "5 ", "0x5", "5,5", "5, 5", "5,6", "5.0", "5e0", "٥", "five", "5;", "'5'", "5\x005", "99999999999999999999999999",
		"18446744073709551621", "9223372036854775808", " 5 5", "1_0", "0b101", "NaN", "Infinity", "5\t5", "\"5\"", "5 bytes"} {
		if v == "5 " {
			continue
		}
		add(bad, fmt.Sprintf("length %q", v), okLine+"Content-Length: "+v+"\r\n\r\nhello")
	}
	add("hello", "length with spaces", okLine+"Content-Length:  \t5 \r\n\r\nhello")
	add("hello", "length with zeros", okLine+"Content-Length: 0005\r\n\r\nhello")
	add(bad, "two equal lengths", okLine+cl5+cl5+"\r\nhello")
	add(bad, "two lengths", okLine+cl5+"Content-Length: 6\r\n\r\nhello!")
	add(bad, "two lengths, other case", okLine+cl5+"content-length: 5\r\n\r\nhello")
	add(bad, "length and chunked", okLine+cl5+"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	add(bad, "chunked and length", okLine+"Transfer-Encoding: chunked\r\n"+cl5+"\r\n5\r\nhello\r\n0\r\n\r\n")
	add(cut, "shorter than its length", okLine+"Content-Length: 50\r\n\r\nhello")
	add(cut, "nothing of its length", okLine+"Content-Length: 50\r\n\r\n")
	add(cut, "length of many exabytes", okLine+"Content-Length: 999999999999999999\r\n\r\nhello")

	// Codings.
	for _, v := range []string{"", "identity", "gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "chunked;q=1", "xchunked", "chunkedx", "\"chunked\"", "chunked,",
		",chunked", "chunked\x00", "chun ked", "deflate", "x-gzip", "trailers", "chunked identity", "\x0bchunked", "cow"} {
		add(bad, fmt.Sprintf("coding %q", v), okLine+"Transfer-Encoding: "+v+"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	}
	add(bad, "coding twice", okLine+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	add(bad, "coding twice, identity", okLine+"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	add(bad, "coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	add("hello", "coding in capitals", okLine+"transfer-ENCODING: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n")

	// Chunks. The header is out when the body turns out to be wrong, so the connection is aborted.
	chunked := okLine + "Transfer-Encoding: chunked\r\n\r\n"
	for _, c := range []string{"", "5", "5\r", "5\r\n", "5\r\nhel", "5\r\nhello", "5\r\nhello\r", "5\r\nhello\r\n", "5\r\nhello\r\n0", "5\r\nhello\r\n0\r\n", "5\r\nhello\r\n0\r\n\r",
		"5\nhello\n0\n\n", "5\r\nhello\n0\r\n\r\n", "5\rhello\r0\r\r", "5\r\nhelloX0\r\n\r\n", "5\r\nhello!\r\n0\r\n\r\n", "4\r\nhello\r\n0\r\n\r\n", "6\r\nhello\r\n0\r\n\r\n",
		"0x5\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "5;\r\nhello\r\n0\r\n\r\n",
		"5;a=b\r\nhello\r\n0\r\n\r\n", "5 ;a\r\nhello\r\n0\r\n\r\n", "5\t\r\nhello\r\n0\r\n\r\n", "g\r\nhello\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n\r\n0\r\n\r\n",
		"fffffffffffffffff\r\nhello\r\n0\r\n\r\n", "8000000000000000\r\nhello\r\n0\r\n\r\n", "0000000000000000000005\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n-0\r\n\r\n",
		"5\r\nhello\r\n0;x\r\n\r\n", "5\r\nhello\r\n0\r\nX A: b\r\n\r\n", "5\r\nhello\r\n0\r\nX-A: b\n\r\n", "5\r\nhello\r\n0\r\n X: b\r\n\r\n", "5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n",
		"5\r\nhello\r\n0\r\nX-A: \x00\r\n\r\n", "5\r\nhello\r\n0\r\n" + strings.Repeat("X-A: b\r\n", 200) + "\r\n", "5\r\nhello\r\n0\r\nX-A: " + strings.Repeat("b", 70000) + "\r\n\r\n",
		"5\r\nhello\r\n" + strings.Repeat("0", 70000), "5\r\nhello\r\nHTTP/1.1 200 OK\r\n\r\n", "5\r\n\x00\x00\r\n", "２\r\nhi\r\n0\r\n\r\n"} {
		add(cut, fmt.Sprintf("chunks %.40q", c), chunked+c)
	}
	for _, c := range []string{"5\r\nhello\r\n0\r\n\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "05\r\nhello\r\n000\r\n\r\n", "5\r\nhello\r\n0\r\nX-A: b\r\n\r\n",
		"5\r\nhello\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: gzip\r\nHearth-Version: 9\r\n\r\n", "1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n"} {
		add("hello", fmt.Sprintf("chunks %.40q", c), chunked+c)
	}

	// Interim answers.
	inter := "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	good := okLine + cl5 + "\r\nhello"
	add("hello", "five interims", strings.Repeat(inter, 5)+good)
	add(bad, "six interims", strings.Repeat(inter, 6)+good)
	add(bad, "endless 100", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000))
	add("hello", "unasked 100", "HTTP/1.1 100 Continue\r\n\r\n"+good)
	add(bad, "unasked 101", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"+good)
	add(bad, "unasked 101, bare", "HTTP/1.1 101 X\r\n\r\n"+good)
	add(bad, "interim with length", "HTTP/1.1 103 X\r\nContent-Length: 5\r\n\r\nhello"+good)
	add(bad, "interim with coding", "HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+good)
	add(bad, "only interims", inter+inter)
	add(bad, "interim, then nonsense", inter+"nonsense\r\n\r\n")
	add(bad, "204 with a body", "HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nhello")
	add(bad, "204 in chunks", "HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")

	// Sizes.
	add(bad, "long status line", "HTTP/1.1 200 "+strings.Repeat("x", 70000)+"\r\n\r\n")
	add(bad, "long field", okLine+"X-A: "+strings.Repeat("x", 70000)+"\r\n\r\n")
	add(bad, "long name", okLine+strings.Repeat("x", 70000)+": a\r\n\r\n")
	add(bad, "many fields", okLine+strings.Repeat("X-A: b\r\n", 129)+"\r\n")
	add(bad, "100,000 fields", okLine+strings.Repeat("A:\r\n", 100_000)+"\r\n")
	add("hello", "127 fields and a length", okLine+strings.Repeat("X-A: b\r\n", 127)+cl5+"\r\nhello")

	// Cut off in the middle of a header.
	for i := 1; i < len(okLine+cl5); i += 3 {
		add(bad, fmt.Sprintf("header cut at %d", i), (okLine + cl5)[:i])
	}

	// Queue poisoning: more than the answer.
	for _, more := range []string{secondAnswer, strings.Repeat(secondAnswer, 20), "\r\n" + secondAnswer, "x", "\r\n", "\x00", "HTTP/1.1 100 Continue\r\n\r\n" + secondAnswer} {
		for _, a := range []struct{ kind, answer string }{{"length", good}, {"chunks", chunked + "5\r\nhello\r\n0\r\n\r\n"}} {
			all = append(all, hostile{name: fmt.Sprintf("%s, then %.20q", a.kind, more), answer: a.answer + more, want: "hello", open: true})
		}
	}
	all = append(all,
		hostile{name: "no length, then the end", answer: okLine + "Connection: close\r\n\r\nhello", want: "hello"},
		hostile{name: "empty body, then more", answer: okLine + "Content-Length: 0\r\n\r\n" + secondAnswer, want: "", open: true},
		hostile{name: "reserved fields", answer: okLine + "Hearth-Request-Id: 1\r\nhearth-version: 99\r\nHEARTH-START: hot\r\nConnection: hearth-version, close\r\n" + cl5 + "\r\nhello", want: "hello", open: true})
	return all
}

func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	cases := hostiles()
	if len(cases) < 200 {
		t.Fatalf("%d cases, want at least 200", len(cases))
	}
	t.Logf("%d cases", len(cases))
	// The path of a request says which case it wants; any other path gets its own name back.
	inst := serve(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			var n int
			if _, err := fmt.Sscanf(req.URL.Path, "/evil/%d", &n); err != nil {
				io.WriteString(c, ok("good"+req.URL.Path))
				continue
			}
			io.WriteString(c, cases[n].answer)
			if !cases[n].open {
				return
			}
		}
	})
	h := newHouse(inst)
	addr := front(t, h)
	cl := client(t)
	for n, c := range cases {
		status, header, body, err := get(cl, fmt.Sprintf("http://%s/run/t/c/f/evil/%d", addr, n))
		switch {
		case c.want == bad && (err != nil || status != http.StatusBadGateway || !strings.Contains(body, `"component":"code"`)):
			t.Errorf("%s: %d %.80q %v, want 502 with component code", c.name, status, body, err)
		case c.want == cut && err == nil && status != http.StatusBadGateway:
			t.Errorf("%s: a complete answer %d %.80q, want an aborted one", c.name, status, body)
		case c.want != bad && c.want != cut && (err != nil || status != http.StatusOK || body != c.want):
			t.Errorf("%s: %d %.80q %v, want 200 %q", c.name, status, body, err, c.want)
		}
		if status != 0 {
			if id := header["Hearth-Request-Id"]; len(id) != 1 || len(id[0]) != 26 || header.Get("Hearth-Version") != "3" || header.Get("Hearth-Start") != "warm" {
				t.Errorf("%s: reserved fields are %v", c.name, header)
			}
		}
		if strings.Contains(body, "POISON") {
			t.Errorf("%s: a second answer came out: %.80q", c.name, body)
		}
		for i := range 2 {
			path := fmt.Sprintf("/next/%d/%d", n, i)
			status, _, body, err = get(cl, "http://"+addr+"/run/t/c/f"+path)
			if err != nil || status != http.StatusOK || body != "good"+path {
				t.Errorf("%s: the next request got %d %.80q %v, want its own answer", c.name, status, body, err)
			}
		}
	}
}

// An instance that never stops sending is ended by a limit, and costs no memory.
func TestEndlessAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ first, more string }{
		"status line": {"HTTP/1.1 200 ", strings.Repeat("x", 4096)},
		"one field":   {"HTTP/1.1 200 OK\r\nX-A: ", strings.Repeat("x", 4096)},
		"fields":      {"HTTP/1.1 200 OK\r\n", "X-A: b\r\n"},
		"interims":    {"", "HTTP/1.1 102 Processing\r\n\r\n"},
		"spaces":      {"HTTP/1.1 200 OK\r\nX-A:", strings.Repeat(" ", 4096)},
		"no line end": {"HTTP/1.1 200 OK", strings.Repeat("\r", 4096)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(serve(t, func(conn net.Conn, r *bufio.Reader) {
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
				_, err := io.WriteString(conn, c.first)
				for range 1 << 18 { // up to 1 GB
					if err != nil {
						return
					}
					_, err = io.WriteString(conn, c.more)
				}
				t.Error("the proxy read everything")
			}))
			addr := front(t, h)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			status, _, body, err := get(client(t), "http://"+addr+"/run/t/c/f")
			runtime.ReadMemStats(&after)
			if err != nil || status != http.StatusBadGateway {
				t.Errorf("GET = %d %.80q %v, want 502", status, body, err)
			}
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("it took %v, want at most 5 s", d)
			}
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
				t.Errorf("the heap grew by %d bytes", grown)
			}
		})
	}
}

func get(cl *http.Client, url string) (int, http.Header, string, error) {
	res, err := cl.Get(url)
	if err != nil {
		return 0, nil, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, string(b), err
}
