package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hearth"
	"hearth/internal/pool/upstream"
	"hearth/internal/proxy"
)

// echo answers with the request as it came, without its body's framing.
func echo(c net.Conn, r *bufio.Reader) {
	for {
		var head strings.Builder
		length, chunked := 0, false
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
			fmt.Sscanf(line, "Content-Length: %d", &length)
			chunked = chunked || strings.HasPrefix(line, "Transfer-Encoding: chunked")
			if line == "\r\n" {
				break
			}
		}
		for chunked {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
			if line == "0\r\n" {
				for line != "\r\n" {
					line, _ = r.ReadString('\n')
					head.WriteString(line)
				}
				break
			}
		}
		io.CopyN(&head, r, int64(length))
		io.WriteString(c, ok(head.String()))
	}
}

type problemDoc struct {
	Status           int
	Detail, Instance string
	Code, Component  string
	Reason           string
}

func problemOf(t *testing.T, body string) problemDoc {
	t.Helper()
	var p problemDoc
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Errorf("answer %.200q is no problem document: %v", body, err)
	}
	return p
}

func TestRequestReachesFunction(t *testing.T) {
	t.Parallel()
	addr := front(t, newHouse(serve(t, echo)))
	got := raw(t, addr, "POST /run/t/c/f/a%2Fb//../x;y?q=%20&r HTTP/1.1\r\nHost: example.com:81\r\nX-Custom: a\r\nX-Custom: b\r\nContent-Length: 4\r\n"+
		"hearth-function: evil\r\nHEARTH-VERSION: 9\r\nHearth-Request-Id: mine\r\nX-Gone: 1\r\nConnection: x-gone, hearth-function, host, close\r\nKeep-Alive: 1\r\nTE: trailers, x\r\n"+
		"Proxy-Authorization: x\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\r\nbody", 2*time.Second)
	_, seen, _ := strings.Cut(got, "\r\n\r\n")
	if !strings.HasPrefix(seen, "POST /a%2Fb//../x;y?q=%20&r HTTP/1.1\r\nHost: example.com:81\r\n") {
		t.Errorf("the function saw\n%s", seen)
	}
	for _, want := range []string{"X-Custom: a\r\nX-Custom: b\r\n", "Hearth-Function: f\r\n", "Hearth-Version: 3\r\n", "Hearth-Prefix: /run/t/c/f\r\n", "\r\n\r\nbody",
		"X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: http\r\n", "X-Forwarded-Host: example.com:81\r\n", "Forwarded: for=127.0.0.1;host=\"example.com:81\";proto=http\r\n", "Te: trailers\r\n", "Content-Length: 4\r\n"} {
		if strings.Count(seen, want) != 1 {
			t.Errorf("the function saw no, or more than one, %q:\n%s", want, seen)
		}
	}
	for _, not := range []string{"evil", "mine", "Version: 9", "X-Gone", "Keep-Alive", "Connection", "Proxy-", "6.6.6.6", "Port", "Real-Ip"} {
		if strings.Contains(seen, not) {
			t.Errorf("the function saw %q:\n%s", not, seen)
		}
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, echo))
	h.route = hearth.Route{Tenant: "ten-1", Container: "con", Function: "fun", Active: 1, Manifest: hearth.Manifest{TimeoutMS: 5000}}
	addr := front(t, h, func(p *proxy.Config, _ *proxy.ServerConfig) { p.RunDomain = "run.example" })
	for _, c := range []struct{ host, target, want string }{
		{"h", "/run/ten-1/con/fun", "/"},
		{"h", "/run/ten-1/con/fun/", "/"},
		{"h", "/run/ten-1/con/fun?a=/b?c", "/?a=/b?c"},
		{"h", "/run/ten-1/con/fun/?", "/?"},
		{"h", "/run/ten-1/con/fun//x", "//x"},
		{"h", "/run/ten-1/con/fun/./../x\\y;z%00", "/./../x\\y;z%00"},
		{"h", "/run/ten-1/con/fun/ü", "/ü"},
		{"h", "http://other/run/ten-1/con/fun/x?y", "/x?y"},
		{"con.ten-1.run.example", "/fun/x?y", "/x?y"},
		{"CON.Ten-1.RUN.example:8080", "/fun", "/"},
		{"h", "http://con.ten-1.run.example/fun?z", "/?z"},

		{"h", "/", ""}, {"h", "*", ""}, {"h", "/run", ""}, {"h", "/run/", ""}, {"h", "/run/ten-1", ""}, {"h", "/run/ten-1/con", ""}, {"h", "/run/ten-1/con/", ""},
		{"h", "/run/ten-1/con/none", ""}, {"h", "/run/ten-1/none/fun", ""}, {"h", "/run/none/con/fun", ""}, {"h", "/Run/ten-1/con/fun", ""}, {"h", "/run/TEN-1/con/fun", ""},
		{"h", "//run/ten-1/con/fun", ""}, {"h", "/run//ten-1/con/fun", ""}, {"h", "/run/ten-1//con/fun", ""}, {"h", "/./run/ten-1/con/fun", ""},
		{"h", "/run/./ten-1/con/fun", ""}, {"h", "/run/x/../ten-1/con/fun", ""}, {"h", "/x/../run/ten-1/con/fun", ""}, {"h", "/run/ten-1/con/fun/../../con/fun2", "/../../con/fun2"},
		{"h", "/run/ten%2D1/con/fun", ""}, {"h", "/run/ten-1%2Fcon/fun", ""}, {"h", "/run/ten-1/con%2ffun", ""}, {"h", "/%72un/ten-1/con/fun", ""}, {"h", "/run/ten-1/%2e%2e/fun", ""},
		{"h", "/run/ten-1/con/fun%00", ""}, {"h", "/run/ten-1/con/fun;x", ""}, {"h", "/run/ten-1/con\\fun", ""}, {"h", "/run\\ten-1/con/fun", ""}, {"h", "/run/ten-1/con/fun.", ""},
		{"h", "/run/-ten/con/fun", ""}, {"h", "/run/" + strings.Repeat("a", 64) + "/con/fun", ""}, {"h", "/run/ten-1/con/fün", ""}, {"h", "/run/ten-1/con/ fun", "400"},
		{"h", "/run/ten-1/con/fun/#x", "400"}, {"h", "/run/ten-1/con/fun/\x01", "400"}, {"h", "/run/ten-1/con/fun/%zz", "400"},
		{"run.example", "/fun", ""}, {"ten-1.run.example", "/fun", ""}, {"x.con.ten-1.run.example", "/fun", ""}, {"con.ten-1.run.example", "/run/ten-1/con/fun", ""},
		{"con.ten-1.run.example.", "/fun", ""}, {"con.ten-1.run.examplex", "/fun", ""}, {"con-ten-1.run.example", "/fun", ""}, {".ten-1.run.example", "/fun", ""}, {"con.ten-1.run.example", "//fun", ""},
	} {
		got := raw(t, addr, "GET "+c.target+" HTTP/1.1\r\nHost: "+c.host+"\r\nConnection: close\r\n\r\n", 3*time.Second)
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		switch {
		case c.want == "400" && !strings.HasPrefix(head, "HTTP/1.1 400"):
			t.Errorf("%s %s = %.60q, want 400", c.host, c.target, got)
		case c.want == "" && (!strings.HasPrefix(head, "HTTP/1.1 404") || problemOf(t, body).Detail != "There is no such function."):
			t.Errorf("%s %s = %.200q, want 404", c.host, c.target, got)
		case c.want != "" && c.want != "400" && !strings.HasPrefix(body, "GET "+c.want+" HTTP/1.1\r\n"):
			t.Errorf("%s %s reached the function as %.60q, want %q", c.host, c.target, body, c.want)
		}
		if strings.Contains(head, "Location") {
			t.Errorf("%s %s redirects: %q", c.host, c.target, head)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	base := newHouse(serve(t, echo))
	type change = func(h *house)
	for name, c := range map[string]struct {
		change            change
		request           string
		status            int
		component, reason string
		more              string // in the header
	}{
		"connect":       {nil, "CONNECT t:1 HTTP/1.1\r\nHost: t:1\r\n\r\n", 405, "request", "", "Allow: GET"},
		"trace":         {nil, "TRACE /run/t/c/f HTTP/1.1\r\nHost: h\r\n\r\n", 405, "request", "", ""},
		"long target":   {nil, "GET /run/t/c/f?" + strings.Repeat("x", 16<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n", 414, "limit", "uri_bytes", ""},
		"long header":   {nil, "GET /run/t/c/f HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 64<<10-60) + "\r\nA: " + strings.Repeat("x", 2000) + "\r\n\r\n", 431, "limit", "header_bytes", ""},
		"longer header": {nil, "GET /run/t/c/f HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n", 431, "", "", ""},
		"many fields":   {nil, "GET /run/t/c/f HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: x\r\n", 129) + "\r\n", 431, "limit", "header_fields", ""},
		"body too long": {func(h *house) { h.route.Loaded.Parsed = true }, "POST /run/t/c/f HTTP/1.1\r\nHost: h\r\nContent-Length: 10485761\r\n\r\n", 413, "limit", "parsed_body_bytes", ""},
		"building":      {func(h *house) { h.route.Active, h.route.LatestStatus = 0, hearth.StatusBuilding }, "GET /run/t/c/f HTTP/1.1\r\nHost: h\r\n\r\n", 503, "code", "building", "Retry-After: 2"},
		"failed":        {func(h *house) { h.route.Active, h.route.LatestStatus = 0, hearth.StatusFailed }, "GET /run/t/c/f HTTP/1.1\r\nHost: h\r\n\r\n", 503, "code", "failed", "Retry-After: 2"},
		"queue full": {func(h *house) {
			h.refuse = &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentLimit, Reason: "queue", Message: "full", RetryAfter: time.Second}
		}, "GET /run/t/c/f HTTP/1.1\r\nHost: h\r\n\r\n", 503, "limit", "queue", "Retry-After: 1"},
		"our bug": {func(h *house) { h.refuse = errors.New("secret of ours") }, "GET /run/t/c/f HTTP/1.1\r\nHost: h\r\n\r\n", 500, "platform", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(base.instance)
			if c.change != nil {
				c.change(h)
			}
			got := raw(t, front(t, h), strings.Replace(c.request, "Host: h\r\n", "Host: h\r\nConnection: close\r\n", 1), 5*time.Second)
			head, body, _ := strings.Cut(got, "\r\n\r\n")
			if !strings.HasPrefix(head, fmt.Sprintf("HTTP/1.1 %d", c.status)) || !strings.Contains(head, c.more) || strings.Contains(got, "secret") {
				t.Errorf("answer %.300q, want %d", got, c.status)
			}
			if c.component == "" {
				return // net/http's own
			}
			p := problemOf(t, body)
			if p.Component != c.component || p.Reason != c.reason || len(p.Instance) != 26 || !strings.Contains(head, "Hearth-Request-Id: "+p.Instance) {
				t.Errorf("problem %+v under %q, want component %s and reason %q", p, head, c.component, c.reason)
			}
			if call, _ := h.call(t); call.Status != c.status || call.Reason != c.reason || string(call.Component) != c.component && c.component != "request" && c.status != 500 {
				t.Errorf("recorded %+v", call)
			}
		})
	}
}

func TestWhatInstancesDo(t *testing.T) {
	t.Parallel()
	type talk = func(i *fakeInstance, c net.Conn, r *bufio.Reader)
	die := func(why string, after time.Duration) talk {
		return func(i *fakeInstance, c net.Conn, r *bufio.Reader) {
			http.ReadRequest(r)
			i.end = why
			time.AfterFunc(after, func() { close(i.gone) })
		}
	}
	say := func(answer string) talk {
		return func(_ *fakeInstance, c net.Conn, r *bufio.Reader) { always(answer)(c, r) }
	}
	for name, c := range map[string]struct {
		talk              talk
		status            int
		component, reason string
		outcome           proxy.Outcome
	}{
		"answers never": {func(_ *fakeInstance, c net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) }, 504, "code", "timeout", proxy.Timeout},
		"answers half": {func(_ *fakeInstance, c net.Conn, r *bufio.Reader) {
			io.WriteString(c, "HTTP/1.1 200 O")
			io.Copy(io.Discard, r)
		}, 504, "code", "timeout", proxy.Timeout},
		"closes":           {func(_ *fakeInstance, c net.Conn, r *bufio.Reader) { http.ReadRequest(r) }, 502, "code", "closed", proxy.BadAnswer},
		"dies":             {die("died", 20*time.Millisecond), 502, "code", "died", proxy.Died},
		"dies of memory":   {die("oom", 0), 502, "code", "oom", proxy.Died},
		"talks nonsense":   {say("nonsense"), 502, "code", "bad_answer", proxy.BadAnswer},
		"answers too much": {say("HTTP/1.1 200 OK\r\nContent-Length: 10485761\r\n\r\n"), 502, "limit", "answer_too_large", proxy.Done},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(serveAs(t, c.talk))
			h.route.Manifest.TimeoutMS, h.route.Loaded.Parsed = 300, true
			began := time.Now()
			status, header, body, err := get(client(t), "http://"+front(t, h)+"/run/t/c/f")
			if err != nil || status != c.status {
				t.Fatalf("GET = %d %v, want %d", status, err, c.status)
			}
			if d := time.Since(began); d > 3*time.Second {
				t.Errorf("it took %v", d)
			}
			p := problemOf(t, body)
			if p.Component != c.component || p.Reason != c.reason || p.Instance != header.Get("Hearth-Request-Id") || len(p.Instance) != 26 {
				t.Errorf("problem %+v, want component %s and reason %s", p, c.component, c.reason)
			}
			call, outcome := h.call(t)
			if call.Status != c.status || call.Reason != c.reason || call.Version != 3 || call.Start != hearth.StartWarm || call.Total <= 0 || outcome != c.outcome {
				t.Errorf("recorded %+v with outcome %v, want outcome %v", call, outcome, c.outcome)
			}
		})
	}
}

