package build

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth"
	"hearth/internal/module/plan"
	"hearth/internal/store"
)

func TestBuildsOnceAndReportsProgress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.builder("one", nil)
	var list []plan.Package
	for i := range 60 {
		list = append(list, pkg(fmt.Sprint("p", i), "1"))
	}
	tool := addon("tool", "1", list[0], list[1])
	tree := treeOf(append(list, tool, addon("app", "1", tool))...)
	if s := w.deploy(b, tree, "acme"); s.Total != 62 || len(s.Missing) != 62 {
		t.Fatalf("added: %+v", s)
	}
	stop, err := b.Follow(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if p, _ := b.Progress(tree.Key); p.Total != 62 || p.Known != 0 || p.Done() {
		t.Fatalf("before: %+v", p)
	}
	w.run(b)
	p := w.until(b, tree, "all built", Progress.Done)
	if p.Built != 62 || p.Fetched != 62 || p.Known != 0 {
		t.Errorf("after: %+v", p)
	}
	for content, n := range w.built {
		if n != 1 {
			t.Errorf("%s was published %d times", content, n)
		}
	}
	if len(w.put) != 62 || w.boxes != 0 {
		t.Errorf("%d contents were kept on the node, %d sandboxes are left", len(w.put), w.boxes)
	}
	for key, n := range w.held {
		if n != 0 {
			t.Errorf("%s is still held %d times", key, n)
		}
	}
	if got := w.archive(list[3].Content); !maps.Equal(got, map[string]string{"package.json": `{"name":"p3"}`, "index.js": "module.exports = 'p3'"}) {
		t.Errorf("archive: %q", got)
	}
	if got := w.archive(tool.Content)["addon.node"]; got != "ELF of tool" {
		t.Errorf("addon: %q", got)
	}

	// One more among the known ones costs one fetch.
	before := w.fetches.Load()
	more := treeOf(append(list, pkg("one-more", "1"))...)
	w.deploy(b, more, "other")
	if p := w.until(b, more, "the new one built", Progress.Done); p.Known != 60 || p.Built > 1 || p.Total != 61 {
		t.Errorf("one more: %+v", p)
	}
	if n := w.fetches.Load() - before; n != 1 {
		t.Errorf("%d fetches for one new package", n)
	}
}

// The builders look at the table every ten seconds by themselves, here every hour; River wakes them.
func TestRiverWakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.builder("one", func(c *Config) { c.look = time.Hour })
	w.run(b)
	for i := range 3 {
		time.Sleep(50 * time.Millisecond) // idle, whatever the order of starting was
		tree := treeOf(pkg(fmt.Sprint("p", i), "1"))
		w.deploy(b, tree, "acme")
		w.until(b, tree, "built", Progress.Done)
	}
}

// What was queued before this process is found without a wake-up.
func TestFindsWhatWasLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tree := treeOf(pkg("a", "1"), addon("b", "1"))
	if _, err := w.store.AddTree(t.Context(), tree, "acme"); err != nil {
		t.Fatal(err)
	}
	b := w.builder("one", nil)
	stop := w.run(b)
	w.until(b, tree, "built", Progress.Done)
	stop()
	if s, _ := w.store.TreeState(t.Context(), tree.Key); len(s.Missing) != 0 {
		t.Fatalf("left: %+v", s)
	}
}

func TestDamagedQueueIsMadeAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := os.WriteFile(filepath.Join(w.dir, "bad.db"), []byte(strings.Repeat("no database at all ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	b := w.builder("bad", nil)
	w.run(b)
	tree := treeOf(pkg("a", "1"))
	w.deploy(b, tree, "acme")
	w.until(b, tree, "built", Progress.Done)
}

// A builder that stops gives back what it has, and holds nothing against it.
func TestStopGivesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked := make(chan struct{}, 100)
	w.fetch = func(ctx context.Context, name string) error {
		asked <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	b := w.builder("one", nil)
	stop := w.run(b)
	tree := treeOf(pkg("a", "1"), pkg("b", "1"))
	w.deploy(b, tree, "acme")
	<-asked
	stop()
	jobs, err := w.store.ClaimContents(t.Context(), "other", false, 10)
	if err != nil || len(jobs) != 2 || jobs[0].Attempts != 0 {
		t.Fatalf("claimed after a stop: %+v, %v", jobs, err)
	}
}

// A builder that slept through its lease publishes nothing, and stops working at its next heartbeat.
func TestLostLeasePublishesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked, goOn := make(chan struct{}, 1), make(chan struct{})
	ended := make(chan error, 1)
	w.fetch = func(ctx context.Context, name string) error {
		asked <- struct{}{}
		select {
		case <-ctx.Done():
			ended <- context.Cause(ctx)
			return ctx.Err()
		case <-goOn:
			return nil
		}
	}
	b := w.builder("one", nil)
	w.run(b)
	tree := treeOf(pkg("a", "1"))
	w.deploy(b, tree, "acme")
	<-asked
	var jobs []store.Job
	for len(jobs) == 0 { // a heartbeat may come between the two
		w.exec(`UPDATE contents SET lease_until = 1`)
		var err error
		if jobs, err = w.store.ClaimContents(t.Context(), "other", false, 1); err != nil {
			t.Fatal(err)
		}
	}
	b.beat(t.Context())
	if err := <-ended; !errors.Is(err, store.ErrLeaseLost) {
		t.Fatalf("the work ended with %v", err)
	}
	if s, _ := w.store.TreeState(t.Context(), tree.Key); len(s.Missing) != 1 {
		t.Fatalf("state: %+v", s)
	}
	if _, err := w.store.FailContent(t.Context(), jobs[0], store.FaultPackage, hearth.Failure{Message: "mine"}, 0); err != nil {
		t.Fatalf("the other builder's lease: %v", err)
	}
}

func TestFailuresOfPackages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	missing := &hearth.Error{Code: hearth.CodeUnavailable, Reason: "package_missing", Message: "the npm registry does not have it"}
	w.fetch = func(_ context.Context, name string) error {
		if name == "missing" {
			return missing
		}
		return nil
	}
	w.script = func(ctx context.Context, name string, out func(string)) (int, error) {
		switch name {
		case "broken":
			for range 5000 {
				out("make: still going")
			}
			out("binding.cc:7: error: expected ';'")
			return 2, nil
		case "download":
			out("prebuild-install http GET https://files.example/addon-v1.tar.gz")
			out("Error: getaddrinfo ENOTFOUND files.example")
			return 1, nil
		case "endless":
			out("while true")
			<-ctx.Done()
			return 0, ctx.Err()
		}
		return 0, nil
	}
	b := w.builder("one", func(c *Config) { c.Time = 3 * time.Second; c.Builders = 4 })
	w.run(b)
	for _, c := range []struct {
		pkg            plan.Package
		message, stack string
	}{
		{pkg("missing", "1"), "missing@1.0.0: the npm registry does not have it", ""},
		{addon("broken", "1"), "broken@1.0.0: the install script ended with code 2", "binding.cc:7: error: expected ';'"},
		{addon("download", "1"), "(it names https://files.example)", "ENOTFOUND"},
		{addon("endless", "1"), "endless@1.0.0: the install script did not end within 3s", "while true"},
	} {
		tree := treeOf(c.pkg)
		w.deploy(b, tree, "acme")
		w.until(b, tree, "failure of "+c.pkg.Name, func(p Progress) bool { return p.Failure != nil })
		f := w.failure(tree)
		if f == nil || f.Reason != "dependencies" || !strings.Contains(f.Message, c.message) || !strings.Contains(f.Stack, c.stack) || len(f.Stack) > outputMost+10 {
			t.Errorf("%s: %+v", c.pkg.Name, f)
		}
		// It is remembered: asking again asks nobody.
		before := w.fetches.Load()
		if s := w.deploy(b, tree, "other"); s.Failure == nil {
			t.Errorf("%s: asked again: %+v", c.pkg.Name, s)
		}
		if w.fetches.Load() != before {
			t.Errorf("%s was tried again", c.pkg.Name)
		}
	}
	if w.boxes != 0 {
		t.Errorf("%d sandboxes are left", w.boxes)
	}
}

