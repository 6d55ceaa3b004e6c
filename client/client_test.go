package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gocloud.dev/secrets/localsecrets"

	"hearth"
	"hearth/internal/api"
	"hearth/internal/auth"
	"hearth/internal/logs"
	"hearth/internal/module/host"
	"hearth/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "test-token-0123456789abcdef"

// settler stands in for the handler: code with BROKEN fails, other code is ready.
type settler struct{ store *store.Store }

func (s settler) Settled(ctx context.Context, tenant, container, function string, version int) error {
	v, err := s.store.GetVersion(ctx, tenant, container, function, version)
	if err != nil {
		return err
	}
	files, err := s.store.Code(ctx, v.Digest)
	if err != nil {
		return err
	}
	if !v.Settled {
		if err := s.store.SettleTree(ctx, v, "", ""); err != nil {
			return err
		}
	}
	v.Status, v.Loaded = hearth.StatusReady, hearth.Loaded{Model: hearth.ModelCallback, Parsed: true}
	if strings.Contains(string(files[0].Data), "BROKEN") {
		v.Status, v.Loaded, v.Failure = hearth.StatusFailed, hearth.Loaded{}, &hearth.Failure{Reason: "syntax", Message: "SyntaxError"}
	}
	return s.store.Settle(ctx, v)
}

// packs stands in for the rooms of packages: nothing is ever under way, and one file is damaged.
type packs struct{}

func (packs) Progress(hearth.Version) (api.Progress, <-chan struct{}) { return api.Progress{}, nil }

func (packs) Verify(_ context.Context, heal bool) (host.Report, error) {
	return host.Report{Files: 3, Damaged: []host.Damage{{Content: "c", Path: "index.js", Problem: "changed", Healed: heal}}}, nil
}

// house is a real API over a real store and real logs.
type house struct {
	*Client
	store *store.Store
	logs  *logs.Logs
	srv   *httptest.Server
	edge  atomic.Pointer[http.HandlerFunc] // answers instead of the API, if set
}