func TestFailuresInTheMiddleAbort(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"length": "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
		"chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	} {
		for _, waits := range []bool{false, true} {
			t.Run(fmt.Sprint(name, waits), func(t *testing.T) {
				t.Parallel()
				h := newHouse(serve(t, func(c net.Conn, r *bufio.Reader) {
					http.ReadRequest(r)
					io.WriteString(c, answer)
					if waits {
						io.Copy(io.Discard, r)
					}
				}))
				h.route.Manifest.TimeoutMS = 300
				status, _, body, err := get(client(t), "http://"+front(t, h)+"/run/t/c/f")
				if status != 200 && status != 0 || err == nil {
					t.Errorf("GET = %d %q %v, want an aborted 200", status, body, err)
				}
				call, outcome := h.call(t)
				want := proxy.BadAnswer
				if waits {
					want = proxy.Timeout
				}
				if outcome != want || call.Status != 200 || call.Reason == "" {
					t.Errorf("recorded %+v with %v, want %v", call, outcome, want)
				}
			})
		}
	}
}

func TestCallRecordHasTimes(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, always("HTTP/1.1 500 X\r\nHearth-Timing: load=12.5,run=4,evil=1e9,run=NaN\r\nHearth-Outcome: error\r\nContent-Length: 0\r\n\r\n")))
	if status, header, _, err := get(client(t), "http://"+front(t, h)+"/run/t/c/f"); status != 500 || err != nil || header.Get("Hearth-Timing") != "" || header.Get("Hearth-Outcome") != "" {
		t.Errorf("GET = %d %v %v", status, header, err)
	}
	if call, _ := h.call(t); call.Load != 12500*time.Microsecond || call.Run != 4*time.Millisecond || call.Reason != "error" || call.Component != hearth.ComponentCode {
		t.Errorf("recorded %+v", call)
	}
}

