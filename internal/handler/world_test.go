package handler_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth"
	"hearth/internal/handler"
	"hearth/internal/pool"
	"hearth/internal/pool/pooltest"
	"hearth/internal/warden/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a handler with a pool, a warden of pooltest and a store in memory.
type world struct {
	t    testing.TB
	w    *pooltest.Warden
	p    *pool.Pool
	h    *handler.Handler
	st   *memory
	stop func()
}

type options struct {
	size   int
	starts int // at a time; default 2
	listed []wire.Listed
	keep   bool
	st     *memory
	w      *pooltest.Warden
	config handler.Config
	hooks  pool.Hooks
	log    slog.Handler
}

var limits = wire.Limits{MemoryMiB: 256, MilliCPUs: 1000, Pids: 128, TmpMiB: 64}

func newWorld(t testing.TB, o options) *world {
	t.Helper()
	x := &world{t: t, w: o.w, st: o.st}
	if x.w == nil {
		x.w = pooltest.New(t)
	}
	if x.st == nil {
		x.st = newMemory()
	}
	log := slog.New(slog.DiscardHandler)
	if o.log != nil {
		log = slog.New(o.log)
	}
	x.p = pool.New(pool.Config{Size: o.size, Runtimes: hearth.Runtimes, Parallel: max(o.starts, 2), Limits: limits, Starter: x.w, Log: log, Keep: o.keep, Hooks: o.hooks})
	c := o.config
	c.Store, c.Pool, c.Warden, c.Log, c.Keep = x.st, x.p, x.w, log, o.keep
	x.h = handler.New(c)
	x.st.changed = x.h.Changed
	if err := x.h.Adopt(t.Context(), o.listed); err != nil {
		t.Fatal(err)
	}
	hctx, hstop := context.WithCancel(context.Background())
	pctx, pstop := context.WithCancel(context.Background())
	var hg, pg sync.WaitGroup
	pg.Go(func() { x.p.Run(pctx) })
	hg.Go(func() { x.h.Run(hctx) })
	x.stop = sync.OnceFunc(func() {
		hstop()
		hg.Wait()
		pstop()
		pg.Wait()
		if n := len(x.w.Live()); n != 0 && !o.keep {
			t.Errorf("%d instances live after the end", n)
		}
	})
	t.Cleanup(x.stop)
	if o.size > 0 {
		x.until("a warm pool", x.p.Ready)
	}
	return x
}

