package builder_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/module/builder"
	"hearth/internal/warden/wire"
)

// host is a warden whose sandboxes are the other end of a socket in this process.
type host struct {
	t      *testing.T
	answer func(c net.Conn, req *http.Request)
	ended  bool
}

func (h *host) StartBuild(context.Context, string, wire.Limits) (*wire.Sandbox, error) {
	name := filepath.Join(h.t.TempDir(), "control")
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, err
	}
	h.t.Cleanup(func() { l.Close() })
	go func() { // ends when the listener is closed
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with its connection
				defer c.Close()
				req, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				if req.URL.Path == "/ping" {
					io.WriteString(c, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
					return
				}
				io.Copy(io.Discard, req.Body)
				h.answer(c, req)
			}()
		}
	}()
	control, err := os.OpenFile(name, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer tcp.Close()
	registry, err := tcp.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	stdout, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	h.t.Cleanup(func() { w.Close() })
	stderr, w2, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	h.t.Cleanup(func() { w2.Close() })
	io.WriteString(w2, "the driver's last words")
	return &wire.Sandbox{ID: "a", Stdout: stdout, Stderr: stderr, Control: control, Registry: registry}, nil
}

func (h *host) Destroy(context.Context, string) error {
	h.ended = true
	return nil
}

func hostile(t *testing.T, answer func(c net.Conn, req *http.Request)) *builder.Sandbox {
	t.Helper()
	h := &host{t: t, answer: answer}
	s, err := builder.Start(t.Context(), h, "node24")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil || !h.ended {
			t.Errorf("close: %v, ended %t", err, h.ended)
		}
	})
	return s
}

// raw answers with the same bytes whatever is asked.
func raw(text string) func(net.Conn, *http.Request) {
	return func(c net.Conn, _ *http.Request) { io.WriteString(c, text) }
}