func TestStreamsResponse(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"events": "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
		"length": "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n",
		"to end": "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := make(chan struct{})
			h := newHouse(serve(t, func(c net.Conn, r *bufio.Reader) {
				http.ReadRequest(r)
				io.WriteString(c, head)
				for i := range 3 {
					<-next
					if strings.Contains(head, "chunked") {
						// The chunk's end comes late: what is complete must not wait for it.
						fmt.Fprintf(c, "2\r\n%d\n\r", i)
						<-next
						io.WriteString(c, "\n")
					} else {
						fmt.Fprintf(c, "%d\n", i)
						<-next
					}
				}
				if strings.Contains(head, "chunked") {
					io.WriteString(c, "0\r\n\r\n")
				}
			}))
			res, err := client(t).Get("http://" + front(t, h) + "/run/t/c/f") // returns: the header does not wait for a body
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			r := bufio.NewReader(res.Body)
			for i := range 3 {
				next <- struct{}{}
				if line, err := r.ReadString('\n'); err != nil || line != fmt.Sprintln(i) {
					t.Fatalf("read %q %v, want %d", line, err, i)
				}
				next <- struct{}{}
			}
			if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
				t.Errorf("the rest is %q %v", rest, err)
			}
		})
	}
}

func TestStreamsRequest(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, func(c net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		buf := make([]byte, 100)
		for err == nil {
			var n int
			n, err = req.Body.Read(buf)
			if n > 0 {
				fmt.Fprintf(c, "%x\r\n%s\r\n", n, buf[:n])
			}
		}
		fmt.Fprintf(c, "0\r\nX-End: %v\r\n\r\n", req.Trailer.Get("X-Sum"))
	}))
	for _, proto := range []string{"h1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			addr := front(t, h, func(_ *proxy.Config, s *proxy.ServerConfig) { s.H2C = true })
			cl := client(t)
			if proto == "h2" {
				p := new(http.Protocols)
				p.SetUnencryptedHTTP2(true)
				cl.Transport.(*http.Transport).Protocols = p
			}
			pr, pw := io.Pipe()
			req, _ := http.NewRequest("POST", "http://"+addr+"/run/t/c/f", pr)
			req.Trailer = http.Header{"X-Sum": nil, "Hearth-Evil": {"1"}}
			// A byte before Do returns: HTTP/1.1's client waits for the answer's header.
			go pw.Write([]byte("first"))
			res, err := cl.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			buf := make([]byte, 100)
			for _, want := range []string{"first", "second", "third"} {
				if want != "first" {
					pw.Write([]byte(want))
				}
				if n, err := io.ReadFull(res.Body, buf[:len(want)]); err != nil || string(buf[:n]) != want {
					t.Fatalf("read %q %v, want %q", buf[:n], err, want)
				}
			}
			req.Trailer["X-Sum"] = []string{"42"}
			pw.Close()
			if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
				t.Errorf("the rest is %q %v", rest, err)
			}
			if res.Trailer.Get("X-End") != "42" {
				t.Errorf("trailer %v, want X-End: 42", res.Trailer)
			}
		})
	}
}