// The registry is away: all that waits for it says so, it is not asked by all, and all goes on by itself.
func TestRegistryAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	away, asked := true, 0
	w.fetch = func(context.Context, string) error {
		mu.Lock()
		defer mu.Unlock()
		if asked++; away {
			return &hearth.Error{Code: hearth.CodeUnavailable, Reason: "registry_unreachable", Message: "the npm registry cannot be reached"}
		}
		return nil
	}
	b := w.builder("one", func(c *Config) { c.Fetches = 4 })
	w.run(b)
	var list []plan.Package
	for i := range 40 {
		list = append(list, pkg(fmt.Sprint("p", i), "1"))
	}
	tree := treeOf(list...)
	w.deploy(b, tree, "acme")
	w.until(b, tree, "waiting", func(p Progress) bool { return p.Waiting == "the npm registry cannot be reached" && p.Failure == nil })
	s, err := w.store.TreeState(t.Context(), tree.Key)
	if err != nil || s.Waiting == "" || s.Failure != nil {
		t.Fatalf("state: %+v, %v", s, err)
	}
	mu.Lock()
	if away = false; asked > 20 {
		t.Errorf("it was asked %d times", asked)
	}
	mu.Unlock()
	if p := w.until(b, tree, "all built", Progress.Done); p.Waiting != "" {
		t.Errorf("at the end: %+v", p)
	}
}

// Our own trouble is tried three times, and then lies there with its words.
func TestDeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fetch = func(context.Context, string) error { return errors.New("open archive: input/output error") }
	b := w.builder("one", nil)
	w.run(b)
	tree := treeOf(pkg("a", "1"))
	w.deploy(b, tree, "acme")
	for range 2 { // the waits are for hours that the test has not
		w.until(b, tree, "put off", func(Progress) bool {
			s, _ := w.store.Contents(t.Context(), []string{tree.Packages[0].Content})
			if len(s) == 1 && s[0].State == "queued" && s[0].Attempts > 0 {
				w.exec(`UPDATE contents SET retry_at = 0`)
				b.Wake(t.Context())
				return true
			}
			time.Sleep(5 * time.Millisecond)
			b.progress.each(tree.Packages[0].Content, func(*tracked) {}) // look again
			return false
		})
	}
	w.until(b, tree, "given up", func(p Progress) bool { return p.Failure != nil })
	if f := w.failure(tree); f.Reason != "platform" || w.fetches.Load() != 3 {
		t.Errorf("%+v after %d tries", f, w.fetches.Load())
	}
}

