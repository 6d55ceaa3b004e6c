package bench

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// raw serves one connection with prepared bytes.
func raw(t *testing.T, answers ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 4096)
		for _, a := range answers {
			if _, err := c.Read(buf); err != nil {
				return
			}
			for _, part := range strings.SplitAfter(a, "|") { // a pause where a | stands
				_, _ = io.WriteString(c, strings.TrimSuffix(part, "|"))
				time.Sleep(5 * time.Millisecond)
			}
		}
	}()
	return l.Addr().String()
}

func TestCallReadsWholeAnswers(t *testing.T) {
	t.Parallel()
	addr := raw(t,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nHearth-Start: warm\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nhearth-start: cold-local\r\n\r\n5\r\nhe|llo\r\n|0\r\n\r\n",
		"HTTP/1.1 2|03 Odd\r\nContent-|Length: 3\r\n\r|\nab|c",
		"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
	c, err := dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, want := range []answer{{200, "warm"}, {200, "cold-local"}, {203, ""}, {503, ""}} {
		got, err := c.call([]byte("GET / HTTP/1.1\r\n\r\n"))
		if err != nil || got != want {
			t.Errorf("answer %d: got %+v, %v, want %+v", i, got, err, want)
		}
		if c.r != c.w {
			t.Errorf("answer %d left %q behind", i, c.buf[c.r:c.w])
		}
	}
}

func TestCallRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 70<<10) + "\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
	} {
		c, err := dial(t.Context(), raw(t, bad))
		if err != nil {
			t.Fatal(err)
		}
		if a, err := c.call([]byte("GET / HTTP/1.1\r\n\r\n")); err == nil {
			t.Errorf("%.60q was taken for %+v", bad, a)
		}
		_ = c.Close()
	}
}

func FuzzHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200\r\n:\r\n\r\n"))
	f.Fuzz(func(t *testing.T, head []byte) {
		if _, n, err := parseHead(head); err == nil && n < -1 {
			t.Errorf("parseHead(%q) gives the length %d", head, n)
		}
	})
}

func TestLoadCounts(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	calls := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		calls[r.RemoteAddr]++
		mu.Unlock()
		w.Header().Set("hearth-start", "warm")
		_, _ = w.Write([]byte("ok"))
	}))
	defer srv.Close()
	to := target{addr: srv.Listener.Addr().String(), host: "x", path: "/"}
	s, err := load(t.Context(), to, 4, 150*time.Millisecond, 0)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, n := range calls {
		total += n
	}
	if len(calls) != 4 || int64(total) != s.times.TotalCount() || s.starts["warm"] != total || s.rate() <= 0 {
		t.Errorf("server saw %v; load says %d calls, %v", calls, s.times.TotalCount(), s.starts)
	}
	paced, err := load(t.Context(), to, 1, 100*time.Millisecond, 20*time.Millisecond)
	if err != nil || paced.times.TotalCount() > 6 {
		t.Errorf("paced: %d calls in 100 ms with 20 ms between, %v", paced.times.TotalCount(), err)
	}
	// An error page is quick, and must never count as an answer.
	broken := httptest.NewServer(http.NotFoundHandler())
	defer broken.Close()
	if _, err := load(t.Context(), target{addr: broken.Listener.Addr().String(), path: "/gone"}, 1, 50*time.Millisecond, 0); err == nil || err.Error() != "/gone answered 404" {
		t.Errorf("a 404: got %v", err)
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		list []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}} {
		if got := median(c.list); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.list, got, c.want)
		}
	}
}

func TestParseRollup(t *testing.T) {
	t.Parallel()
	got, err := parseRollup([]byte("00400000-7ff [rollup]\nRss: 5000 kB\nPrivate_Clean:      100 kB\nPrivate_Dirty:     9000 kB\nPrivate_Hugetlb:   7 kB\n"))
	if err != nil || got != 9100<<10 {
		t.Errorf("got %d, %v", got, err)
	}
	for _, bad := range []string{"", "Private_Dirty: 1 MB\n", "Private_Dirty: x kB\n"} {
		if _, err := parseRollup([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if n, err := privateMemory(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("this process has %d bytes, %v", n, err)
	}
}

// fake is a hearth without instances: every function answers from this process, the first call of
// each with a delay, as a cold one.
type fake struct {
	mu      sync.Mutex
	tenants map[string][]string
	called  map[string]bool
	most    int // tenants at once
	srv     *httptest.Server
}

func newFake(t *testing.T) *fake {
	f := &fake{tenants: map[string][]string{}, called: map[string]bool{}}
	f.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		cold := !f.called[r.URL.Path]
		f.called[r.URL.Path] = true
		f.mu.Unlock()
		w.Header().Set("Hearth-Start", "warm")
		if cold {
			time.Sleep(2 * time.Millisecond)
			w.Header().Set("Hearth-Start", "cold-local")
		}
		_, _ = w.Write([]byte(`{"hello":"world"}`))
	}))
	t.Cleanup(f.srv.Close)
	return f
}