func TestLargeBodiesBothWays(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			b, _ := io.ReadAll(req.Body)
			if strings.HasSuffix(req.URL.Path, "chunks") {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				for len(b) > 0 {
					n := min(len(b), 70_001)
					fmt.Fprintf(c, "%X\r\n%s\r\n", n, b[:n])
					b = b[n:]
				}
				io.WriteString(c, "0\r\n\r\n")
				continue
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
		}
	}))
	addr := front(t, h)
	cl := client(t)
	for _, n := range []int{0, 1, 4095, 16383, 16384, 16385, 65536, 1 << 20, 20 << 20} {
		sent := bytes.Repeat([]byte("0123456789abcdef!"), n/17+1)[:n]
		for _, path := range []string{"/length", "/chunks"} {
			for _, known := range []bool{true, false} {
				var body io.Reader = bytes.NewReader(sent)
				if !known {
					body = io.MultiReader(body)
				}
				res, err := cl.Post("http://"+addr+"/run/t/c/f"+path, "application/octet-stream", body)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%d bytes to %s (length known: %v) came back as %d, %v", n, path, known, len(got), err)
				}
			}
		}
	}
	if n := h.instance.dials.Load(); n > 2 {
		t.Errorf("36 requests in turn dialled %d times, want one connection", n)
	}
}