func (x *world) until(what string, f func() bool) {
	x.t.Helper()
	for end := time.Now().Add(15 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			x.t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// deploy puts a version and waits until it is settled.
func (x *world) deploy(tenant, container, function, code string, change ...func(*fn)) hearth.Version {
	x.t.Helper()
	n := x.st.put(tenant, container, function, code, change...)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := x.h.Settled(ctx, tenant, container, function, n); err != nil {
		x.t.Fatalf("Settled: %v", err)
	}
	return x.st.version(tenant, container, function, n)
}

// place acquires a grant as the proxy does.
func (x *world) place(ctx context.Context, tenant, container, function string) (handler.Grant, error) {
	r := x.h.Route(tenant, container, function)
	if r == nil {
		return handler.Grant{}, hearth.Errorf(hearth.CodeNotFound, "no route")
	}
	return x.h.Acquire(ctx, r)
}

// call makes one request and returns the answer's body.
func (x *world) call(ctx context.Context, tenant, container, function string) (string, handler.Grant, error) {
	g, err := x.place(ctx, tenant, container, function)
	if err != nil {
		return "", g, err
	}
	body, err := exchange(ctx, g)
	switch {
	case err == nil || ctx.Err() != nil:
		g.Release(handler.OK)
	default:
		g.Release(handler.Died)
	}
	return body, g, err
}

func exchange(ctx context.Context, g handler.Grant) (string, error) {
	conn, err := g.Instance.Dial(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://instance/", nil)
	req.Header.Set("Hearth-Function", g.Route.Function)
	req.Header.Set("Hearth-Version", strconv.Itoa(g.Route.Active))
	req.Close = true
	if err := req.Write(conn); err != nil {
		return "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", res.StatusCode, b)
	}
	return string(b), err
}

func code(err error) (hearth.Code, string) {
	var e *hearth.Error
	if errors.As(err, &e) {
		return e.Code, e.Reason
	}
	return "", ""
}

// memory is a store that keeps everything in memory and tells of changes as the real one does:
// before the write returns.
type memory struct {
	changed func(tenant, container string)

	mu        sync.Mutex
	ids       int
	functions map[[3]string]*fn
	stripped  map[string][]hearth.File // what KeepStripped kept
	fail      func(what string) error
	read      func() // called between Building's reading and its answer
}

type fn struct {
	id, containerID string
	versions        []hearth.Version
	active          int
	secrets         map[string]string
	revision        int64
	limits          hearth.ContainerLimits
	tenantMost      int
	runtime         string
	tree            string
}

func newMemory() *memory {
	return &memory{functions: map[[3]string]*fn{}, stripped: map[string][]hearth.File{}, changed: func(string, string) {}}
}

func (m *memory) id() string { m.ids++; return fmt.Sprintf("id-%d", m.ids) }

// put adds a building version.
func (m *memory) put(tenant, container, function, code string, change ...func(*fn)) int {
	m.mu.Lock()
	k := [3]string{tenant, container, function}
	f := m.functions[k]
	if f == nil {
		f = &fn{id: m.id(), limits: hearth.DefaultContainerLimits(), tenantMost: 20, runtime: hearth.DefaultRuntime, secrets: map[string]string{}}
		for o, other := range m.functions {
			if o[0] == tenant && o[1] == container {
				f.containerID, f.limits, f.tenantMost = other.containerID, other.limits, other.tenantMost
			}
		}
		if f.containerID == "" {
			f.containerID = m.id()
		}
		m.functions[k] = f
	}
	for _, c := range change {
		c(f)
	}
	n := len(f.versions) + 1
	f.versions = append(f.versions, hearth.Version{Tenant: tenant, Container: container, Function: function, FunctionID: f.id,
		Number: n, Status: hearth.StatusBuilding, Digest: code, Tree: f.tree, CreatedAt: time.Now(),
		Manifest: hearth.Manifest{Runtime: f.runtime, Entry: "index.js", TimeoutMS: 30_000}})
	m.mu.Unlock()
	m.changed(tenant, container)
	return n
}

// change changes a function, as rollbacks and secrets do.
func (m *memory) change(tenant, container, function string, change func(*fn)) {
	m.mu.Lock()
	change(m.functions[[3]string{tenant, container, function}])
	m.mu.Unlock()
	m.changed(tenant, container)
}

func (m *memory) remove(tenant, container, function string) {
	m.mu.Lock()
	delete(m.functions, [3]string{tenant, container, function})
	m.mu.Unlock()
	m.changed(tenant, container)
}

func (m *memory) version(tenant, container, function string, n int) hearth.Version {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.functions[[3]string{tenant, container, function}].versions[n-1]
}

func (m *memory) Routes(ctx context.Context, tenant, container string) ([]hearth.Route, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail("routes"); err != nil {
			return nil, err
		}
	}
	var all []hearth.Route
	for k, f := range m.functions {
		if (tenant != "" && k[0] != tenant) || (container != "" && k[1] != container) {
			continue
		}
		r := hearth.Route{Tenant: k[0], Container: k[1], Function: k[2], ContainerID: f.containerID, FunctionID: f.id,
			Active: f.active, LatestStatus: f.versions[len(f.versions)-1].Status, SecretsRevision: f.revision,
			Limits: f.limits, TenantMaxInstances: f.tenantMost}
		if f.active > 0 {
			v := f.versions[f.active-1]
			r.Digest, r.Tree, r.Manifest, r.Loaded, r.Stripped = v.Digest, v.Tree, v.Manifest, v.Loaded, v.Stripped
		}
		all = append(all, r)
	}
	return all, nil
}

func (m *memory) Code(ctx context.Context, digest string) ([]hearth.File, error) {
	if digest == "lost" {
		return nil, hearth.Errorf(hearth.CodeNotFound, "no blob")
	}
	if strings.Contains(digest, "typed") {
		return []hearth.File{{Path: "index.js", Data: []byte("js")}, {Path: "a.d.ts", Data: []byte("typed")},
			{Path: "node_modules/a/a.ts", Data: []byte("typed")}, {Path: "lib/b.mts", Data: []byte(digest)}}, nil
	}
	return []hearth.File{{Path: "index.js", Data: []byte(digest)}}, nil
}

func (m *memory) KeepStripped(ctx context.Context, functionID string, number int, files []hearth.File) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail("keep"); err != nil {
			return "", err
		}
	}
	digest := fmt.Sprintf("bare-%s-%d", functionID, number)
	m.stripped[digest] = files
	return digest, nil
}

func (m *memory) StrippedCode(ctx context.Context, functionID string, number int, digest string) ([]hearth.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if files := m.stripped[digest]; files != nil && digest == fmt.Sprintf("bare-%s-%d", functionID, number) {
		return files, nil
	}
	return nil, hearth.Errorf(hearth.CodeUnavailable, "no blob")
}

func (m *memory) SecretValues(ctx context.Context, tenant, container, function string) (map[string]string, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.functions[[3]string{tenant, container, function}]
	if f == nil {
		return nil, 0, hearth.Errorf(hearth.CodeNotFound, "no function")
	}
	return maps.Clone(f.secrets), f.revision, nil
}

func (m *memory) Building(ctx context.Context) ([]hearth.Version, error) {
	m.mu.Lock()
	read := m.read
	defer func() {
		m.mu.Unlock()
		if read != nil {
			read()
		}
	}()
	var all []hearth.Version
	for _, f := range m.functions {
		for _, v := range f.versions {
			if v.Status == hearth.StatusBuilding {
				all = append(all, v)
			}
		}
	}
	slices.SortFunc(all, func(a, b hearth.Version) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.Number, b.Number))
	})
	return all, nil
}

func (m *memory) Settle(ctx context.Context, v hearth.Version) error {
	m.mu.Lock()
	f := m.functions[[3]string{v.Tenant, v.Container, v.Function}]
	if f == nil || f.id != v.FunctionID {
		m.mu.Unlock()
		return hearth.Errorf(hearth.CodeNotFound, "no function")
	}
	if f.versions[v.Number-1].Status == hearth.StatusBuilding {
		f.versions[v.Number-1] = v
		if v.Status == hearth.StatusReady && v.Number > f.active {
			f.active = v.Number
		}
	}
	m.mu.Unlock()
	m.changed(v.Tenant, v.Container)
	return nil
}
