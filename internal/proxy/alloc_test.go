package proxy_test

import (
	"bufio"
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"hearth/internal/proxy"
)

// plainAnswers answers each request without allocating, so that what is counted is the proxy's.
func plainAnswers(c net.Conn, _ *bufio.Reader) {
	buf, n := make([]byte, 8<<10), 0
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nHearth-Timing: run=0.1\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello")
	for {
		m, err := c.Read(buf[n:])
		if err != nil {
			return
		}
		if n += m; bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
			n = 0
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}
}

// writer is a ResponseWriter that keeps nothing.
type writer struct{ h http.Header }

func (w *writer) Header() http.Header         { return w.h }
func (w *writer) WriteHeader(int)             {}
func (w *writer) Write(p []byte) (int, error) { return len(p), nil }

// maxAllocs is what a warm request may allocate beyond what net/http does: the exchange, its id, the
// watch on the client, the grant, the answer's header text, its values and map.
const maxAllocs = 10

func TestWarmRequestAllocates(t *testing.T) {
	h := newHouse(serve(t, plainAnswers))
	p := proxy.New(proxy.Config{Handler: quiet{h}, Log: slog.New(slog.DiscardHandler), ExposeStart: true})
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://h/run/t/c/f/x?y", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI, r.RemoteAddr, r.Body = "/run/t/c/f/x?y", "127.0.0.1:1234", http.NoBody
	r.Header = http.Header{"User-Agent": {"test"}, "Accept": {"*/*"}, "Authorization": {"x"}}
	w := &writer{h: http.Header{}}
	got := testing.AllocsPerRun(2000, func() {
		clear(w.h)
		p.ServeHTTP(w, r)
	})
	t.Logf("%v allocations", got)
	if got > maxAllocs {
		t.Errorf("a warm request makes %v allocations, want at most %d", got, maxAllocs)
	}
	if n := h.instance.dials.Load(); n != 1 {
		t.Errorf("dialled %d times, want 1: not every request was warm", n)
	}
}
