package proxy_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth"
	"hearth/internal/pool/upstream"
	"hearth/internal/proxy"
)

func TestMain(m *testing.M) {
	http.DefaultTransport = nil // every test closes the connections of its own
	goleak.VerifyTestMain(m)
}

// fakeInstance is an instance that the test speaks for, behind a real unix socket.
type fakeInstance struct {
	*upstream.Pool
	gone  chan struct{}
	end   string
	dials atomic.Int32
}

// serve starts an instance that calls talk for each of its connections.
func serve(tb testing.TB, talk func(c net.Conn, r *bufio.Reader)) *fakeInstance {
	tb.Helper()
	return serveAs(tb, func(_ *fakeInstance, c net.Conn, r *bufio.Reader) { talk(c, r) })
}

// serveAs is serve for a talk that needs to know its instance.
func serveAs(tb testing.TB, talk func(i *fakeInstance, c net.Conn, r *bufio.Reader)) *fakeInstance {
	tb.Helper()
	dir, err := os.MkdirTemp("", "up") // t.TempDir's path is too long for a socket
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	i := &fakeInstance{gone: make(chan struct{})}
	i.Pool = upstream.NewPool(func(ctx context.Context) (net.Conn, error) {
		i.dials.Add(1)
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	})
	var wg sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				talk(i, c, bufio.NewReader(c))
			})
		}
	})
	tb.Cleanup(func() {
		l.Close()
		i.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
		os.RemoveAll(dir)
	})
	return i
}

// always answers every request of a connection with the same bytes.
func always(answer string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
}

func ok(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// house is a handler with one function, /run/t/c/f, and one instance.
type house struct {
	route    hearth.Route
	instance *fakeInstance
	refuse   error
	wait     time.Duration

	mu       sync.Mutex
	outcomes []proxy.Outcome
	recorded chan proxy.Call
}

func newHouse(i *fakeInstance) *house {
	return &house{instance: i, recorded: make(chan proxy.Call, 1000), route: hearth.Route{Tenant: "t", Container: "c", Function: "f",
		Active: 3, LatestStatus: hearth.StatusReady, Manifest: hearth.Manifest{TimeoutMS: 5000}}}
}

func (h *house) Route(t, c, f string) *hearth.Route {
	if t == h.route.Tenant && c == h.route.Container && f == h.route.Function {
		return &h.route
	}
	return nil
}

func (h *house) Acquire(ctx context.Context, r *hearth.Route) (proxy.Grant, error) {
	if h.wait > 0 {
		select {
		case <-time.After(h.wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if h.refuse != nil {
		return nil, h.refuse
	}
	return grant{h}, nil
}

// grant is the house as the lender of its instance.
type grant struct{ h *house }

func (g grant) Route() *hearth.Route      { return &g.h.route }
func (g grant) Conns() *upstream.Pool     { return g.h.instance.Pool }
func (g grant) Start() hearth.Start       { return hearth.StartWarm }
func (g grant) Instance() (string, int64) { return "", 0 }
func (g grant) Waited() proxy.Waits       { return proxy.Waits{} }
func (g grant) Gone() <-chan struct{}     { return g.h.instance.gone }
func (g grant) Ended() string             { return g.h.instance.end }
func (g grant) Release(o proxy.Outcome) {
	h := g.h
	h.mu.Lock()
	defer h.mu.Unlock()
	h.outcomes = append(h.outcomes, o)
}

func (h *house) record(_ *hearth.Route, _ string, c proxy.Call) {
	select {
	case h.recorded <- c:
	default:
	}
}

// call waits for the record of the next finished request, and returns it with its outcome.
func (h *house) call(tb testing.TB) (proxy.Call, proxy.Outcome) {
	tb.Helper()
	select {
	case c := <-h.recorded:
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.outcomes) == 0 {
			return c, 255 // no instance was taken
		}
		return c, h.outcomes[len(h.outcomes)-1]
	case <-time.After(10 * time.Second):
		tb.Fatal("no call was recorded within 10 s")
		panic("unreachable")
	}
}

// front serves a house on a port, and returns its address.
func front(tb testing.TB, h *house, change ...func(*proxy.Config, *proxy.ServerConfig)) string {
	tb.Helper()
	addr, _ := frontUntil(tb, h, change...)
	return addr
}

// frontUntil is front with a way to stop it before the test ends.
func frontUntil(tb testing.TB, h *house, change ...func(*proxy.Config, *proxy.ServerConfig)) (addr string, stop func()) {
	tb.Helper()
	log := slog.New(slog.DiscardHandler)
	pc := proxy.Config{Handler: h, Log: log, Record: h.record, ExposeStart: true}
	sc := proxy.ServerConfig{Log: log, Drain: time.Second}
	for _, f := range change {
		f(&pc, &sc)
	}
	p := proxy.New(pc)
	sc.Handler, sc.Close = p, p.Close
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := proxy.NewServer(sc)
	go func() { done <- s.Run(ctx, l) }() // ends in the cleanup
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("Run = %v, want nil", err)
		}
	})
	tb.Cleanup(stop)
	return l.Addr().String(), stop
}

// client is an HTTP/1.1 client that ends with the test.
func client(tb testing.TB) *http.Client {
	tr := &http.Transport{DisableCompression: true}
	tb.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// raw sends bytes and returns everything that comes back until the server closes or wait passes.
func raw(tb testing.TB, addr, request string, wait time.Duration) string {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		tb.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(wait))
	var b strings.Builder
	io.Copy(&b, c)
	return b.String()
}

// first sends a request as it stands and reads the one answer to it, however long a busy machine takes.
func first(tb testing.TB, addr, request string) (status int, body string) {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		tb.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return res.StatusCode, string(all)
}

// quiet is a house that keeps no list of what was released.
type quiet struct{ *house }

func (q quiet) Acquire(context.Context, *hearth.Route) (proxy.Grant, error) {
	return quietGrant{grant{q.house}}, nil
}

type quietGrant struct{ grant }

func (quietGrant) Release(proxy.Outcome) {}