func (f *fake) Deploy(_ context.Context, tenant, container, function, _ string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tenants[tenant] = append(f.tenants[tenant], container)
	f.most = max(f.most, len(f.tenants))
	if len(f.tenants[tenant]) > hearthDefaultInstances {
		return "", fmt.Errorf("tenant %s has too many containers", tenant)
	}
	path := "/run/" + tenant + "/" + container + "/" + function
	delete(f.called, path)
	return path, nil
}

const hearthDefaultInstances = 20

func (f *fake) Remove(_ context.Context, tenant string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tenants, tenant)
	return nil
}
func (f *fake) Pool(context.Context) (int, int, error)   { return 4, 4, nil }
func (f *fake) Mallocs(context.Context) (float64, error) { return 0, fmt.Errorf("no metrics") }

// The whole course against a hearth that is none, with the real Node.js (and nginx where there is
// one): every row is there, the counts are right, and nothing is left behind.
func TestRun(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	f := newFake(t)
	o := Options{URL: f.srv.URL, Node: node, Cold: 22, Round: 9 * time.Millisecond, Pace: time.Millisecond, Rounds: 2, Duration: 60 * time.Millisecond,
		Connections: 4, Starts: 5, Idle: 25}
	report, err := Run(t.Context(), o, f)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.tenants) > 0 {
		t.Errorf("tenants left behind: %v", f.tenants)
	}
	rows := map[string]Row{}
	for _, r := range report.Rows {
		rows[r.What+" / "+r.Against] = r
	}
	for what, starts := range map[string]counts{
		"cold p50, against warm after the same idle time / warm": {"cold-local": 22},
		"cold p50, against starting node hello.js / node start":  {"cold-local": 22},
		"cold p99, 22 calls, refill going on / cold p50":         {"cold-local": 22},
		"pool refill, 5 instances at once / node starts":         {"cold-local": 10},
	} {
		if r := rows[what]; r.Missing != "" || r.Hearth <= 0 || r.Other <= 0 || r.Ratio == 0 || r.Starts.String() != starts.String() {
			t.Errorf("%s: got %+v, want figures and %v", what, r, starts)
		}
	}
	for _, what := range []string{"warm p50, 1 connection / bare node", "warm p50, 25 idle instances present / without them", "warm p99 meanwhile / warm p99, quiet"} {
		if r := rows[what]; r.Missing == "" && (r.Hearth <= 0 || r.Other <= 0) {
			t.Errorf("%s: got %+v", what, r)
		}
	}
	var text, svg strings.Builder
	if err := report.Write(&text); err != nil || !strings.Contains(text.String(), "22 cold-local") {
		t.Errorf("table: %v\n%s", err, text.String())
	}
	if err := report.SVG(&svg); err != nil {
		t.Fatal(err)
	}
	for dec := xml.NewDecoder(strings.NewReader(svg.String())); ; {
		if _, err := dec.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the SVG is not XML: %v", err)
		}
	}
	for _, h := range report.Histograms {
		n := int64(0)
		for _, b := range h.Bars {
			n += b.Count
		}
		if n == 0 || len(h.Bars) > maxBars {
			t.Errorf("%s: %d calls in %d bars", h.Name, n, len(h.Bars))
		}
	}
}

func TestInterruptedRunCleansUp(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	f := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	o := Defaults()
	o.URL, o.Node, o.Duration, o.Round = f.srv.URL, node, 20*time.Millisecond, 9*time.Millisecond
	o.Progress = func(text string) {
		if strings.HasPrefix(text, "19 of") {
			cancel()
		}
	}
	if _, err := Run(ctx, o, f); err == nil {
		t.Error("no error")
	}
	if len(f.tenants) > 0 {
		t.Errorf("tenants left behind: %v", f.tenants)
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Options){
		`"" is not a URL`: func(o *Options) { o.URL = "" },
		"bench needs plain HTTP, since TLS would be measured on one side only":      func(o *Options) { o.URL = "https://x" },
		"cold is 1; it must be from 10 to 10000":                                    func(o *Options) { o.Cold = 1 },
		"starts is 20; it must be from 1 to 19":                                     func(o *Options) { o.Starts = 20 },
		"run /does/not/exist: fork/exec /does/not/exist: no such file or directory": func(o *Options) {},
	} {
		o := Defaults()
		o.URL, o.Node = "http://127.0.0.1:1", "/does/not/exist"
		change(&o)
		if _, err := Run(t.Context(), o, nil); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestFindNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := FindNode(dir); err == nil {
		t.Error("found one in an empty folder")
	}
	for _, name := range []string{"node26-amd64-b", "node24-amd64-a", "build-node24-amd64-c"} {
		bin := filepath.Join(dir, "images", name, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bin, "node"), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := FindNode(dir); err != nil || !strings.Contains(got, "/node24-amd64-a") {
		t.Errorf("got %s, %v; want the default runtime's", got, err)
	}
}