func newHouse(t *testing.T) *house {
	t.Helper()
	dir := t.TempDir()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	keeper := localsecrets.NewKeeper([32]byte{1})
	s, err := store.Open(t.Context(), store.Config{Database: "sqlite:" + dir + "/hearth.db", Blobs: "file:" + dir + "/blobs", Keeper: keeper, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	l, err := logs.New(logs.Config{Dir: dir + "/logs", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := auth.NewAdmin([]byte(token))
	if err != nil {
		t.Fatal(err)
	}
	h := &house{store: s, logs: l}
	handler := api.New(api.Config{Store: s, Deployer: settler{s}, Settler: packs{}, Verifier: packs{}, Logs: l, Auth: admin, Log: log, Isolation: []string{"runc"},
		Node: func() api.Node {
			return api.Node{Name: "n1", Runtimes: hearth.Runtimes, Isolation: []string{"runc"}, Pool: api.Pool{Size: 4, Ready: 4}}
		},
		URL: func(_ *http.Request, t, c, f string) string { return "http://x/run/" + t + "/" + c + "/" + f }})
	h.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if edge := h.edge.Load(); edge != nil {
			(*edge)(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = l.Run(ctx) })
	t.Cleanup(func() {
		h.srv.CloseClientConnections()
		h.srv.Close()
		cancel()
		running.Wait()
		_ = s.Close()
		_ = keeper.Close()
	})
	h.Client = newClient(t, h.srv.URL)
	return h
}

func newClient(t *testing.T, url string) *Client {
	t.Helper()
	own := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(own.CloseIdleConnections)
	c, err := New(Config{URL: url, Token: token + "\n", HTTP: own})
	if err != nil {
		t.Fatal(err)
	}
	c.retry = func(int) time.Duration { return 10 * time.Millisecond }
	return c
}

func ok[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestLifeOfEverything(t *testing.T) {
	t.Parallel()
	h, ctx := newHouse(t), t.Context()
	tenant := ok(h.PutTenant(ctx, "acme", TenantSpec{Limits: TenantLimits{MaxInstances: 7}}))(t)
	if !tenant.Created || tenant.ETag == "" || tenant.Limits != (TenantLimits{2048, 4, 7}) {
		t.Errorf("tenant %+v", tenant)
	}
	container := ok(h.PutContainer(ctx, "acme", "billing", ContainerSpec{Limits: ContainerLimits{CPUs: 0.5}}))(t)
	if container.Isolation != "runc" || container.Limits.CPUs != 0.5 || container.Limits.MemoryMiB != 256 {
		t.Errorf("container %+v", container)
	}
	secret := "s1"
	f := ok(h.PutFunction(ctx, "acme", "billing", "paid", FunctionSpec{
		Files:   map[string]File{"index.js": File("module.exports = cb => cb(null, '<&>')"), "logo.png": {0x89, 0xff, 0}},
		Secrets: map[string]*string{"KEY": &secret}, Config: json.RawMessage(`{"a":1.0}`)}, 10*time.Second))(t)
	if !f.Created || f.Version != 1 || f.Active != 1 || f.Status != Ready || f.Model != "callback" || f.URL == "" || !slices.Equal(f.Secrets, []string{"KEY"}) ||
		string(f.Config) != `{"a":1.0}` {
		t.Errorf("function %+v", f)
	}
	v := ok(h.store.GetVersion(ctx, "acme", "billing", "paid", 1))(t)
	for _, file := range ok(h.store.Code(ctx, v.Digest))(t) {
		want := map[string]string{"index.js": "module.exports = cb => cb(null, '<&>')", "logo.png": "\x89\xff\x00"}[file.Path]
		if string(file.Data) != want {
			t.Errorf("file %s is %q, want %q", file.Path, file.Data, want)
		}
	}
	broken := ok(h.PutFunction(ctx, "acme", "billing", "paid", FunctionSpec{Code: "BROKEN"}, 10*time.Second))(t)
	if broken.Created || broken.Version != 2 || broken.Active != 1 || broken.Status != Failed || broken.Error == nil || broken.Error.Reason != "syntax" {
		t.Errorf("broken function %+v", broken)
	}
	ok(h.PutFunction(ctx, "acme", "billing", "paid", FunctionSpec{Code: "3"}, 10*time.Second))(t)
	back := ok(h.Rollback(ctx, "acme", "billing", "paid", 1))(t)
	if back.Active != 1 || back.Version != 3 {
		t.Errorf("rolled back %+v", back)
	}
	if _, err := h.Rollback(ctx, "acme", "billing", "paid", 2); !IsCode(err, "conflict") {
		t.Errorf("rollback to a failed version: %v", err)
	}
	var versions []int
	for v, err := range Each(ctx, func(ctx context.Context, p Page) (List[Version], error) {
		p.Limit = 2
		return h.ListVersions(ctx, "acme", "billing", "paid", p)
	}) {
		versions = append(versions, ok(v, err)(t).Version)
	}
	if !slices.Equal(versions, []int{3, 2, 1}) {
		t.Errorf("versions %v", versions)
	}
	ok(h.PutSecret(ctx, "acme", "billing", "paid", "OTHER", "s2"))(t)
	if err := h.DeleteSecret(ctx, "acme", "billing", "paid", "KEY"); err != nil {
		t.Error(err)
	}
	if s := ok(h.ListSecrets(ctx, "acme", "billing", "paid"))(t); len(s) != 1 || s[0].Name != "OTHER" {
		t.Errorf("secrets %+v", s)
	}
	if n := ok(h.ListNodes(ctx, Page{}))(t); len(n.Items) != 1 || n.Items[0].Pool.Ready != 4 {
		t.Errorf("nodes %+v", n)
	}
	for _, list := range []int{
		len(ok(h.ListTenants(ctx, Page{}))(t).Items), len(ok(h.ListContainers(ctx, "acme", Page{}))(t).Items),
		len(ok(h.ListFunctions(ctx, "acme", "billing", Page{}))(t).Items),
	} {
		if list != 1 {
			t.Errorf("a list has %d items", list)
		}
	}
	ok(h.GetContainer(ctx, "acme", "billing"))(t)
	if err := h.DeleteContainer(ctx, "acme", "billing", false); !IsCode(err, "conflict") {
		t.Errorf("delete a container with functions: %v", err)
	}
	if err := errors.Join(h.DeleteFunction(ctx, "acme", "billing", "paid"), h.DeleteContainer(ctx, "acme", "billing", false), h.DeleteTenant(ctx, "acme", true)); err != nil {
		t.Error(err)
	}
	if _, err := h.GetFunction(ctx, "acme", "billing", "paid"); !IsCode(err, "not_found") {
		t.Errorf("deleted function: %v", err)
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	h, ctx := newHouse(t), t.Context()
	first := ok(h.PutTenant(ctx, "acme", TenantSpec{}, IfNoneMatch()))(t)
	if _, err := h.PutTenant(ctx, "acme", TenantSpec{}, IfNoneMatch()); !IsCode(err, "precondition_failed") {
		t.Errorf("create twice: %v", err)
	}
	ok(h.PutTenant(ctx, "acme", TenantSpec{Limits: TenantLimits{CPUs: 1}}, IfMatch(first.ETag)))(t)
	if _, err := h.PutTenant(ctx, "acme", TenantSpec{}, IfMatch(first.ETag)); !IsCode(err, "precondition_failed") {
		t.Errorf("write over a newer one: %v", err)
	}
	one := ok(h.PutTenant(ctx, "b", TenantSpec{}, IdempotencyKey("k")))(t)
	two := ok(h.PutTenant(ctx, "b", TenantSpec{}, IdempotencyKey("k")))(t)
	if !one.Created || !two.Created || one.ETag != two.ETag {
		t.Errorf("the same key: %+v, %+v", one, two)
	}
}

func TestErrorsSayWhatAPersonNeeds(t *testing.T) {
	t.Parallel()
	h, ctx := newHouse(t), t.Context()
	ok(h.PutTenant(ctx, "acme", TenantSpec{}))(t)
	_, err := h.PutContainer(ctx, "acme", "c", ContainerSpec{Isolation: "docker", Limits: ContainerLimits{MemoryMiB: 1 << 20}})
	var e *Error
	if !errors.As(err, &e) || e.Status != 422 || len(e.Errors) != 2 || e.Instance == "" ||
		!strings.Contains(err.Error(), "limits.memory_mib") || !strings.Contains(err.Error(), "isolation") || !strings.Contains(err.Error(), "operator can raise it") {
		t.Errorf("error %#v: %v", err, err)
	}
	foreign := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		http.Error(w, "<html>", http.StatusBadGateway)
	})
	h.edge.Store(&foreign)
	_, err = h.GetTenant(ctx, "acme")
	if !errors.As(err, &e) || e.Status != 502 || e.RetryAfter != 7*time.Second || strings.Contains(err.Error(), "html") {
		t.Errorf("answer of a proxy: %v", err)
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello") })
	h.edge.Store(&page)
	if _, err = h.GetTenant(ctx, "acme"); err == nil || !strings.Contains(err.Error(), "does not answer like Hearth") {
		t.Errorf("some web page: %v", err)
	}
}

func TestAnswersAreBoundedInSizeAndTime(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	flood := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for chunk := []byte(strings.Repeat(" ", 1<<20)); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	h.edge.Store(&flood)
	if _, err := h.GetTenant(t.Context(), "acme"); err == nil || !strings.Contains(err.Error(), "larger than 32 MiB") {
		t.Errorf("flood: %v", err)
	}
	stuck := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	h.edge.Store(&stuck)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.GetTenant(ctx, "acme"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stuck: %v", err)
	}
}

func TestTokenGoesNowhereElse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var leaked atomic.Bool
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked.Store(true) }))
	defer thief.Close()
	redirect := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
	})
	h.edge.Store(&redirect)
	if _, err := h.PutTenant(t.Context(), "acme", TenantSpec{}); err == nil {
		t.Error("a redirect was taken for an answer")
	}
	if leaked.Load() {
		t.Error("the client followed a redirect")
	}
	if s := fmt.Sprintf("%v %+v %#v", h.Client, *h.Client, *h.Client); strings.Contains(s, token) {
		t.Errorf("the token is printed: %s", s)
	}
}

