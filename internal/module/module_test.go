package module

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gocloud.dev/secrets/localsecrets"

	"hearth"
	"hearth/internal/module/build"
	"hearth/internal/module/plan"
	"hearth/internal/module/unpack"
	"hearth/internal/store"
	"hearth/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a store, a module and a builder; the registry, npm and the disk are in memory.
type world struct {
	*store.Store
	t   *testing.T
	dir string
	m   *Module
	b   *build.Builder

	mu       sync.Mutex
	resolve  func(r LockRequest) ([]byte, error) // what npm says
	locks    int
	fetched  map[string]int
	fetchErr error
	linked   map[string]bool
	held     map[string]int
}

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), fetched: map[string]int{}, linked: map[string]bool{}, held: map[string]int{}}
	w.resolve = func(r LockRequest) ([]byte, error) { return lockOf(r.Manifest.Dependencies), nil }
	keeper := localsecrets.NewKeeper([32]byte{1})
	t.Cleanup(func() { keeper.Close() })
	var module atomic.Pointer[Module]
	s, err := store.Open(t.Context(), store.Config{Database: "sqlite:" + filepath.Join(w.dir, "hearth.db"), Blobs: "file:" + filepath.Join(w.dir, "blobs"),
		Keeper: keeper, Log: slog.New(slog.DiscardHandler), OnChange: func(tenant, container string) {
			if m := module.Load(); m != nil {
				m.Changed(tenant, container)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	w.Store = s
	t.Cleanup(func() { s.Close() })
	w.b, err = build.New(t.Context(), build.Config{Store: s, Fetcher: w, Host: w, Sandboxes: w, Queue: filepath.Join(w.dir, "queue.db"),
		Dir: w.dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.b.Close() })
	cfg := Config{Store: s, Locker: w, Builder: w.b, Host: w, Platform: plan.Platform{OS: "linux", CPU: "x64", Libc: "glibc"},
		ABI: func(string) string { return "test" }, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	w.m = New(cfg)
	module.Store(w.m)
	return w
}

// run runs the module, and the builder too.
func (w *world) run(builder bool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { w.m.Run(ctx) })
	if builder {
		wg.Go(func() {
			if err := w.b.Run(ctx); err != nil {
				w.t.Error(err)
			}
		})
	}
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); wg.Wait() }) }
	w.t.Cleanup(stop)
	return stop
}

// lockOf is the lock of exact versions without dependencies of their own.
func lockOf(deps map[string]string) []byte {
	var packages []plan.Package
	for name, version := range deps {
		packages = append(packages, storetest.Pure(name, version))
	}
	var b strings.Builder
	fmt.Fprint(&b, `{"lockfileVersion": 3, "packages": {"": {"dependencies": {`)
	for i, p := range packages {
		fmt.Fprintf(&b, "%s%q: %q", comma(i), p.Name, p.Version)
	}
	fmt.Fprint(&b, `}}`)
	for _, p := range packages {
		fmt.Fprintf(&b, `, "node_modules/%s": {"version": %q, "integrity": %q}`, p.Name, p.Version, p.Integrity)
	}
	return []byte(b.String() + `}}`)
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ", "
}

func (w *world) Lock(ctx context.Context, r LockRequest) ([]byte, error) {
	w.mu.Lock()
	w.locks++
	resolve := w.resolve
	w.mu.Unlock()
	return resolve(r)
}

func (w *world) Tarball(ctx context.Context, tenant, name, version, integrity string) (io.ReadCloser, error) {
	w.mu.Lock()
	w.fetched[name+"@"+version]++
	err := w.fetchErr
	w.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zip)
	tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "package/index.js", Size: int64(len(name)), Mode: 0o644})
	tw.Write([]byte(name))
	tw.Close()
	zip.Close()
	return io.NopCloser(&buf), nil
}

func (w *world) Start(context.Context, string, string) (build.Sandbox, error) {
	return nil, errors.New("nothing here has scripts")
}

func (w *world) Put(context.Context, string, string, *unpack.Content, string) error { return nil }

func (w *world) Find(key string) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return "/packages/t/" + key, w.linked[key]
}

