package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth"
	"hearth/internal/module/plan"
	"hearth/internal/module/unpack"
)

// usual is a small tree with what trees can have: a scope, an alias, a cycle, a package that depends on
// another of its own name, a bundled one, an inner symlink, an executable.
func usual(w *world) *plan.Tree {
	w.a.add(w.t, hexOf("content app@1.0.0"), files{"package.json": `{"name":"app"}`, "lib/a.js": "a", "LICENSE": "MIT", "cli.js": "#!node", "link.js": "-> lib/a.js"})
	w.a.add(w.t, hexOf("content @s/dep@2.0.0"), files{"package.json": `{"name":"@s/dep"}`, "LICENSE": "MIT", "node_modules/bundled/index.js": "b"})
	w.a.add(w.t, hexOf("content old@3.0.0"), files{"index.js": "old"})
	w.a.add(w.t, hexOf("content old@1.0.0"), files{"index.js": "older", "empty": ""})
	alias := pk("old@3.0.0", map[string]string{"app": "app@1.0.0", "old": "old@1.0.0"})
	return treeOf("usual", map[string]string{"app": "app@1.0.0", "@s/dep": "@s/dep@2.0.0"}, map[string]string{"old": "old@3.0.0"},
		pk("app@1.0.0", map[string]string{"@s/dep": "@s/dep@2.0.0", "fresh": "old@3.0.0", "app": "app@1.0.0"}),
		pk("@s/dep@2.0.0", map[string]string{"old": "old@1.0.0"}), alias, pk("old@1.0.0", nil))
}

func TestTreeIsLinked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tr := usual(w)
	if w.Has(tr.Key) {
		t.Error("Has before Ensure")
	}
	l := w.ensure(tr)
	if l.Fetched != 4 || !strings.HasPrefix(l.Path, "/packages/t/") || !w.Has(tr.Key) {
		t.Errorf("Ensure = %+v, Has = %v", l, w.Has(tr.Key))
	}
	for path, want := range map[string]string{
		"app/lib/a.js": "a", "app/link.js": "a", "@s/dep/LICENSE": "MIT", "@s/dep/node_modules/bundled/index.js": "b",
		"../hoisted/node_modules/old/index.js": "old",
	} {
		if got := w.read(l, path); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
	// What a package sees is beside its real folder, as Node.js looks.
	real := func(parts ...string) string {
		p, err := filepath.EvalSymlinks(w.at(l, parts...))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	app := filepath.Dir(real("app"))
	for path, want := range map[string]string{"@s/dep/LICENSE": "MIT", "fresh/index.js": "old", "fresh/../app/lib/a.js": "a"} {
		full, err := filepath.EvalSymlinks(filepath.Join(app, strings.Split(path, "/..")[0]))
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.Index(path, "/.."); i >= 0 {
			full += path[i:]
		}
		if got, err := os.ReadFile(full); err != nil || string(got) != want {
			t.Errorf("app sees %s = %q, %v", path, got, err)
		}
	}
	scoped := filepath.Dir(filepath.Dir(real("@s/dep")))
	if got, err := os.ReadFile(filepath.Join(scoped, "old/index.js")); err != nil || string(got) != "older" {
		t.Errorf("@s/dep sees old = %q, %v", got, err)
	}
	if got, err := os.ReadFile(filepath.Join(real("../hoisted/node_modules/old"), "node_modules/old/index.js")); err != nil || string(got) != "older" {
		t.Errorf("a dependency of the package's own name = %q, %v", got, err)
	}
	if a, b := inode(t, real("app/LICENSE")), inode(t, real("@s/dep/LICENSE")); !os.SameFile(a, b) {
		t.Error("equal files are two inodes")
	}
	for path, mode := range map[string]os.FileMode{"app/cli.js": 0o555, "app/lib/a.js": 0o444, "app": 0o755, "app/lib": 0o755} {
		if got := inode(t, real(path)).Mode().Perm(); got != mode {
			t.Errorf("%s has mode %v, want %v", path, got, mode)
		}
	}
	for folder, mode := range map[string]os.FileMode{"p": 0o711, "t": 0o711, "files": 0o700, "index": 0o700, "tmp": 0o700, "": 0o711, "../packages.key": 0o600} {
		if got := inode(t, filepath.Join(w.dir, folder)).Mode().Perm(); got != mode {
			t.Errorf("%q has mode %v, want %v", folder, got, mode)
		}
	}
	names, _ := readNames(filepath.Join(w.dir, "p"))
	for _, name := range names {
		for _, p := range tr.Packages {
			if len(name) != 32 || strings.Contains(name, p.Key[:8]) || strings.Contains(name, p.Content[:8]) {
				t.Errorf("name %s can be guessed", name)
			}
		}
	}
	w.whole()
	if again := w.ensure(tr); again.Path != l.Path || again.Fetched != 0 {
		t.Errorf("again: %+v", again)
	}
	w = w.reopen()
	if again := w.ensure(tr); again.Path != l.Path || again.Fetched != 0 {
		t.Errorf("after a restart: %+v", again)
	}
	w.whole()
}

// A content in two contexts, and in two trees, is fetched once and is the same inodes.
func TestContextsShareInodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.a.add(t, hexOf("content a@1.0.0"), files{"index.js": "a", "big": strings.Repeat("x", 100_000)})
	w.a.add(t, hexOf("content b@1.0.0"), files{"index.js": "b"})
	w.a.add(t, hexOf("content b@2.0.0"), files{"index.js": "b2"})
	one := pk("a@1.0.0", map[string]string{"b": "b@1.0.0"})
	two := pk("a@1.0.0", map[string]string{"b": "b@2.0.0"})
	two.Key = hexOf("key a in another context")
	first := w.ensure(treeOf("1", map[string]string{"a": "a@1.0.0"}, nil, one, pk("b@1.0.0", nil)))
	before := w.Usage().Bytes
	tree2 := treeOf("2", nil, nil, two, pk("b@2.0.0", nil))
	tree2.Direct["a"] = two.Key
	second := w.ensure(tree2)
	if second.Fetched != 1 {
		t.Errorf("the second tree fetched %d contents, want b@2 only", second.Fetched)
	}
	if !os.SameFile(inode(t, w.at(first, "a")+"/big"), inode(t, w.at(second, "a")+"/big")) {
		t.Error("two contexts have two inodes")
	}
	if grown := w.Usage().Bytes - before; grown > 50_000 {
		t.Errorf("the second context costs %d bytes", grown)
	}
	w.whole()
}

