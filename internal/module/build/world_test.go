package build

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gocloud.dev/secrets/localsecrets"

	"hearth"
	"hearth/internal/module/plan"
	"hearth/internal/module/unpack"
	"hearth/internal/store"
	"hearth/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a store with builders, a registry that answers from memory and sandboxes that are functions.
type world struct {
	t     *testing.T
	store *store.Store
	dir   string
	raw   *sql.DB // the same database, to let time pass

	fetch   func(ctx context.Context, name string) error // nil: answers at once
	script  func(ctx context.Context, name string, out func(string)) (int, error)
	fetches atomic.Int64

	mu    sync.Mutex
	built map[string]int // by content
	put   map[string]string
	held  map[string]int
	boxes int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	keeper := localsecrets.NewKeeper([32]byte{1})
	t.Cleanup(func() { keeper.Close() })
	path := filepath.Join(dir, "hearth.db")
	s, err := store.Open(t.Context(), store.Config{Database: "sqlite:" + path, Blobs: "file:" + filepath.Join(dir, "blobs"),
		Keeper: keeper, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(60000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close(); s.Close() })
	return &world{t: t, store: s, dir: dir, raw: raw, built: map[string]int{}, put: map[string]string{}, held: map[string]int{}}
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	if _, err := w.raw.Exec(query, args...); err != nil {
		w.t.Errorf("%s: %v", query, err)
	}
}

// tarball is a package as a registry has it.
func tarball(name string) []byte {
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zip)
	for file, text := range map[string]string{"package.json": fmt.Sprintf(`{"name":%q}`, name), "index.js": "module.exports = '" + name + "'"} {
		tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "package/" + file, Size: int64(len(text)), Mode: 0o644})
		tw.Write([]byte(text))
	}
	tw.Close()
	zip.Close()
	return buf.Bytes()
}

func (w *world) Tarball(ctx context.Context, tenant, name, version, integrity string) (io.ReadCloser, error) {
	w.fetches.Add(1)
	if w.fetch != nil {
		if err := w.fetch(ctx, name); err != nil {
			return nil, err
		}
	}
	return io.NopCloser(bytes.NewReader(tarball(name))), nil
}

func (w *world) Put(ctx context.Context, content, tenant string, c *unpack.Content, digest string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.put[content] = digest
	return nil
}

func (w *world) Ensure(ctx context.Context, t *plan.Tree) (Linked, error) {
	for _, p := range t.Packages {
		r, _, _, err := w.store.OpenArchive(ctx, p.Content)
		if err != nil {
			return Linked{}, fmt.Errorf("%s: %w", p.Name, err)
		}
		r.Close()
	}
	return Linked{Path: "/packages/t/" + t.Key[:32] + "/node_modules"}, nil
}

func (w *world) Hold(key string)    { w.hold(key, 1) }
func (w *world) Release(key string) { w.hold(key, -1) }

func (w *world) hold(key string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[key] += n
}

// box is a sandbox that keeps what it is given and adds a file.
type box struct {
	w    *world
	name string
	tar  []byte
	spec Spec
}

func (w *world) Start(ctx context.Context, runtime, tenant string) (Sandbox, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.boxes++
	return &box{w: w}, nil
}

func (b *box) Input(ctx context.Context, name string, r io.Reader) (err error) {
	b.name = name
	b.tar, err = io.ReadAll(r)
	return err
}

func (b *box) Build(ctx context.Context, spec Spec, out func(string)) (int, error) {
	b.spec = spec
	if b.w.script != nil {
		return b.w.script(ctx, b.name, out)
	}
	return 0, nil
}

func (b *box) Result(ctx context.Context) (io.ReadCloser, error) {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	in := tar.NewReader(bytes.NewReader(b.tar))
	for {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		tw.WriteHeader(h)
		io.Copy(tw, in)
	}
	addon := []byte("ELF of " + b.name)
	tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "addon.node", Size: int64(len(addon)), Mode: 0o755})
	tw.Write(addon)
	tw.Close()
	return io.NopCloser(&buf), nil
}

func (b *box) Close(ctx context.Context) error {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	b.w.boxes--
	return nil
}