func TestParsedBodiesAreBounded(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, always(ok("hello"))))
	h.route.Loaded.Parsed = true
	body := io.MultiReader(strings.NewReader(strings.Repeat("x", 10<<20)), strings.NewReader("y"))
	addr := front(t, h)
	got := make(chan string, 1)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		b, _ := io.ReadAll(c)
		got <- string(b)
	}()
	io.WriteString(c, "POST /run/t/c/f HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	buf := make([]byte, 64<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			fmt.Fprintf(c, "%x\r\n%s\r\n", n, buf[:n])
		}
		if err != nil {
			break
		}
	}
	answer := <-got
	if !strings.HasPrefix(answer, "HTTP/1.1 413 ") || !strings.Contains(answer, "parsed_body_bytes") {
		t.Errorf("10 MiB and a byte in chunks: %.300q, want 413", answer)
	}
	if call, outcome := h.call(t); call.Status != 413 || outcome != proxy.Done {
		t.Errorf("recorded %+v, %v", call, outcome)
	}
}

func TestNoBodyAnswers(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			switch req.URL.Path {
			case "/head":
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-A: b\r\n\r\n")
			case "/304":
				io.WriteString(c, "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nEtag: \"x\"\r\n\r\n")
			case "/204":
				io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
			}
		}
	}))
	addr := front(t, h)
	for _, c := range []struct{ method, path, want string }{{"HEAD", "/head", "Content-Length: 1000\r\n"}, {"GET", "/304", "Etag: \"x\"\r\n"}, {"GET", "/204", "HTTP/1.1 204 "}} {
		got := raw(t, addr, c.method+" /run/t/c/f"+c.path+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 2*time.Second)
		if !strings.Contains(got, c.want) || !strings.HasSuffix(got, "\r\n\r\n") || strings.Count(got, "\r\n\r\n") != 1 {
			t.Errorf("%s %s = %q, want %q and no body", c.method, c.path, got, c.want)
		}
	}
	if n := h.instance.dials.Load(); n != 1 {
		t.Errorf("3 requests dialled %d times, want 1", n)
	}
}

func TestInterimAnswersAndTrailers(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, always("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nHearth-X: 1\r\n\r\nHTTP/1.1 200 OK\r\nTrailer: X-Told, Hearth-T\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"2\r\nhi\r\n0\r\nX-Told: 1\r\nX-Untold: 2\r\nHearth-T: 3\r\nTransfer-Encoding: x\r\n\r\n")))
	addr := front(t, h)
	hints := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		if hints++; code != 103 || header.Get("Link") != "</a>" || header.Get("Hearth-X") != "" {
			t.Errorf("interim %d %v", code, header)
		}
		return nil
	}})
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+addr+"/run/t/c/f", nil)
	res, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if string(b) != "hi" || err != nil || hints != 1 || res.Header.Get("Link") != "" || res.Header.Get("Hearth-Request-Id") == "" {
		t.Errorf("answer %v %q %v with %d interims", res.Header, b, err, hints)
	}
	if res.Trailer.Get("X-Told") != "1" || res.Trailer.Get("X-Untold") != "2" || len(res.Trailer) != 2 {
		t.Errorf("trailer %v", res.Trailer)
	}
}

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first string // what the instance says to the header
		want  string
		body  bool // the body reaches the instance
	}{
		"continue": {"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", true},
		"silence":  {"", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", true},
		"refusal":  {"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 417 Expectation Failed\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan int64, 1)
			h := newHouse(serve(t, func(conn net.Conn, r *bufio.Reader) {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				if req.Header.Get("Expect") != "100-continue" {
					t.Errorf("the function saw %v", req.Header)
				}
				io.WriteString(conn, c.first)
				n, _ := io.Copy(io.Discard, req.Body)
				got <- n
				if c.body {
					io.WriteString(conn, ok("thanks"))
				}
			}))
			conn, err := net.Dial("tcp", front(t, h))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "POST /run/t/c/f HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 20000\r\nConnection: close\r\n\r\n")
			r := bufio.NewReader(conn)
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			all := line
			if strings.Contains(line, " 100 ") {
				conn.Write(make([]byte, 20000))
			}
			rest, _ := io.ReadAll(r)
			all += string(rest)
			if !strings.HasPrefix(all, c.want) {
				t.Errorf("answer %q, want %q", all, c.want)
			}
			if n := <-got; (n == 20000) != c.body || !c.body && n != 0 {
				t.Errorf("%d bytes of body reached the function", n)
			}
		})
	}
}