// 200 deploys at once of 50 functions of 10 tenants over 40 packages, with builders that are killed at
// random: every content has exactly one successful build.
func TestOneBuildAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.script = func(ctx context.Context, name string, out func(string)) (int, error) { return 0, nil }
	var all []plan.Package
	for i := range 40 {
		if i%8 == 7 {
			all = append(all, addon(fmt.Sprint("p", i), "1", all[i-1], all[i-2]))
		} else {
			all = append(all, pkg(fmt.Sprint("p", i), "1"))
		}
	}
	trees := make([]*plan.Tree, 50)
	for i := range trees {
		var some []plan.Package
		for n := range 12 {
			some = append(some, all[(i*7+n*n)%40])
		}
		trees[i] = treeOf(some...)
	}
	const builders = 3
	mortals := make([]*mortal, builders)
	made := make([]*Builder, builders)
	for i := range builders {
		mortals[i] = &mortal{counting: counting{w.store, w}}
		made[i] = w.builder(fmt.Sprint("b", i), func(c *Config) { c.Store = mortals[i]; c.Fetches = 4 })
	}
	kills := 0
	done := make(chan struct{})
	var killers, asks sync.WaitGroup
	for i := range builders {
		killers.Go(func() { // each builder's life: run, die in the middle of its work, come again
			for {
				ctx, kill := context.WithCancel(context.Background())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					if err := made[i].Run(ctx); err != nil {
						t.Error(err)
					}
				}()
				select {
				case <-done:
					kill()
					<-ended
					return
				case <-time.After(time.Duration(20+rand.IntN(60)) * time.Millisecond):
				}
				mortals[i].dead.Store(true)
				kill()
				<-ended
				w.exec(`UPDATE contents SET lease_until = 1 WHERE state = 'building' AND owner = $1`, made[i].owner)
				mortals[i].dead.Store(false)
				w.mu.Lock()
				kills++
				more := kills < 9 // fewer than one content may lose
				w.mu.Unlock()
				made[i] = w.builder(fmt.Sprint("b", i, "-", rand.Int()), func(c *Config) { c.Store = mortals[i]; c.Fetches = 4 })
				if !more {
					stop := w.run(made[i])
					<-done
					stop()
					return
				}
			}
		})
	}
	for i := range 200 {
		asks.Go(func() {
			if _, err := w.store.AddTree(t.Context(), trees[i%50], fmt.Sprint("tenant-", i%10)); err != nil {
				t.Error(err)
			}
		})
	}
	asks.Wait()
	deadline := time.Now().Add(time.Minute)
	for _, tree := range trees {
		for {
			s, err := w.store.TreeState(t.Context(), tree.Key)
			if err != nil || s.Failure != nil || time.Now().After(deadline) {
				t.Errorf("tree: %+v, %v", s, err)
				break
			}
			if len(s.Missing) == 0 {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	close(done)
	killers.Wait()
	if len(w.built) == 0 || slices.ContainsFunc(slices.Collect(maps.Values(w.built)), func(n int) bool { return n != 1 }) {
		t.Errorf("published: %v", w.built)
	}
	t.Logf("%d contents, %d fetches, %d kills", len(w.built), w.fetches.Load(), kills)
}

func TestSpecOfABuild(t *testing.T) {
	t.Parallel()
	leaf := pkg("leaf", "1")
	tool := pkg("tool", "1", leaf)
	app := addon("app", "1", tool)
	tree := treeOf(app, pkg("stranger", "1"))
	deps := dependencies(tree, tree.Find(app.Key))
	if len(deps.Packages) != 2 || len(deps.Direct) != 1 || deps.Direct["tool"] != tool.Key || deps.Key == tree.Key {
		t.Fatalf("what it may require: %+v", deps)
	}
	tree.Find(tool.Key).Bin = map[string]string{"tool": "bin/cli.js"}
	s := spec(tree, tree.Find(app.Key), deps, Linked{Path: "/packages/t/x/node_modules"})
	if s.Name != "app" || s.Links["tool"] != "/packages/t/x/node_modules/tool" || s.Bin["tool"] != "../tool/bin/cli.js" {
		t.Errorf("spec: %+v", s)
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	out := &tail{most: 100}
	out.line("first")
	if got := out.String(); got != "first" {
		t.Errorf("%q", got)
	}
	for i := range 1000 {
		out.line(fmt.Sprint("línea ", i))
	}
	got := out.String()
	if !strings.HasPrefix(got, "…") || !strings.HasSuffix(got, "línea 999") || len(got) > 110 || strings.Contains(got, "first") {
		t.Errorf("%q", got)
	}
	if cap(out.text) > 1000 {
		t.Errorf("it keeps %d bytes", cap(out.text))
	}
}

func TestDownloadHint(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]string{
		"error: expected ';'": "",
		"npm http fetch GET 200 http://127.0.0.1:4873/x\nError: getaddrinfo ENOTFOUND":                   "it wanted to download something",
		"curl: (6) Could not resolve host: x.example\n from https://x.example/a.tgz":                     "(it names https://x.example)",
		"node-pre-gyp ERR! install request to https://bin.example/a failed, reason: connect ENETUNREACH": "--build-egress",
	} {
		if got := downloadHint(output); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q", output, got)
		}
	}
}

// gate is a store whose first commit waits, and which counts.
type gate struct {
	Store
	once    sync.Once
	first   chan struct{} // closed when the first commit is on its way
	goOn    chan struct{}
	mu      sync.Mutex
	commits []int
}

func (g *gate) FinishContents(ctx context.Context, all []store.Built) ([]string, error) {
	g.once.Do(func() { close(g.first); <-g.goOn })
	g.mu.Lock()
	g.commits = append(g.commits, len(all))
	g.mu.Unlock()
	return g.Store.FinishContents(ctx, all)
}

// What is done while a commit is on its way to the disk is one commit.
func TestCommitsGather(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := &gate{Store: w.store, first: make(chan struct{}), goOn: make(chan struct{})}
	b := w.builder("one", func(c *Config) { c.Store = g })
	var list []plan.Package
	for i := range 16 {
		list = append(list, pkg(fmt.Sprint("p", i), "1"))
	}
	tree := treeOf(list...)
	w.deploy(b, tree, "acme")
	w.run(b)
	<-g.first
	for {
		b.mu.Lock()
		n := len(b.held)
		b.mu.Unlock()
		archives, err := filepath.Glob(filepath.Join(w.dir, "blobs", "packages", "*.zst"))
		if err != nil {
			t.Fatal(err)
		}
		if n == 16 && len(archives) == 16 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond) // from the archive to the committer's door
	close(g.goOn)
	w.until(b, tree, "all built", Progress.Done)
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.commits) > 4 {
		t.Errorf("16 contents took %d commits: %v", len(g.commits), g.commits)
	}
}
