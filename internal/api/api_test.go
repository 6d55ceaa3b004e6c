package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gocloud.dev/secrets/localsecrets"

	"hearth"
	"hearth/internal/auth"
	"hearth/internal/logs"
	"hearth/internal/module/host"
	"hearth/internal/problem"
	"hearth/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "test-token-0123456789abcdef"

// fixture is the API over a real store, listening on loopback.
type fixture struct {
	t     *testing.T
	api   *api
	store *store.Store
	packs *packs
	log   *journal
	addr  string
	said  *lockedBuffer // our own log
}

func newFixture(t *testing.T, change ...func(*Config)) *fixture {
	t.Helper()
	dir := t.TempDir()
	said := &lockedBuffer{}
	log := slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	keeper := localsecrets.NewKeeper([32]byte{1})
	s, err := store.Open(t.Context(), store.Config{Database: "sqlite:" + dir + "/hearth.db", Blobs: "file:" + dir + "/blobs", Keeper: keeper, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := auth.NewAdmin([]byte(token))
	if err != nil {
		t.Fatal(err)
	}
	journal := &journal{changed: make(chan struct{})}
	disk, err := host.Open(host.Config{Dir: dir + "/packages", KeyFile: dir + "/packages.key", Limit: 1 << 20, Archives: noArchives{}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	packs := &packs{changed: make(chan struct{})}
	c := Config{Store: s, Deployer: settler{s, packs}, Settler: packs, Verifier: disk, Logs: journal, Auth: admin, Log: log, Isolation: []string{"runc", "crun"},
		Node: func() Node {
			return Node{Name: "n1", Version: "test", Runtimes: hearth.Runtimes, Isolation: []string{"runc"}, Pool: Pool{Size: 4, Ready: 3}}
		},
		URL: func(r *http.Request, t, c, f string) string {
			return "http://" + r.Host + "/run/" + t + "/" + c + "/" + f
		},
	}
	for _, f := range change {
		f(&c)
	}
	a := build(c)
	srv := httptest.NewServer(a)
	t.Cleanup(func() { srv.Close(); _ = disk.Close(); _ = s.Close(); _ = keeper.Close() })
	return &fixture{t: t, api: a, store: s, packs: packs, log: journal, addr: srv.Listener.Addr().String(), said: said}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// noArchives has nothing: the package store on the disk is real, and empty.
type noArchives struct{}

func (noArchives) Open(context.Context, string) (io.ReadCloser, string, error) {
	return nil, "", fs.ErrNotExist
}

// packs stands in for the room that settles packages: it says what the test says.
type packs struct {
	mu      sync.Mutex
	now     Progress // Stage "": nothing is under way
	changed chan struct{}
}

func (p *packs) say(now Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = now
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *packs) Progress(hearth.Version) (Progress, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now.Stage == "" {
		return Progress{}, nil
	}
	return p.now, p.changed
}

// settler stands in for the handler: a version whose code holds BROKEN fails, one with SLOW never
// ends, and others are ready when nothing is under way for their packages.
type settler struct {
	store *store.Store
	packs *packs
}

func (s settler) Settled(ctx context.Context, tenant, container, function string, version int) error {
	for _, changed := s.packs.Progress(hearth.Version{}); changed != nil; _, changed = s.packs.Progress(hearth.Version{}) {
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	v, err := s.store.GetVersion(ctx, tenant, container, function, version)
	if err != nil {
		return err
	}
	if !v.Settled {
		if err := s.store.SettleTree(ctx, v, "", ""); err != nil {
			return err
		}
	}
	files, err := s.store.Code(ctx, v.Digest)
	if err != nil {
		return err
	}
	v.Status, v.Loaded = hearth.StatusReady, hearth.Loaded{Model: hearth.ModelCallback, Parsed: true}
	for _, f := range files {
		switch {
		case bytes.Contains(f.Data, []byte("SLOW")):
			<-ctx.Done()
			return ctx.Err()
		case bytes.Contains(f.Data, []byte("BROKEN")):
			v.Status, v.Loaded = hearth.StatusFailed, hearth.Loaded{}
			v.Failure = &hearth.Failure{Reason: "syntax", Message: "SyntaxError: Unexpected token", Stack: "index.js:1"}
		}
	}
	return s.store.Settle(ctx, v)
}

// journal stands in for the logs: entries of one function, their cursors c1, c2, ….
type journal struct {
	mu      sync.Mutex
	entries []logs.Entry
	gone    bool
	changed chan struct{}
}

func (j *journal) add(stream, text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, logs.Entry{Cursor: fmt.Sprintf("c%d", len(j.entries)+1), Time: time.Now().UTC(), Stream: stream, Text: text})
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *journal) remove() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.gone = true
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *journal) after(since string) ([]logs.Entry, bool, chan struct{}, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	if since != "" {
		if _, err := fmt.Sscanf(since, "c%d", &n); err != nil || n > len(j.entries) || n < 0 {
			return nil, false, nil, hearth.Invalid("since", "is not a cursor of this log")
		}
	}
	return j.entries[n:], j.gone, j.changed, nil
}

func (j *journal) Read(_ context.Context, _ string, since string, limit int) ([]logs.Entry, string, error) {
	entries, _, _, err := j.after(since)
	entries = entries[:min(len(entries), limit)]
	if len(entries) > 0 {
		since = entries[len(entries)-1].Cursor
	}
	return entries, since, err
}

func (j *journal) Follow(ctx context.Context, _, since string) iter.Seq2[logs.Entry, error] {
	return func(yield func(logs.Entry, error) bool) {
		for ctx.Err() == nil {
			entries, gone, changed, err := j.after(since)
			for _, e := range entries {
				if since = e.Cursor; !yield(e, nil) {
					return
				}
			}
			if err == nil && gone {
				err = hearth.Errorf(hearth.CodeNotFound, "gone")
			}
			if err != nil {
				yield(logs.Entry{}, err)
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(r.body, &m); err != nil {
		t.Fatalf("answer %d %q: %v", r.status, r.body, err)
	}
	return m
}

func (r reply) problem(t *testing.T) problem.Problem {
	t.Helper()
	var p problem.Problem
	if got := r.header.Get("Content-Type"); got != problem.ContentType {
		t.Fatalf("answer %d %q has type %q", r.status, r.body, got)
	}
	if err := json.Unmarshal(r.body, &p); err != nil {
		t.Fatalf("answer %d %q: %v", r.status, r.body, err)
	}
	return p
}

// do sends a request byte by byte as written: header holds lines "Name: value"; those of the usual
// request are added unless they are there ("Name:" alone leaves one out).
func (f *fixture) do(method, target, body string, header ...string) reply {
	f.t.Helper()
	lines := map[string]string{"authorization": "Authorization: Bearer " + token, "host": "Host: " + f.addr}
	if body != "" || method == "PUT" || method == "POST" {
		lines["content-type"] = "Content-Type: application/json"
		lines["content-length"] = fmt.Sprintf("Content-Length: %d", len(body))
	}
	var more []string
	for _, h := range header {
		name, v, _ := strings.Cut(h, ":")
		delete(lines, strings.ToLower(name))
		if strings.ToLower(name) == "transfer-encoding" {
			delete(lines, "content-length")
		}
		if v != "" {
			more = append(more, h)
		}
	}
	for _, line := range lines {
		more = append(more, line)
	}
	return f.raw(method, method+" "+target+" HTTP/1.1\r\n"+strings.Join(more, "\r\n")+"\r\nConnection: close\r\n\r\n"+body)
}

func (f *fixture) raw(method, text string) reply {
	f.t.Helper()
	conn, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.WriteString(conn, text) }) // the server may answer before it has read all
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		f.t.Fatalf("%.200s: %v", text, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatalf("%.200s: %v", text, err)
	}
	conn.Close()
	wg.Wait()
	return reply{res.StatusCode, res.Header, body}
}

// must sends a request and fails the test unless the status is right.
func (f *fixture) must(status int, method, target, body string, header ...string) reply {
	f.t.Helper()
	r := f.do(method, target, body, header...)
	if r.status != status {
		f.t.Fatalf("%s %s: %d %s, want %d", method, target, r.status, r.body, status)
	}
	return r
}

const (
	acme    = "/v1/tenants/acme"
	billing = acme + "/containers/billing"
	paid    = billing + "/functions/paid"
)

// furnish makes tenant acme with container billing and function paid in version 1, ready; and tenant
// small, whose containers may have little.
func (f *fixture) furnish() {
	f.t.Helper()
	f.must(201, "PUT", acme, `{}`)
	f.must(201, "PUT", billing, `{}`)
	f.must(201, "PUT", paid+"?wait=10s", `{"code":"1","secrets":{"KEY":"canary-secret"}}`)
	f.must(201, "PUT", "/v1/tenants/small", `{"limits":{"memory_mib":128,"cpus":0.5,"max_instances":2}}`)
}
