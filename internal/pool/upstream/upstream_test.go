package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen serves a unix socket with talk and returns a pool of connections to it, and how many it made.
func listen(tb testing.TB, talk func(c *net.UnixConn, r *bufio.Reader)) (*Pool, *atomic.Int32) {
	tb.Helper()
	dir, err := os.MkdirTemp("", "up")
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				talk(c.(*net.UnixConn), bufio.NewReader(c))
			})
		}
	})
	var dials atomic.Int32
	p := NewPool(func(ctx context.Context) (net.Conn, error) {
		dials.Add(1)
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	})
	tb.Cleanup(func() {
		l.Close()
		p.Close()
		wg.Wait()
		os.RemoveAll(dir)
	})
	return p, &dials
}

func hello(c *net.UnixConn, r *bufio.Reader) {
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		n, _ := io.Copy(io.Discard, req.Body)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n%-20s", fmt.Sprint(req.URL, " ", n))
	}
}

// ask does one exchange and returns the body.
func ask(tb testing.TB, p *Pool, target, body string) (string, error) {
	tb.Helper()
	c, err := p.Get(tb.Context())
	if err != nil {
		return "", err
	}
	defer c.Release()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if err := c.WriteRequest("POST", target, http.Header{"X-A": {"b"}}, strings.NewReader(body), int64(len(body))); err != nil {
		return "", err
	}
	res, err := c.ReadResponse(nil)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(res.Body)
	return strings.TrimSpace(string(b)), err
}

func TestConnectionIsKept(t *testing.T) {
	t.Parallel()
	p, dials := listen(t, hello)
	for i := range 100 {
		if got, err := ask(t, p, fmt.Sprintf("/%d", i), strings.Repeat("x", i*1000)); err != nil || got != fmt.Sprintf("/%d %d", i, i*1000) {
			t.Fatalf("answer %q %v", got, err)
		}
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("100 exchanges in turn dialled %d times, want 1", n)
	}
}

func TestConnectionIsNotKept(t *testing.T) {
	t.Parallel()
	const five = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
	for name, c := range map[string]struct {
		answer string
		late   string // sent a little after the answer
	}{
		"asked to close":       {five + "Connection: close\r\n\r\nhello", ""},
		"HTTP/1.0":             {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", ""},
		"bytes behind":         {five + "\r\nhelloHTTP/1.1 200 OK\r\n", ""},
		"bytes behind, late":   {five + "\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"},
		"one byte behind":      {five + "\r\nhello", "x"},
		"ended":                {five + "\r\nhello", "end"},
		"body for HEAD's like": {"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\nhello", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := make(chan struct{}, 10)
			p, dials := listen(t, func(conn *net.UnixConn, r *bufio.Reader) {
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					io.WriteString(conn, c.answer)
					if c.late != "" {
						time.Sleep(20 * time.Millisecond)
						if c.late == "end" {
							conn.CloseWrite()
						} else {
							io.WriteString(conn, c.late)
						}
					}
					sent <- struct{}{}
				}
			})
			for i := range 3 {
				if got, err := ask(t, p, "/", ""); err != nil || strings.Contains(got, "POISON") {
					t.Errorf("exchange %d: %q %v", i, got, err)
				}
				<-sent
			}
			if n := dials.Load(); n != 3 {
				t.Errorf("3 exchanges dialled %d times, want 3", n)
			}
		})
	}
}

func TestReleaseInTheMiddleCloses(t *testing.T) {
	t.Parallel()
	p, dials := listen(t, hello)
	for name, step := range map[string]func(c *Conn){
		"nothing sent": func(c *Conn) {},
		"body unsent":  func(c *Conn) { c.Start("POST", "/"); c.Field("Host", "h"); c.EndHeader(5); c.Flush() },
		"unanswered":   func(c *Conn) { c.WriteRequest("GET", "/", nil, nil, 0) },
		"body unread":  func(c *Conn) { c.WriteRequest("GET", "/", nil, nil, 0); c.ReadResponse(nil) },
		"broken": func(c *Conn) {
			c.WriteRequest("GET", "/", nil, nil, 0)
			res, _ := c.ReadResponse(nil)
			io.ReadAll(res.Body)
			c.Break()
		},
	} {
		before := dials.Load()
		c, err := p.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		step(c)
		c.Release()
		if got, err := ask(t, p, "/", ""); err != nil || got != "/ 0" {
			t.Errorf("after %s: %q %v", name, got, err)
		}
		if n := dials.Load() - before; n > 2 {
			t.Errorf("after %s: dialled %d times", name, n)
		}
	}
}