func (w *world) Ensure(ctx context.Context, t *plan.Tree) (build.Linked, error) {
	l := build.Linked{Path: "/packages/t/" + t.Key}
	for _, p := range t.Packages {
		r, digest, _, err := w.OpenArchive(ctx, p.Content)
		if err != nil {
			return l, fmt.Errorf("%s: %w", p.Name, err)
		}
		c, err := unpack.Load(ctx, r, digest[len("sha256-"):], unpack.Limits{})
		r.Close()
		if err != nil {
			return l, err
		}
		c.Close()
		l.Fetched++
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.linked[t.Key] = true
	return l, nil
}

func (w *world) Hold(key string)    { w.mu.Lock(); w.held[key]++; w.mu.Unlock() }
func (w *world) Release(key string) { w.mu.Lock(); w.held[key]--; w.mu.Unlock() }

// put deploys a function with these dependencies.
func (w *world) put(tenant, name string, deps map[string]string, change ...func(*store.PutFunction)) hearth.Version {
	w.t.Helper()
	ctx := w.t.Context()
	if _, _, err := w.PutTenant(ctx, hearth.Tenant{Name: tenant}, store.Precondition{}); err != nil {
		w.t.Fatal(err)
	}
	if _, _, err := w.PutContainer(ctx, tenant, hearth.Container{Name: "main"}, store.Precondition{}); err != nil {
		w.t.Fatal(err)
	}
	doc := storetest.Document(name, "code of "+name)
	doc.Tenant, doc.Manifest.Dependencies = tenant, deps
	for _, c := range change {
		c(&doc)
	}
	s, _, err := w.PutFunction(ctx, doc)
	if err != nil {
		w.t.Fatal(err)
	}
	return *s.Latest
}

// settled waits until the packages of a version are, and returns it then.
func (w *world) settled(v hearth.Version) hearth.Version {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	if err := w.m.Settled(ctx, v.Tenant, v.Container, v.Function, v.Number); err != nil {
		w.t.Fatal(err)
	}
	v, err := w.GetVersion(ctx, v.Tenant, v.Container, v.Function, v.Number)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// until waits for a moment in a version's progress.
func (w *world) until(v hearth.Version, what string, ok func(Progress) bool) {
	w.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		p, changed := w.m.Progress(v)
		if changed != nil && ok(p) {
			return
		}
		if changed == nil {
			w.m.mu.Lock()
			changed = w.m.scanned
			w.m.mu.Unlock()
			w.m.kick()
		}
		select {
		case <-changed:
		case <-limit:
			w.t.Fatalf("%s did not happen: %+v", what, p)
		}
	}
}

func TestVersionsAreSettled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.run(true)
	v := w.settled(w.put("acme", "one", map[string]string{"a": "1.0.0", "b": "2.0.0"}))
	if !v.Settled || v.Tree == "" || v.Lock == "" || v.Status != hearth.StatusBuilding {
		t.Fatalf("settled: %+v", v)
	}
	building, err := w.Building(t.Context())
	if err != nil || len(building) != 1 {
		t.Fatalf("building: %v, %v", building, err)
	}
	path, fetched, err := w.m.Tree(t.Context(), v.Tree)
	if err != nil || fetched || !strings.HasPrefix(path, "/packages/t/") {
		t.Fatalf("tree: %q, %v, %v", path, fetched, err)
	}
	w.mu.Lock()
	w.linked = map[string]bool{} // another node, or evicted
	w.mu.Unlock()
	if _, fetched, err = w.m.Tree(t.Context(), v.Tree); err != nil || !fetched {
		t.Fatalf("tree from the blob store: %v, %v", fetched, err)
	}
	if _, _, err := w.m.Tree(t.Context(), storetest.Key("none")); hearth.CodeOf(err) != hearth.CodeNotFound {
		t.Fatalf("unknown tree: %v", err)
	}
	w.m.Hold(v.Tree)
	w.m.Release(v.Tree)

	// The same manifest is not resolved again, unless that is wished.
	if v := w.settled(w.put("acme", "two", map[string]string{"a": "1.0.0", "b": "2.0.0"})); !v.Settled || w.locks != 1 {
		t.Fatalf("the same manifest: %+v after %d locks", v, w.locks)
	}
	w.settled(w.put("acme", "two", map[string]string{"a": "1.0.0", "b": "2.0.0"}, func(p *store.PutFunction) { p.Refresh = true }))
	if w.locks != 2 {
		t.Fatalf("refreshed: %d locks", w.locks)
	}
	// No packages after all: an optional one that does not fit the platform, say.
	w.mu.Lock()
	w.resolve = func(LockRequest) ([]byte, error) { return []byte(`{"lockfileVersion": 3, "packages": {"": {}}}`), nil }
	w.mu.Unlock()
	if v := w.settled(w.put("acme", "none", map[string]string{"fsevents": "*"})); !v.Settled || v.Tree != "" || v.Lock == "" {
		t.Fatalf("none: %+v", v)
	}
}

// A deploy whose packages are all known waits for no queue: the builder here does not run at all.
func TestKnownPackagesWaitForNoQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.run(false)
	deps := map[string]string{"a": "1.0.0", "b": "1.0.0"}
	tree := storetest.TreeOf(lockOf(deps))
	if _, err := w.AddTree(t.Context(), tree, "acme"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.b.Run(ctx) }()
	for {
		s, err := w.TreeState(t.Context(), tree.Key)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Missing) == 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	<-ended
	if v := w.settled(w.put("acme", "one", deps)); v.Tree == "" {
		t.Fatalf("settled: %+v", v)
	}
}

func TestUsersLockIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.run(true)
	lock := lockOf(map[string]string{"a": "1.0.0"})
	w.resolve = func(r LockRequest) ([]byte, error) {
		if !bytes.Equal(r.Lock, lock) {
			return nil, fmt.Errorf("got %q", r.Lock)
		}
		return r.Lock, nil
	}
	v := w.settled(w.put("acme", "one", map[string]string{"a": "^1"}, func(p *store.PutFunction) {
		p.Manifest.Lock = store.Digest(lock)
		p.Files = append(p.Files, hearth.File{Path: "package-lock.json", Data: lock})
	}))
	if v.Lock != store.Digest(lock) || v.Tree != storetest.TreeOf(lock).Key {
		t.Fatalf("settled: %+v", v)
	}
}

func TestFailuresHaveTheirWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.run(true)
	words := "npm error code ERESOLVE\nnpm error could not resolve"
	w.resolve = func(r LockRequest) ([]byte, error) {
		switch {
		case r.Manifest.Dependencies["unresolvable"] != "":
			return nil, fmt.Errorf("resolve: %w", &Refused{hearth.Failure{Reason: "dependencies", Message: words}})
		case r.Manifest.Dependencies["nonsense"] != "":
			return []byte(`{"lockfileVersion": 3, "packages": {"../x": {}}}`), nil
		}
		return lockOf(r.Manifest.Dependencies), nil
	}
	w.fetchErr = &hearth.Error{Code: hearth.CodeUnavailable, Reason: "integrity", Message: "the registry serves another package"}
	if _, err := w.Revoke(t.Context(), "revoked", "1.0.0", "it mines"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"unresolvable": words, "nonsense": "", "revoked": "revoked@1.0.0 was revoked by the operator: it mines",
		"poisoned": "poisoned@1.0.0: the registry serves another package"} {
		v := w.settled(w.put("acme", name, map[string]string{name: "1.0.0"}))
		if v.Status != hearth.StatusFailed || v.Failure.Reason != "dependencies" || !strings.Contains(v.Failure.Message, want) || v.Failure.Message == "" {
			t.Errorf("%s: %s, %+v", name, v.Status, v.Failure)
		}
	}
	// What failed a short while ago fails at once for others too.
	before := w.fetched["poisoned@1.0.0"]
	if v := w.settled(w.put("other", "again", map[string]string{"poisoned": "1.0.0"})); v.Status != hearth.StatusFailed || w.fetched["poisoned@1.0.0"] != before {
		t.Errorf("again: %s, %d fetches", v.Status, w.fetched["poisoned@1.0.0"])
	}
}

func TestRegistryAwayIsSaidAndOutlived(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.run(true)
	away := &hearth.Error{Code: hearth.CodeUnavailable, Reason: "registry_unreachable", Message: "the npm registry cannot be reached"}
	w.resolve = func(LockRequest) ([]byte, error) { return nil, away }
	v := w.put("acme", "one", map[string]string{"a": "1.0.0"})
	w.until(v, "waiting", func(p Progress) bool { return p.Stage == StageLocking && p.Waiting == away.Message })
	w.mu.Lock()
	w.resolve = func(r LockRequest) ([]byte, error) { return lockOf(r.Manifest.Dependencies), nil }
	w.fetchErr = away
	w.mu.Unlock()
	w.until(v, "waiting for a tarball", func(p Progress) bool {
		return p.Stage == StageBuilding && p.Waiting == away.Message && p.Build.Total == 1
	})
	w.mu.Lock()
	w.fetchErr = nil
	w.mu.Unlock()
	if v = w.settled(v); !v.Settled || v.Status != hearth.StatusBuilding {
		t.Fatalf("at last: %+v", v)
	}
}

// A version that is deleted while it waits leaves nothing that goes on.
func TestDeletedVersionEndsItsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.run(true)
	away := &hearth.Error{Code: hearth.CodeUnavailable, Message: "away", RetryAfter: time.Hour}
	w.resolve = func(LockRequest) ([]byte, error) { return nil, away }
	v := w.put("acme", "one", map[string]string{"a": "1.0.0"})
	w.until(v, "waiting", func(p Progress) bool { return p.Waiting != "" })
	if err := w.DeleteFunction(t.Context(), "acme", "main", "one", store.Precondition{}); err != nil {
		t.Fatal(err)
	}
	if err := w.m.Settled(t.Context(), v.Tenant, v.Container, v.Function, v.Number); err != nil {
		t.Fatal(err)
	}
	for {
		w.m.mu.Lock()
		n, scanned := len(w.m.runs), w.m.scanned
		w.m.mu.Unlock()
		if n == 0 {
			break
		}
		w.m.kick()
		<-scanned
	}
}

func TestSettledEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	stop := w.run(false)
	v := w.put("acme", "one", map[string]string{"a": "1.0.0"})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := w.m.Settled(ctx, v.Tenant, v.Container, v.Function, v.Number); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("wait of 100 ms: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.m.Settled(t.Context(), v.Tenant, v.Container, v.Function, v.Number) }()
	stop()
	if err := <-ended; hearth.CodeOf(err) != hearth.CodeUnavailable {
		t.Fatalf("wait beyond the end: %v", err)
	}
}

func TestRevokedTreeIsNotUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.run(true)
	v := w.settled(w.put("acme", "one", map[string]string{"bad": "1.0.0"}))
	if _, err := w.Revoke(t.Context(), "bad", "1.0.0", "it steals"); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second) // the promise
	for {
		_, _, err := w.m.Tree(t.Context(), v.Tree)
		if hearth.CodeOf(err) == hearth.CodeConflict && strings.Contains(err.Error(), "it steals") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still used: %v", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// An archive that is missing from the blob store, or damaged, is built again.
func TestLostArchiveIsBuiltAgain(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(path string) error{
		"missing": os.Remove,
		"damaged": func(path string) error { return os.WriteFile(path, []byte("zeros"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.run(true)
			w.settled(w.put("acme", "one", map[string]string{"a": "1.0.0"}))
			archives, err := filepath.Glob(filepath.Join(w.dir, "blobs", "packages", "*"))
			if err != nil || len(archives) != 1 {
				t.Fatalf("archives: %v, %v", archives, err)
			}
			if err := harm(archives[0]); err != nil {
				t.Fatal(err)
			}
			w.mu.Lock()
			w.linked = map[string]bool{}
			w.mu.Unlock()
			v := w.settled(w.put("acme", "two", map[string]string{"a": "1.0.0"}))
			if v.Status != hearth.StatusBuilding || v.Tree == "" || w.fetched["a@1.0.0"] != 2 {
				t.Fatalf("settled: %+v after %d fetches", v, w.fetched["a@1.0.0"])
			}
		})
	}
}

// 200 deploys at once, 50 functions of 10 tenants over 40 packages: each is fetched once, each manifest
// is resolved once a tenant.
func TestManyDeploysAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.run(true)
	for i := range 10 {
		w.put(fmt.Sprint("tenant-", i), "bare", nil) // so that what follows does not wait for tenants to be made
	}
	var wg sync.WaitGroup
	versions := make([]hearth.Version, 200)
	for i := range versions {
		wg.Go(func() {
			deps := map[string]string{}
			for n := range 10 {
				deps[fmt.Sprint("p", (i%50*3+n*n)%40)] = "1.0.0"
			}
			versions[i] = w.put(fmt.Sprint("tenant-", i%10), fmt.Sprint("f", i%50), deps)
		})
	}
	wg.Wait()
	for _, v := range versions {
		if v = w.settled(v); v.Tree == "" || v.Status != hearth.StatusBuilding {
			t.Errorf("%s: %+v", v.Function, v)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, n := range w.fetched {
		if n != 1 {
			t.Errorf("%s was fetched %d times", name, n)
		}
	}
	if len(w.fetched) != 40 || w.locks > 50 {
		t.Errorf("%d packages, %d locks", len(w.fetched), w.locks)
	}
}

func TestTurns(t *testing.T) {
	t.Parallel()
	turns := newTurns(1)
	if err := turns.enter(t.Context(), "big"); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []string
	var wg sync.WaitGroup
	line := func(tenant string, n int) {
		for range n {
			before := turns.length()
			wg.Go(func() {
				if err := turns.enter(t.Context(), tenant); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, tenant)
				mu.Unlock()
				turns.leave()
			})
			for turns.length() == before {
				time.Sleep(time.Millisecond)
			}
		}
	}
	line("big", 5)
	line("small", 1)
	gone, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	before := turns.length()
	go func() { left <- turns.enter(gone, "small") }()
	for turns.length() == before {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	turns.leave()
	wg.Wait()
	if want := []string{"big", "small", "big", "big", "big", "big"}; !slices.Equal(order, want) {
		t.Errorf("order: %v, want %v", order, want)
	}
	if turns.free != 1 || len(turns.order)+len(turns.waiting) != 0 {
		t.Errorf("at the end: %+v", turns)
	}
}

func (t *turns) length() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, line := range t.waiting {
		n += len(line)
	}
	return n
}