func TestClientGoneBreaksInstanceConnection(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"waiting":      "GET /run/t/c/f HTTP/1.1\r\nHost: h\r\n\r\n",
		"after a body": "POST /run/t/c/f HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
		"in a body":    "POST /run/t/c/f HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\nhi",
		"in chunks":    "POST /run/t/c/f HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
	} {
		for _, answers := range []bool{false, true} {
			t.Run(fmt.Sprint(name, answers), func(t *testing.T) {
				t.Parallel()
				began, ended := make(chan struct{}), make(chan time.Time, 1)
				h := newHouse(serve(t, func(c net.Conn, r *bufio.Reader) {
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					if answers {
						io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
					}
					close(began)
					io.Copy(io.Discard, r)
					ended <- time.Now()
				}))
				c, err := net.Dial("tcp", front(t, h))
				if err != nil {
					t.Fatal(err)
				}
				io.WriteString(c, request)
				<-began
				if answers {
					if _, err := c.Read(make([]byte, 10)); err != nil {
						t.Fatal(err)
					}
				}
				closed := time.Now()
				c.Close()
				select {
				case at := <-ended:
					if d := at.Sub(closed); d > time.Second {
						t.Errorf("the function learned of it after %v", d)
					}
				case <-time.After(4 * time.Second):
					t.Fatal("the function did not learn that the client went")
				}
				if call, outcome := h.call(t); outcome != proxy.Done || !answers && call.Status != 499 {
					t.Errorf("recorded %+v with %v, want %v", call, outcome, proxy.Done)
				}
			})
		}
	}
}

func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.Method == "POST" {
				io.WriteString(c, "HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
				io.Copy(io.Discard, r)
				return
			}
			io.WriteString(c, ok("fine"))
		}
	}))
	addr := front(t, h)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// What follows of the body looks like a request. It must never be taken for one.
	io.WriteString(c, "POST /run/t/c/f HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nbegin")
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != 401 || string(body) != "no" || err != nil || !res.Close {
		t.Errorf("answer %d %q %v, close: %v; want 401 and a close", res.StatusCode, body, err, res.Close)
	}
	io.WriteString(c, "GET /run/t/c/f/smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		t.Errorf("the rest of the body was answered: %q", rest)
	}
	if status, _, body, err := get(client(t), "http://"+addr+"/run/t/c/f"); status != 200 || body != "fine" || err != nil {
		t.Errorf("the next request = %d %q %v", status, body, err)
	}
	if n := h.instance.dials.Load(); n != 2 {
		t.Errorf("dialled %d times, want 2: the first connection holds half a request", n)
	}
}

func TestSlowBody(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, func(c net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) }))
	h.route.Manifest.TimeoutMS = 300
	got := raw(t, front(t, h), "POST /run/t/c/f HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\nx", 5*time.Second)
	if !strings.HasPrefix(got, "HTTP/1.1 408 ") || !strings.Contains(got, "Connection: close") {
		t.Errorf("answer %.300q, want 408 and a close", got)
	}
	if call, outcome := h.call(t); call.Status != 408 || outcome != proxy.Done {
		t.Errorf("recorded %+v with %v: a slow client must cost no instance", call, outcome)
	}
}

func TestChunkedRequestCloses(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, echo))
	got := raw(t, front(t, h), "POST /run/t/c/f HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET /run/t/c/f/2 HTTP/1.1\r\nHost: h\r\n\r\n", 3*time.Second)
	if !strings.Contains(got, "\r\nConnection: close\r\n") || strings.Contains(got, "GET /2") {
		t.Errorf("answer %q, want one, and a close", got)
	}
}

func TestRetriesAClosedConnectionOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, body string
		want         int // status of a request whose reused connection is closed on its arrival
	}{{"GET", "", 200}, {"DELETE", "", 200}, {"POST", "", 502}, {"POST", "x", 502}, {"PUT", "x", 502}} {
		t.Run(c.method+c.body, func(t *testing.T) {
			t.Parallel()
			h := newHouse(serve(t, func(conn net.Conn, r *bufio.Reader) {
				for n := 0; ; n++ {
					req, err := http.ReadRequest(r)
					if err != nil || n == 1 {
						return // the second request of every connection gets no answer
					}
					io.Copy(io.Discard, req.Body)
					io.WriteString(conn, ok("hello"))
				}
			}))
			addr := front(t, h)
			for i, want := range []int{200, c.want} {
				req, _ := http.NewRequest(c.method, "http://"+addr+"/run/t/c/f", strings.NewReader(c.body))
				res, err := client(t).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != want {
					t.Errorf("request %d = %d, want %d", i, res.StatusCode, want)
				}
			}
		})
	}
}

