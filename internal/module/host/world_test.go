package host

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"hearth/internal/module/plan"
	"hearth/internal/module/unpack"
)

// files are what a package is made of: path → text; "-> x" is a symlink, "#!" an executable.
type files map[string]string

func contentOf(t testing.TB, f files) *unpack.Content {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, name := range slices.Sorted(maps.Keys(f)) {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(f[name]))}
		if target, ok := strings.CutPrefix(f[name], "-> "); ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, target, 0
		}
		if strings.HasPrefix(f[name], "#!") {
			h.Mode = 0o755
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			io.WriteString(tw, f[name])
		}
	}
	tw.Close()
	c, err := unpack.FromTar(context.Background(), &buf, unpack.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// archives is a blob store in memory.
type archives struct {
	mu      sync.Mutex
	blobs   map[string][]byte
	digests map[string]string
	opened  map[string]int
	fail    error
	hook    func(id string)
}

func newArchives() *archives {
	return &archives{blobs: map[string][]byte{}, digests: map[string]string{}, opened: map[string]int{}}
}

func (a *archives) Open(ctx context.Context, id string) (io.ReadCloser, string, error) {
	a.mu.Lock()
	a.opened[id]++
	raw, ok := a.blobs[id]
	digest, err, hook := a.digests[id], a.fail, a.hook
	a.mu.Unlock()
	if hook != nil {
		hook(id)
	}
	if err != nil {
		return nil, "", err
	}
	if ctx.Err() != nil {
		return nil, "", context.Cause(ctx)
	}
	if !ok {
		return nil, "", errors.New("no such blob")
	}
	return io.NopCloser(bytes.NewReader(raw)), digest, nil
}

func (a *archives) add(t testing.TB, id string, f files) {
	t.Helper()
	c := contentOf(t, f)
	var buf bytes.Buffer
	digest, _, err := unpack.Write(context.Background(), &buf, c)
	if err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.blobs[id], a.digests[id] = buf.Bytes(), digest
}

func hexOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// pk makes a package: "name@version", its content named after it, dependencies by folder name → "name@version".
func pk(id string, deps map[string]string) plan.Package {
	at := strings.LastIndex(id, "@")
	p := plan.Package{Key: hexOf("key " + id), Name: id[:at], Package: id[:at], Version: id[at+1:], Content: hexOf("content " + id), Deps: map[string]string{}}
	for name, dep := range deps {
		p.Deps[name] = hexOf("key " + dep)
	}
	return p
}

func treeOf(name string, direct, hoisted map[string]string, packages ...plan.Package) *plan.Tree {
	t := &plan.Tree{Key: hexOf("tree " + name), Runtime: "node24", Platform: "linux-x64-glibc", Direct: map[string]string{}, Hoisted: map[string]string{}, Packages: packages}
	for n, id := range direct {
		t.Direct[n] = hexOf("key " + id)
	}
	for n, id := range hoisted {
		t.Hoisted[n] = hexOf("key " + id)
	}
	return t
}

type world struct {
	t   testing.TB
	dir string
	a   *archives
	*Store
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return openWorld(t, filepath.Join(t.TempDir(), "packages"), newArchives(), 1<<30)
}

func openWorld(t testing.TB, dir string, a *archives, limit int64) *world {
	t.Helper()
	s, err := Open(Config{Dir: dir, KeyFile: dir + ".key", Limit: limit, Archives: a, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t, dir, a, s}
	t.Cleanup(func() {
		if w.Store != nil {
			w.close()
		}
	})
	return w
}

// reopen is a new process: nothing is synced or closed in order.
func (w *world) reopen() *world {
	w.t.Helper()
	limit := w.cfg.Limit
	w.close()
	w.Store = nil
	return openWorld(w.t, w.dir, w.a, limit)
}

func (w *world) ensure(tr *plan.Tree) Linked {
	w.t.Helper()
	l, err := w.Ensure(context.Background(), tr)
	if err != nil {
		w.t.Fatalf("Ensure: %v", err)
	}
	return l
}

// at is where a path of an instance lies on the host.
func (w *world) at(l Linked, names ...string) string {
	return filepath.Join(append([]string{w.dir, strings.TrimPrefix(l.Path, Mount+"/")}, names...)...)
}

func (w *world) read(l Linked, names ...string) string {
	w.t.Helper()
	b, err := os.ReadFile(w.at(l, names...))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// whole checks everything: what is on the disk is what the records say, what is in memory is what is on
// the disk, bytes are counted right, and nothing half is there.
func (w *world) whole() {
	w.t.Helper()
	r, err := w.Verify(context.Background(), false)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range r.Damaged {
		w.t.Errorf("damaged: %+v", d)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	names := func(folder string) []string {
		n, err := readNames(filepath.Join(w.dir, folder))
		if err != nil {
			w.t.Fatal(err)
		}
		slices.Sort(n)
		return n
	}
	if got := names("tmp"); len(got) > 0 {
		w.t.Errorf("in tmp: %v", got)
	}
	var index []string
	for id := range w.contents {
		index = append(index, ofContent(id))
	}
	for name := range w.packages {
		index = append(index, ofPackage(name))
	}
	for name := range w.trees {
		index = append(index, ofTree(name))
	}
	slices.Sort(index)
	if got := names("index"); !slices.Equal(got, index) {
		w.t.Errorf("index has %d records, memory %d:\n%v\n%v", len(got), len(index), got, index)
	}
	if got, want := names("p"), slices.Sorted(maps.Keys(w.packages)); !slices.Equal(got, want) {
		w.t.Errorf("p has %v, memory %v", got, want)
	}
	if got, want := names("t"), slices.Sorted(maps.Keys(w.trees)); !slices.Equal(got, want) {
		w.t.Errorf("t has %v, memory %v", got, want)
	}
	var bytes int64
	onDisk := 0
	filepath.WalkDir(filepath.Join(w.dir, "files"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			fi, _ := d.Info()
			bytes += blocks(fi.Size())
			onDisk++
		}
		return err
	})
	inMemory := 0
	for i := range w.shards {
		inMemory += len(w.shards[i].files)
	}
	if onDisk != inMemory {
		w.t.Errorf("%d files on the disk, %d in memory", onDisk, inMemory)
	}
	for name, p := range w.packages {
		bytes += p.bytes
		users := 0
		for _, t := range w.trees {
			if slices.Contains(t.packages, name) {
				users++
			}
		}
		if users != p.users {
			w.t.Errorf("package %s has %d users, counted %d", name, users, p.users)
		}
	}
	for id, c := range w.contents {
		users := 0
		for _, p := range w.packages {
			if p.content == id {
				users++
			}
		}
		if users != c.users {
			w.t.Errorf("content %s has %d users, counted %d", id, users, c.users)
		}
	}
	for name, t := range w.trees {
		bytes += t.bytes
		for _, p := range t.packages {
			if w.packages[p] == nil {
				w.t.Errorf("tree %s lacks package %s", name, p)
			}
		}
	}
	if bytes != w.bytes {
		w.t.Errorf("%d bytes are there, %d counted", bytes, w.bytes)
	}
	if len(w.claims) > 0 || len(w.pins) > 0 || w.leaving != 0 {
		w.t.Errorf("left over: claims %v, pins %v, leaving %d", w.claims, w.pins, w.leaving)
	}
}

func inode(t testing.TB, path string) os.FileInfo {
	t.Helper()
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi
}

func randomText(rnd *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(rnd.IntN(26))
	}
	return string(b)
}