func ok(body string) func(net.Conn, *http.Request) {
	return raw(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", len(body), body))
}

// endless repeats text until nobody reads.
func endless(head, text string) func(net.Conn, *http.Request) {
	return func(c net.Conn, _ *http.Request) {
		io.WriteString(c, head)
		for {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

const streaming = "HTTP/1.1 200 OK\r\n\r\n"

// Whatever comes instead of a lock is an error, and soon.
func TestHostileLocks(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(net.Conn, *http.Request){
		"nothing":           raw(""),
		"no HTTP":           raw("hello\n"),
		"endless header":    endless("HTTP/1.1 200 OK\r\n", "x: "+strings.Repeat("y", 1000)+"\r\n"),
		"endless line":      endless("HTTP/1.1 200 OK\r\nx: ", strings.Repeat("y", 1000)),
		"endless notes":     endless("", "HTTP/1.1 103 Early Hints\r\nx: "+strings.Repeat("y", 1000)+"\r\n\r\n"),
		"endless body":      endless(streaming, `{"lock": `+strings.Repeat(" ", 1<<20)),
		"cut off":           raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"lock\": {"),
		"cut off in chunks": raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nc\r\n{\"lock\": {}}\r\n"),
		"empty":             ok(""),
		"no JSON":           ok("x"),
		"no lock":           ok(`{}`),
		"not an object":     ok(`{"lock": [1]}`),
		"null":              ok(`{"lock": null}`),
		"more":              ok(`{"lock": {}, "also": 1}`),
		"twice":             ok(`{"lock": {}}{"lock": {}}`),
		"redirect":          raw("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"),
		"another status":    raw("HTTP/1.1 204 No Content\r\n\r\n"),
		"deep":              ok(`{"lock": ` + strings.Repeat("[", 100_000)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := hostile(t, answer)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if lock, err := s.Lock(ctx, builder.LockRequest{Package: json.RawMessage(`{}`)}); err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("lock %.80s, %v", lock, err)
			}
		})
	}
}

func TestRefusalsAreReadable(t *testing.T) {
	t.Parallel()
	body, err := json.Marshal(map[string]string{"code": "E\x1b[31mX\r", "message": "bad \x1b[2Jword\x00\u202e\nline" + strings.Repeat("x", 60_000)})
	if err != nil {
		t.Fatal(err)
	}
	s := hostile(t, raw(fmt.Sprintf("HTTP/1.1 422 No\r\ncontent-length: %d\r\n\r\n%s", len(body), body)))
	_, err = s.Lock(t.Context(), builder.LockRequest{Package: json.RawMessage(`{}`)})
	var r *builder.Refusal
	if !errors.As(err, &r) || r.Status != 422 || r.Code != "EX" || !strings.HasPrefix(r.Message, "bad word\nlinexxx") || len(r.Message) > 20_000 {
		t.Errorf("%.200v", err)
	}
}

func TestWhatTheDriverPrintedIsShown(t *testing.T) {
	t.Parallel()
	s := hostile(t, raw(""))
	if _, err := s.Lock(t.Context(), builder.LockRequest{Package: json.RawMessage(`{}`)}); !errors.Is(err, builder.ErrEnded) || !strings.Contains(err.Error(), "the driver's last words") {
		t.Errorf("%v", err)
	}
}

func TestHostileBuilds(t *testing.T) {
	t.Parallel()
	const done = `{"done":true,"code":7}` + "\n"
	for _, c := range []struct {
		name   string
		answer func(net.Conn, *http.Request)
		lines  int
		good   bool
	}{
		{"good", ok(`{"out":"a"}` + "\n" + `{"out":""}` + "\n" + done), 2, true},
		{"escapes", ok(`{"out":"a\u001b]0;x\u0007b\u001b[2K\u0085\u0000"}` + "\n" + done), 1, true},
		{"something behind the end", ok(done + "x"), 0, true},
		{"nothing", raw(""), 0, false},
		{"no end", ok(`{"out":"a"}` + "\n"), 1, false},
		{"half an end", raw(streaming + `{"done":true`), 0, false},
		{"no code", ok(`{"done":true}` + "\n"), 0, false},
		{"not done", ok(`{"done":false,"code":0}` + "\n"), 0, false},
		{"both", ok(`{"out":"a","done":true,"code":0}` + "\n"), 0, false},
		{"a code of another kind", ok(`{"done":true,"code":"0"}` + "\n"), 0, false},
		{"unknown", ok(`{"what":1}` + "\n"), 0, false},
		{"null", ok("null\n"), 0, false},
		{"a long line", ok(`{"out":"` + strings.Repeat("x", 100_000) + `"}` + "\n" + done), 0, false},
		{"endless lines", endless(streaming, strings.Repeat(`{"out":"`+strings.Repeat("x", 100)+`"}`+"\n", 100)), 9039, false},
		{"endless empty lines", endless(streaming, strings.Repeat("{\"out\":\"\"}\n", 1000)), 1 << 16, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := hostile(t, c.answer)
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			n, size := 0, 0
			code, err := s.Build(ctx, builder.BuildSpec{Name: "x"}, func(line string) {
				n++
				size += len(line)
				if strings.ContainsAny(line, "\x1b\x00\x07\r\u0085") {
					t.Errorf("line %q", line)
				}
			})
			if c.good != (err == nil) || c.good && code != 7 || n > c.lines || size > 1<<20 || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("code %d, %v, %d lines with %d bytes", code, err, n, size)
			}
		})
	}
}

// A build that is waited for no longer ends its call at once.
func TestSilentBuild(t *testing.T) {
	t.Parallel()
	s := hostile(t, func(c net.Conn, _ *http.Request) {
		io.WriteString(c, streaming)
		io.Copy(io.Discard, c) // until the host goes
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Build(ctx, builder.BuildSpec{Name: "x"}, func(string) {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestHalfAResultIsAnError(t *testing.T) {
	t.Parallel()
	s := hostile(t, raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"))
	r, err := s.Result(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if text, err := io.ReadAll(r); string(text) != "half" || !errors.Is(err, builder.ErrEnded) {
		t.Errorf("%q, %v", text, err)
	}
}