// twice lends the first house's instance once, and then the second's.
type twice struct {
	*house
	second *house
	lent   atomic.Bool
}

func (h *twice) Acquire(ctx context.Context, r *hearth.Route) (proxy.Grant, error) {
	if h.lent.CompareAndSwap(false, true) {
		return h.house.Acquire(ctx, r)
	}
	return h.second.Acquire(ctx, r)
}

// A request that finds its instance dead before anything was sent goes to another one, whatever its
// method; and only once, so that a container which dies again and again is told so.
func TestDeadInstanceIsReplaced(t *testing.T) {
	t.Parallel()
	dead := func() *house {
		i := &fakeInstance{gone: make(chan struct{}), end: "died",
			Pool: upstream.NewPool(func(context.Context) (net.Conn, error) { return nil, syscall.ECONNREFUSED })}
		close(i.gone)
		return newHouse(i)
	}
	for name, c := range map[string]struct {
		second *house
		want   int
	}{"then a living one": {newHouse(serve(t, always(ok("hello")))), 200}, "then another dead one": {dead(), 502}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &twice{house: dead(), second: c.second}
			addr := front(t, h.house, func(pc *proxy.Config, _ *proxy.ServerConfig) { pc.Handler = h })
			res, err := client(t).Post("http://"+addr+"/run/t/c/f", "text/plain", strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != c.want {
				t.Errorf("status %d, want %d", res.StatusCode, c.want)
			}
			h.house.mu.Lock()
			defer h.house.mu.Unlock()
			if !slices.Equal(h.house.outcomes, []proxy.Outcome{proxy.Died}) {
				t.Errorf("the dead instance was given back as %v, want died, once", h.house.outcomes)
			}
		})
	}
}

// dying is an instance that takes connections and ends without having read one: as a process does that
// exits, whose sockets the kernel closes.
func dying(t *testing.T) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "up")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	i := &fakeInstance{gone: make(chan struct{}), end: "died"}
	i.Pool = upstream.NewPool(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(dir, "s"))
	})
	t.Cleanup(func() { i.Close() })
	time.AfterFunc(50*time.Millisecond, func() {
		l.Close()
		time.Sleep(20 * time.Millisecond)
		close(i.gone)
	})
	return newHouse(i)
}

// A request that a dying instance did not read goes to another one, whatever its method. One that was
// read is told that the instance ended; and an instance that lives and reads nothing is asked twice.
func TestUnreadRequestGoesElsewhere(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "body", strings.Repeat("b", 16<<10)} {
		h := &twice{house: dying(t), second: newHouse(serve(t, always(ok("hello"))))}
		addr := front(t, h.house, func(pc *proxy.Config, _ *proxy.ServerConfig) { pc.Handler = h })
		res, err := client(t).Post("http://"+addr+"/run/t/c/f", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Errorf("body of %d: status %d, want 200", len(body), res.StatusCode)
		}
	}
	read := &twice{second: newHouse(serve(t, always(ok("hello"))))}
	read.house = newHouse(serveAs(t, func(i *fakeInstance, c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err == nil {
			i.end = "died"
			close(i.gone)
		}
	}))
	deaf := newHouse(serve(t, func(c net.Conn, _ *bufio.Reader) { time.Sleep(20 * time.Millisecond) }))
	for name, c := range map[string]struct {
		h   *house
		use func(*proxy.Config)
	}{"read": {read.house, func(pc *proxy.Config) { pc.Handler = read }}, "deaf": {deaf, func(*proxy.Config) {}}} {
		addr := front(t, c.h, func(pc *proxy.Config, _ *proxy.ServerConfig) { c.use(pc) })
		res, err := client(t).Get("http://" + addr + "/run/t/c/f")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 502 {
			t.Errorf("%s: status %d, want 502", name, res.StatusCode)
		}
	}
	if n := deaf.instance.dials.Load(); n != 2 {
		t.Errorf("a deaf instance was dialled %d times, want 2", n)
	}
}

func TestIdleConnectionThatEndsIsNotUsed(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, func(c net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		io.Copy(io.Discard, req.Body)
		io.WriteString(c, ok("hello"))
	}))
	addr := front(t, h)
	cl := client(t)
	for range 20 {
		res, err := cl.Post("http://"+addr+"/run/t/c/f", "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Fatalf("POST = %d, want 200", res.StatusCode)
		}
		time.Sleep(2 * time.Millisecond) // the instance closes behind the answer
	}
}

type panics struct{ *house }

func (p panics) Acquire(ctx context.Context, r *hearth.Route) (proxy.Grant, error) {
	return panicGrant{grant{p.house}}, nil
}

type panicGrant struct{ grant }

func (panicGrant) Instance() (string, int64) { return "", 0 }
func (panicGrant) Waited() proxy.Waits       { panic("boom") }