func TestCloseBreaksAll(t *testing.T) {
	t.Parallel()
	p, _ := listen(t, func(c *net.UnixConn, r *bufio.Reader) { io.Copy(io.Discard, r) })
	c, err := p.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { // ends with the read
		c.WriteRequest("GET", "/", nil, nil, 0)
		_, err := c.ReadResponse(nil)
		failed <- err
	}()
	time.Sleep(10 * time.Millisecond)
	p.Close()
	select {
	case err := <-failed:
		if err == nil {
			t.Error("a response came")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the reader still waits")
	}
	c.Release()
	if _, err := p.Get(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Get = %v, want %v", err, ErrClosed)
	}
}

func TestWriteRequestRefusesWhatSplits(t *testing.T) {
	t.Parallel()
	p, _ := listen(t, hello)
	for _, c := range []struct {
		method, target string
		h              http.Header
	}{{"GET /x HTTP/1.1\r\nX:", "/", nil}, {"GET", "/ HTTP/1.1\r\n", nil}, {"GET", "/a b", nil}, {"GET", "", nil}, {"", "/", nil},
		{"GET", "/", http.Header{"X-A": {"b\r\nX: y"}}}, {"GET", "/", http.Header{"X-A": {"b\x00"}}}, {"GET", "/", http.Header{"X A": {"b"}}}} {
		conn, err := p.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.WriteRequest(c.method, c.target, c.h, nil, 0); !errors.Is(err, ErrField) {
			t.Errorf("WriteRequest(%q, %q, %v) = %v, want %v", c.method, c.target, c.h, err, ErrField)
		}
		conn.Release()
	}
}

// Descriptors that an instance attaches to its bytes are dropped by the kernel, since we read with read(2).
func TestAttachedDescriptorsAreDropped(t *testing.T) {
	p, _ := listen(t, func(c *net.UnixConn, r *bufio.Reader) {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		fds := make([]int, 250)
		for i := range fds {
			fds[i] = int(f.Fd())
		}
		rights := unix.UnixRights(fds...)
		for {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			for _, part := range []string{"HTTP/1.1 200 OK\r\n", "Content-Length: 2\r\n\r\n", "hi"} {
				if _, _, err := c.WriteMsgUnix([]byte(part), rights, nil); err != nil {
					return
				}
			}
		}
	})
	count := func() int {
		e, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(e)
	}
	ask(t, p, "/", "")
	before := count()
	for range 1000 {
		if got, err := ask(t, p, "/", ""); got != "hi" || err != nil {
			t.Fatalf("answer %q %v", got, err)
		}
	}
	if after := count(); after > before+20 {
		t.Errorf("%d descriptors after 1000 answers with 750 each, %d before", after, before)
	}
}

// A million tiny chunks cost time, never memory.
func TestTinyChunks(t *testing.T) {
	p, _ := listen(t, func(c *net.UnixConn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		many := []byte(strings.Repeat("1\r\nx\r\n", 10_000))
		for range 100 {
			if _, err := c.Write(many); err != nil {
				return
			}
		}
		io.WriteString(c, "0\r\n\r\n")
	})
	c, err := p.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	c.WriteRequest("GET", "/", nil, nil, 0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	res, err := c.ReadResponse(nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, res.Body)
	runtime.ReadMemStats(&after)
	if n != 1_000_000 || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 2<<20 {
		t.Errorf("it took %d bytes of memory", grown)
	}
}