func TestPutNeedsNoArchive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := contentOf(t, files{"index.js": "x", "bin/cli": "#!x"})
	var buf bytes.Buffer
	digest, _, err := unpack.Write(t.Context(), &buf, c)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Put(t.Context(), hexOf("content x@1.0.0"), "", c, digest); err != nil {
			t.Fatal(err)
		}
	}
	l := w.ensure(treeOf("x", map[string]string{"x": "x@1.0.0"}, nil, pk("x@1.0.0", nil)))
	if l.Fetched != 0 || w.read(l, "x/bin/cli") != "#!x" {
		t.Errorf("%+v", l)
	}
	if err := w.Put(t.Context(), "../x", "", c, digest); err == nil {
		t.Error("a content named ../x was taken")
	}
	w.whole()
}

// However many ask at once, for however many trees that overlap, each content is fetched once and each
// package linked once.
func TestEverythingOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const packages, trees, callers = 60, 20, 8
	all := make([]plan.Package, packages)
	for i := range all {
		id := fmt.Sprintf("p%d@1.0.0", i)
		w.a.add(t, hexOf("content "+id), files{"index.js": id, "LICENSE": "MIT", "lib/x.js": fmt.Sprint(i % 7)})
		deps := map[string]string{}
		for d := 1; d <= 3; d++ { // also backwards: cycles
			deps[fmt.Sprintf("p%d", (i+d*7)%packages)] = fmt.Sprintf("p%d@1.0.0", (i+d*7)%packages)
		}
		all[i] = pk(id, deps)
	}
	var wg sync.WaitGroup
	var fetched atomic.Int64
	for i := range trees {
		tr := treeOf(fmt.Sprint(i), map[string]string{"p0": "p0@1.0.0", fmt.Sprintf("p%d", i): fmt.Sprintf("p%d@1.0.0", i)}, nil, all...)
		for range callers {
			wg.Go(func() {
				l, err := w.Ensure(t.Context(), tr)
				if err != nil {
					t.Errorf("Ensure: %v", err)
				}
				fetched.Add(int64(l.Fetched))
				if got, err := os.ReadFile(w.at(l, "p0/index.js")); err != nil || string(got) != "p0@1.0.0" {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
	}
	wg.Wait()
	if fetched.Load() != packages {
		t.Errorf("%d contents were fetched, want %d", fetched.Load(), packages)
	}
	for id, n := range w.a.opened {
		if n != 1 {
			t.Errorf("content %s was opened %d times", id, n)
		}
	}
	if n := w.counter.Load(); n > packages*6+trees*4+100 {
		t.Errorf("%d names in tmp were used: something was made more than once", n)
	}
	w.whole()
}

// Who gives up does not take the others with it.
func TestLeaderGivesUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tr := usual(w)
	entered, gate := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	w.a.hook = func(string) {
		if first.CompareAndSwap(false, true) {
			close(entered)
		}
		<-gate
	}
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 2)
	go func() { _, err := w.Ensure(ctx, tr); errs <- err }()
	<-entered
	done := make(chan error, 1)
	go func() { _, err := w.Ensure(t.Context(), tr); done <- err }()
	cancel()
	close(gate)
	if err := <-errs; !errors.Is(err, context.Canceled) && err != nil {
		t.Errorf("the one that gave up: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("the one that waited: %v", err)
	}
	w.whole()
}

// What cannot be had is an error for all, and the next try works.
func TestArchiveIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tr := usual(w)
	w.a.fail = &hearth.Error{Code: hearth.CodeUnavailable, Message: "The blob store is away."}
	if _, err := w.Ensure(t.Context(), tr); hearth.CodeOf(err) != hearth.CodeUnavailable {
		t.Errorf("%v", err)
	}
	w.a.fail = nil
	id := hexOf("content app@1.0.0")
	good := w.a.blobs[id]
	w.a.blobs[id] = append([]byte{}, good...)
	w.a.blobs[id][len(good)/2] ^= 1
	if _, err := w.Ensure(t.Context(), tr); unpack.Refused(err) != unpack.ReasonDigest {
		t.Errorf("a flipped bit: %v", err)
	}
	if w.Has(tr.Key) {
		t.Error("the tree is there")
	}
	w.whole()
	w.a.blobs[id] = good
	w.ensure(tr)
	w.whole()
}

func TestPlansThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, change := range map[string]func(*plan.Tree){
		"key":            func(tr *plan.Tree) { tr.Key = "../../x" },
		"package key":    func(tr *plan.Tree) { tr.Packages[0].Key = strings.ToUpper(tr.Packages[0].Key) },
		"content":        func(tr *plan.Tree) { tr.Packages[0].Content = "" },
		"dotdot":         func(tr *plan.Tree) { tr.Packages[0].Name = ".." },
		"slash":          func(tr *plan.Tree) { tr.Packages[0].Name = "a/b" },
		"scope only":     func(tr *plan.Tree) { tr.Packages[0].Name = "@/b" },
		"scope dotdot":   func(tr *plan.Tree) { tr.Packages[0].Name = "@s/.." },
		"three parts":    func(tr *plan.Tree) { tr.Packages[0].Name = "@s/b/c" },
		"node_modules":   func(tr *plan.Tree) { tr.Packages[0].Name = "node_modules" },
		"nul":            func(tr *plan.Tree) { tr.Packages[0].Name = "a\x00b" },
		"absolute":       func(tr *plan.Tree) { tr.Direct["/etc"] = tr.Packages[0].Key },
		"hidden":         func(tr *plan.Tree) { tr.Direct[".bin"] = tr.Packages[0].Key },
		"long":           func(tr *plan.Tree) { tr.Direct[strings.Repeat("a", 215)] = tr.Packages[0].Key },
		"dep of nothing": func(tr *plan.Tree) { tr.Packages[0].Deps["x"] = hexOf("nothing") },
		"dep dotdot":     func(tr *plan.Tree) { tr.Packages[0].Deps["../../x"] = tr.Packages[1].Key },
		"hoisted":        func(tr *plan.Tree) { tr.Hoisted[""] = tr.Packages[0].Key },
		"twice":          func(tr *plan.Tree) { tr.Packages[1] = tr.Packages[0] },
	} {
		tr := usual(w)
		change(tr)
		if _, err := w.Ensure(t.Context(), tr); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	w.whole()
}

func one(w *world, i int, size int) *plan.Tree {
	id := fmt.Sprintf("one%d@1.0.0", i)
	w.a.add(w.t, hexOf("content "+id), files{"index.js": id, "LICENSE": "MIT", "data": strings.Repeat(fmt.Sprint(i%10), size)})
	return treeOf(id, map[string]string{"one": id}, nil, pk(id, nil))
}

func TestLeastRecentlyUsedGoes(t *testing.T) {
	t.Parallel()
	w := openWorld(t, filepath.Join(t.TempDir(), "packages"), newArchives(), 1_000_000)
	trees := make([]*plan.Tree, 8)
	for i := range 3 {
		trees[i] = one(w, i, 250_000)
		w.ensure(trees[i])
		time.Sleep(2 * time.Millisecond)
	}
	w.Has(trees[0].Key) // so that 1 is the oldest
	w.Hold(trees[2].Key)
	trees[3] = one(w, 3, 250_000)
	w.ensure(trees[3])
	is := func(want ...bool) {
		t.Helper()
		for i, want := range want {
			w.mu.Lock()
			got := w.trees[w.name(trees[i].Key)] != nil
			w.mu.Unlock()
			if got != want {
				t.Errorf("tree %d is there: %v, want %v", i, got, want)
			}
		}
		w.whole()
	}
	is(true, false, true, true)
	trees[4] = one(w, 4, 500_000) // two have to go, and not the one that is held
	w.ensure(trees[4])
	is(false, false, true, false, true)
	// A tree that does not fit beside what is held is refused, and what there is stays whole.
	w.Hold(trees[4].Key)
	trees[5] = one(w, 5, 900_000)
	_, err := w.Ensure(t.Context(), trees[5])
	if hearth.CodeOf(err) != hearth.CodeNoSpace {
		t.Errorf("no room: %v", err)
	}
	is(false, false, true, false, true, false)
	w.Release(trees[4].Key)
	w.Release(trees[2].Key)
	w.ensure(trees[5])
	is(false, false, false, false, false, true)
	w = w.reopen()
	is(false, false, false, false, false, true)
}

// Trees share packages: what another tree uses stays.
func TestEvictionKeepsWhatOthersUse(t *testing.T) {
	t.Parallel()
	w := openWorld(t, filepath.Join(t.TempDir(), "packages"), newArchives(), 1_000_000)
	w.a.add(t, hexOf("content base@1.0.0"), files{"index.js": strings.Repeat("b", 300_000)})
	w.a.add(t, hexOf("content top@1.0.0"), files{"index.js": strings.Repeat("t", 300_000)})
	w.a.add(t, hexOf("content big@1.0.0"), files{"index.js": strings.Repeat("B", 500_000)})
	old := treeOf("old", map[string]string{"top": "top@1.0.0"}, nil, pk("top@1.0.0", map[string]string{"base": "base@1.0.0"}), pk("base@1.0.0", nil))
	young := treeOf("young", map[string]string{"base": "base@1.0.0"}, nil, pk("base@1.0.0", nil))
	w.ensure(old)
	l := w.ensure(young)
	w.Hold(young.Key)
	w.ensure(treeOf("big", map[string]string{"big": "big@1.0.0"}, nil, pk("big@1.0.0", nil)))
	if w.Has(old.Key) || !w.Has(young.Key) || len(w.read(l, "base/index.js")) != 300_000 {
		t.Error("the wrong tree went")
	}
	if n := w.Usage().Evicted; n != 1 { // base is young's too
		t.Errorf("%d contents evicted, want 1", n)
	}
	w.whole()
}