func TestConfigThatCannotWork(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{
		{}, {URL: "localhost:8080"}, {URL: "ftp://x"}, {URL: "http://"}, {URL: "http://u:p@x"}, {URL: "http://x?a=b"}, {URL: "http://x#a"},
		{URL: "http://x", Token: "a b"}, {URL: "http://x", Token: "a\nb"}, {URL: "http://x", Token: "é"},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// follow collects n texts of the followed log, then stops.
func follow(ctx context.Context, c *Client, since string, n int) (texts []string, err error) {
	for e, err := range c.FollowLogs(ctx, "acme", "billing", "paid", since) {
		if err != nil {
			return texts, err
		}
		texts = append(texts, fmt.Sprint(e.Stream, " ", e.Call.Status))
		if len(texts) == n {
			break
		}
	}
	return texts, nil
}

func TestLogsAreFollowedAcrossBrokenConnections(t *testing.T) {
	t.Parallel()
	h, ctx := newHouse(t), t.Context()
	ok(h.PutTenant(ctx, "acme", TenantSpec{}))(t)
	ok(h.PutContainer(ctx, "acme", "billing", ContainerSpec{}))(t)
	ok(h.PutFunction(ctx, "acme", "billing", "paid", FunctionSpec{Code: "1"}, time.Second))(t)
	id := ok(h.store.GetFunction(ctx, "acme", "billing", "paid"))(t).ID
	record := func(status int) {
		h.logs.Record(id, "acme", "billing", "paid", "r", logs.Call{Status: status, Version: 1})
	}
	for i := range 3 {
		record(200 + i)
	}
	got, err := follow(ctx, h.Client, "", 3)
	if want := []string{"call 200", "call 201", "call 202"}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("followed %q, %v, want %q", got, err, want)
	}
	entries, next, err := h.ReadLogs(ctx, "acme", "billing", "paid", "", 2)
	if err != nil || len(entries) != 2 || entries[1].Call.Status != 201 || next == "" {
		t.Fatalf("read %+v, %q, %v", entries, next, err)
	}

	// The connection is cut again and again while entries come: each arrives once, in order.
	const n = 200
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			record(300 + i)
			if i%40 == 39 {
				h.srv.CloseClientConnections()
			}
			time.Sleep(time.Millisecond)
		}
	})
	got, err = follow(ctx, h.Client, next, n+1)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range got[1:] {
		if want := fmt.Sprint("call ", 300+i); text != want {
			t.Fatalf("entry %d is %q, want %q", i, text, want)
		}
	}

	// What trying again cannot mend ends it.
	if err := h.DeleteFunction(ctx, "acme", "billing", "paid"); err != nil {
		t.Fatal(err)
	}
	if _, err := follow(ctx, h.Client, "", 1); !IsCode(err, "not_found") {
		t.Errorf("log of a deleted function: %v", err)
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") })
	h.edge.Store(&page)
	if _, err := follow(ctx, h.Client, "", 1); !errors.Is(err, errNotEvents) {
		t.Errorf("a web page: %v", err)
	}
	h.srv.Close()
	if _, err := follow(ctx, newClient(t, h.srv.URL), "", 1); err == nil {
		t.Error("nobody answers, and no error")
	}
}

func FuzzEvents(f *testing.F) {
	f.Add("id: 1\nevent: log\ndata: {\"text\":\"a\"}\n\n: \n\n")
	f.Add("data: {\n\n")
	f.Add("id\n\ndata:{}\n\r\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		n := 0
		follower := follower{event: func([]byte) (bool, error) { n++; return n < 10, nil }}
		_ = follower.read(strings.NewReader(stream), func() {})
		if n > 10 || n > strings.Count(stream, "data")+1 {
			t.Fatalf("%q gives %d entries", stream, n)
		}
	})
}

func FuzzFileTravels(f *testing.F) {
	f.Add([]byte("<&> \u2028 \x00"))
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		raw, err := encode(map[string]File{"f": data})
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]any
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		if text, ok := back["f"].(string); ok && text != string(data) {
			t.Fatalf("%q came back as %q", data, text)
		}
		if len(raw) > 2*len(data)+64 {
			t.Fatalf("%d bytes travel as %d", len(data), len(raw))
		}
	})
}