func TestPanicIsAnswered(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, echo))
	addr := front(t, h, func(p *proxy.Config, _ *proxy.ServerConfig) { p.Handler = panics{h} })
	status, _, body, err := get(client(t), "http://"+addr+"/run/t/c/f")
	if p := problemOf(t, body); err != nil || status != 500 || p.Component != "platform" || strings.Contains(body, "boom") {
		t.Errorf("GET = %d %q %v, want 500 without the panic's text", status, body, err)
	}
	if call, outcome := h.call(t); call.Status != 500 || outcome != proxy.Panicked {
		t.Errorf("recorded %+v with %v, want %v", call, outcome, proxy.Panicked)
	}
}

func TestHiddenStartAndSandbox(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, always("HTTP/1.1 200 OK\r\nContent-Security-Policy: default-src *\r\nContent-Length: 0\r\n\r\n")))
	addr := front(t, h, func(p *proxy.Config, _ *proxy.ServerConfig) { p.ExposeStart, p.SandboxPages = false, true })
	_, header, _, err := get(client(t), "http://"+addr+"/run/t/c/f")
	if err != nil || header["Hearth-Start"] != nil || header["Hearth-Version"] != nil || len(header["Hearth-Request-Id"]) != 1 {
		t.Errorf("header %v %v, want only the request id of ours", header, err)
	}
	if csp := header["Content-Security-Policy"]; len(csp) != 2 || csp[0] != "sandbox" {
		t.Errorf("policies %q, want sandbox and the function's", csp)
	}
	if header["Content-Type"] != nil {
		t.Errorf("a content type was made up: %v", header)
	}
}

func TestForwardedIsBelievedFromTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	all := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		trusted                []netip.Prefix
		sent                   string
		chain, proto, host, ff string
	}{
		{nil, "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n", "127.0.0.1", "http", "h", `for=127.0.0.1;host="h";proto=http`},
		{all[1:], "X-Forwarded-For: 1.1.1.1\r\n", "127.0.0.1", "http", "h", ""},
		{all, "", "127.0.0.1", "http", "h", ""},
		{all, "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n", "1.1.1.1, 127.0.0.1", "https", "shop.example", `for=1.1.1.1;host="shop.example";proto=https, for=127.0.0.1`},
		{all, "X-Forwarded-For: 6.6.6.6, 1.1.1.1\r\n", "1.1.1.1, 127.0.0.1", "http", "h", ""},
		{all, "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 1.1.1.1, 10.0.0.9\r\n", "1.1.1.1, 10.0.0.9, 127.0.0.1", "http", "h", ""},
		{all, "X-Forwarded-For: 1.1.1.1, nonsense, 10.0.0.9\r\n", "10.0.0.9, 127.0.0.1", "http", "h", ""},
		{all, "X-Forwarded-For: [2001:db8::1]:99\r\n", "2001:db8::1, 127.0.0.1", "http", "h", `for="[2001:db8::1]";host="h";proto=http, for=127.0.0.1`},
		{all, "X-Forwarded-For: ::ffff:1.1.1.1\r\n", "1.1.1.1, 127.0.0.1", "http", "h", ""},
		{all, "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a b\r\n", "1.1.1.1, 127.0.0.1", "http", "h", ""},
		{all, "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: http, https\r\n", "1.1.1.1, 127.0.0.1", "https", "h", ""},
		{all, "Forwarded: for=6.6.6.6;proto=https, for=1.1.1.1;proto=https;host=\"a.example\"\r\n", "1.1.1.1, 127.0.0.1", "https", "a.example", ""},
		{all, "Forwarded: for=\"[2001:db8::1]:8\", FOR=10.0.0.9\r\n", "2001:db8::1, 10.0.0.9, 127.0.0.1", "http", "h", ""},
		{all, "Forwarded: for=1.1.1.1, for=_hidden\r\n", "127.0.0.1", "http", "h", ""},
		{all, "Forwarded: for=\"1.1.1.1\r\n", "127.0.0.1", "http", "h", ""},
		{all, "Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 1.1.1.1\r\n", "1.1.1.1, 127.0.0.1", "http", "h", ""},
		{all, "X-Forwarded-For: 1.1.1.1\r\nConnection: x-forwarded-for\r\n", "1.1.1.1, 127.0.0.1", "http", "h", ""},
	} {
		addr := front(t, newHouse(serve(t, echo)), func(p *proxy.Config, _ *proxy.ServerConfig) { p.TrustedProxies = c.trusted })
		got := raw(t, addr, "GET /run/t/c/f HTTP/1.1\r\nHost: h\r\n"+c.sent+"Connection: close\r\n\r\n", 3*time.Second)
		for _, want := range []string{"X-Forwarded-For: " + c.chain + "\r\n", "X-Forwarded-Proto: " + c.proto + "\r\n", "X-Forwarded-Host: " + c.host + "\r\n", "Forwarded: " + c.ff} {
			if !strings.Contains(got, want) {
				t.Errorf("%q came out as\n%s\nwant %q", c.sent, got, want)
			}
		}
	}
}