// builder makes a Builder, with a store of its own if it needs one.
func (w *world) builder(name string, change func(*Config)) *Builder {
	w.t.Helper()
	c := Config{Store: w.store, Fetcher: w, Host: w, Sandboxes: w, Queue: filepath.Join(w.dir, name+".db"), Dir: w.dir,
		Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	if c.Store == Store(w.store) {
		c.Store = counting{c.Store, w}
	}
	b, err := New(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := b.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return b
}

// run runs builders until the test, or stop, ends them.
func (w *world) run(builders ...*Builder) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, b := range builders {
		wg.Go(func() {
			if err := b.Run(ctx); err != nil {
				w.t.Errorf("run: %v", err)
			}
		})
	}
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); wg.Wait() }) }
	w.t.Cleanup(stop)
	return stop
}

// counting counts what was published.
type counting struct {
	Store
	w *world
}

func (c counting) FinishContents(ctx context.Context, all []store.Built) (lost []string, err error) {
	lost, err = c.Store.FinishContents(ctx, all)
	c.w.count(all, lost, err)
	return lost, err
}

func (w *world) count(all []store.Built, lost []string, err error) {
	if err != nil {
		return
	}
	gone := map[string]bool{}
	for _, token := range lost {
		gone[token] = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range all {
		if !gone[b.Token] {
			w.built[b.Content]++
		}
	}
}

// deploy adds a tree and wakes the builder.
func (w *world) deploy(b *Builder, t *plan.Tree, tenant string) store.TreeState {
	w.t.Helper()
	s, err := w.store.AddTree(w.t.Context(), t, tenant)
	if err != nil {
		w.t.Fatal(err)
	}
	b.Wake(w.t.Context())
	return s
}

// until waits for the end of a tree's builds, less than it takes the builders to look unasked.
func (w *world) until(b *Builder, t *plan.Tree, what string, ok func(Progress) bool) Progress {
	w.t.Helper()
	stop, err := b.Follow(w.t.Context(), t)
	if err != nil {
		w.t.Fatal(err)
	}
	defer stop()
	limit := time.After(30 * time.Second)
	for {
		p, changed := b.Progress(t.Key)
		if ok(p) {
			return p
		}
		select {
		case <-changed:
		case <-limit:
			w.t.Fatalf("%s did not happen: %+v", what, p)
		}
	}
}

func (w *world) failure(t *plan.Tree) *hearth.Failure {
	w.t.Helper()
	s, err := w.store.TreeState(w.t.Context(), t.Key)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.Failure
}

// archive reads what a content was made to.
func (w *world) archive(content string) map[string]string {
	w.t.Helper()
	r, digest, _, err := w.store.OpenArchive(w.t.Context(), content)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	c, err := unpack.Load(w.t.Context(), r, digest[len("sha256-"):], unpack.Limits{})
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	files := map[string]string{}
	for i := range c.Entries {
		if data, ok := c.Bytes(&c.Entries[i]); ok {
			files[c.Entries[i].Path] = string(data)
		}
	}
	return files
}

var errDead = errors.New("this builder's process was killed")

// mortal is a store that a killed builder does not reach any more.
type mortal struct {
	counting
	dead atomic.Bool
}

func (m *mortal) ClaimContents(ctx context.Context, owner string, scripts bool, n int) ([]store.Job, error) {
	if m.dead.Load() {
		return nil, errDead
	}
	return m.Store.ClaimContents(ctx, owner, scripts, n)
}

func (m *mortal) HeartbeatContents(ctx context.Context, tokens map[string]string) ([]string, error) {
	if m.dead.Load() {
		return nil, errDead
	}
	return m.Store.HeartbeatContents(ctx, tokens)
}

func (m *mortal) ReleaseContents(ctx context.Context, owner string) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Store.ReleaseContents(ctx, owner)
}

func (m *mortal) FailContent(ctx context.Context, j store.Job, fault store.Fault, f hearth.Failure, after time.Duration) (time.Time, error) {
	if m.dead.Load() {
		return time.Time{}, errDead
	}
	return m.Store.FailContent(ctx, j, fault, f, after)
}

// Pure and so on, in short.
var (
	pkg    = storetest.Pure
	addon  = storetest.Scripted
	treeOf = storetest.Tree
)
