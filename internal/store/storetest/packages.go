package storetest

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth"
	"hearth/internal/module/plan"
	"hearth/internal/store"
)

// Key is a key for a word.
func Key(word string) string {
	sum := sha256.Sum256([]byte(word))
	return hex.EncodeToString(sum[:])
}

// known is every package that Pure and Scripted made, by key, so that a tree can be made of the keys of
// its parts.
var known sync.Map

// Pure is a package without scripts, in the context of its dependencies. A version may be cut short.
func Pure(name, version string, deps ...plan.Package) plan.Package {
	return pack(name, version, false, deps)
}

// Scripted is a package with scripts.
func Scripted(name, version string, deps ...plan.Package) plan.Package {
	return pack(name, version, true, deps)
}

func pack(name, version string, scripts bool, deps []plan.Package) plan.Package {
	for strings.Count(version, ".") < 2 {
		version += ".0"
	}
	sum := sha512.Sum512([]byte(name + version))
	p := plan.Package{Key: "new", Name: name, Package: name, Version: version, Scripts: scripts, Deps: map[string]string{},
		Integrity: "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
	for _, d := range deps {
		p.Deps[d.Name] = d.Key
	}
	t := Tree(append([]plan.Package{p}, deps...)...)
	p = *t.Find(t.Direct[name])
	known.Store(p.Key, p)
	return p
}

// Tree is a tree of these packages, all of them direct, and of what they depend on. Several versions of
// one package are there under aliases.
func Tree(packages ...plan.Package) *plan.Tree {
	type entry struct {
		Name         string            `json:"name,omitempty"`
		Version      string            `json:"version"`
		Integrity    string            `json:"integrity"`
		Scripts      bool              `json:"hasInstallScript,omitempty"`
		Dependencies map[string]string `json:"dependencies,omitempty"`
	}
	root := entry{Version: "1.0.0", Dependencies: map[string]string{}}
	entries := map[string]*entry{"": &root}
	done := map[string]bool{}
	var add func(p plan.Package)
	add = func(p plan.Package) {
		if done[p.Key] {
			return
		}
		done[p.Key] = true
		folder, e := p.Name, &entry{Version: p.Version, Integrity: p.Integrity, Scripts: p.Scripts, Dependencies: map[string]string{}}
		if had := entries["node_modules/"+folder]; had != nil && had.Version != p.Version {
			folder, e.Name = p.Name+"-"+p.Version, p.Package
		}
		entries["node_modules/"+folder] = e
		root.Dependencies[folder] = p.Version
		for name, key := range p.Deps {
			d, ok := known.Load(key)
			if !ok {
				panic("a dependency that Pure or Scripted has not made")
			}
			e.Dependencies[name] = d.(plan.Package).Version
			add(d.(plan.Package))
		}
	}
	for _, p := range packages {
		add(p)
	}
	lock, err := json.Marshal(map[string]any{"lockfileVersion": 3, "packages": entries})
	if err != nil {
		panic(err)
	}
	return TreeOf(lock)
}

// TreeOf is the tree of a lock.
func TreeOf(lock []byte) *plan.Tree {
	l, err := plan.Parse(lock)
	if err != nil {
		panic(err)
	}
	t, err := l.Tree(plan.Options{Runtime: "node24", ABI: "test", Platform: plan.Platform{OS: "linux", CPU: "x64", Libc: "glibc"}})
	if err != nil {
		panic(err)
	}
	return t
}

// forged is a tree as no plan makes it.
func forged(packages ...plan.Package) *plan.Tree {
	return &plan.Tree{Key: Key("forged"), Direct: map[string]string{}, Hoisted: map[string]string{}, Packages: packages}
}

// DependentDocument is a PUT of a function that has a dependency.
func DependentDocument(tenant, name string) store.PutFunction {
	doc := Document(name, "require('a')")
	doc.Tenant = tenant
	doc.Manifest.Dependencies = map[string]string{"a": "^1"}
	return doc
}

// Add adds a tree, which must work.
func (f *Fixture) Add(t *plan.Tree, tenant string) store.TreeState {
	f.t.Helper()
	return must(f.AddTree(f.t.Context(), t, tenant))(f.t)
}

// Build builds a job: its archive is its content's id.
func (f *Fixture) Build(j store.Job) store.Built {
	f.t.Helper()
	digest := store.Digest([]byte(j.Content))
	size := must(f.PutArchive(f.t.Context(), j.Content, strings.NewReader(j.Content), digest))(f.t)
	return store.Built{Content: j.Content, Token: j.Token, Digest: digest, BlobBytes: size, Files: 1, Bytes: 64}
}

// BuildAll builds all that is queued, and returns the package names in the order of their claims.
func (f *Fixture) BuildAll() (names []string) {
	f.t.Helper()
	for {
		var jobs []store.Job
		for _, scripts := range []bool{false, true} {
			jobs = append(jobs, must(f.ClaimContents(f.t.Context(), "builder", scripts, 100))(f.t)...)
		}
		if len(jobs) == 0 {
			return names
		}
		for _, j := range jobs {
			names = append(names, j.Package.Package)
			if lost := must(f.FinishContents(f.t.Context(), []store.Built{f.Build(j)}))(f.t); len(lost) > 0 {
				f.t.Fatalf("lease of %s lost", j.Package.Package)
			}
		}
	}
}

// Exec changes rows behind the store's back. It stands for the passing of time: a lease or a failure
// lasts longer than a test should.
var Exec func(t *testing.T, s *store.Store, query string, args ...any)

// Expire ends a content's lease.
func (f *Fixture) Expire(content string) {
	Exec(f.t, f.Store, `UPDATE contents SET lease_until = 1 WHERE id = $1 AND state = 'building'`, content)
}

// Due makes a content's retry due.
func (f *Fixture) Due(content string) {
	Exec(f.t, f.Store, `UPDATE contents SET retry_at = 0 WHERE id = $1`, content)
}

// Age makes all trees and contents older.
func (f *Fixture) Age(d time.Duration) {
	for _, table := range []string{"contents", "trees"} {
		Exec(f.t, f.Store, `UPDATE `+table+` SET created_at = created_at - $1, used_at = used_at - $1`, d.Microseconds())
	}
}

func testTrees(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	b := Pure("b", "1.0.0")
	a := Pure("a", "1.0.0", b)
	tree := Tree(a, b)
	state := f.Add(tree, "acme")
	if state.Total != 2 || state.Ready != 0 || len(state.Missing) != 2 || state.Failure != nil {
		t.Fatalf("added: %+v", state)
	}
	equal(t, "add again", f.Add(tree, "other"), state)
	equal(t, "tree", must(f.Tree(ctx, tree.Key))(t), tree)
	_, err := f.Tree(ctx, Key("none"))
	wantCode(t, "no tree", err, hearth.CodeNotFound)
	// The same content in another context is not built twice.
	a2 := Pure("a", "1.0.0")
	if state = f.Add(Tree(a2), "other"); state.Total != 1 || state.Ready != 0 {
		t.Fatalf("another context: %+v", state)
	}
	equal(t, "built", len(f.BuildAll()), 2)
	for _, tree := range []*plan.Tree{tree, Tree(a2)} {
		if state = f.Add(tree, "acme"); len(state.Missing) != 0 || state.Ready != state.Total {
			t.Fatalf("built: %+v", state)
		}
	}
	equal(t, "nothing more", len(f.BuildAll()), 0)
	equal(t, "packages", must(f.TreePackages(ctx, tree.Key))(t), []string{"a@1.0.0", "b@1.0.0"})

	// Bytes are shared by those only whose plans agree on what they are.
	bad := a
	bad.Key, bad.Integrity = Key("bad"), "sha512-other"
	if _, err := f.AddTree(ctx, forged(bad), "acme"); err == nil {
		t.Fatal("another integrity under the same content was taken")
	}
	bad = a
	bad.Key, bad.Tenant = Key("bad"), strings.Repeat("a", 26)
	if _, err := f.AddTree(ctx, forged(bad), "acme"); err == nil {
		t.Fatal("a private package under a shared content was taken")
	}
	one, two := Pure("one", "1"), Pure("two", "1")
	one.Tenant, two.Tenant = strings.Repeat("a", 26), strings.Repeat("b", 26)
	if _, err := f.AddTree(ctx, forged(one, two), "acme"); err == nil {
		t.Fatal("private packages of two tenants in one tree were taken")
	}
	if _, err := f.AddTree(ctx, &plan.Tree{Key: "../x"}, "acme"); err == nil {
		t.Fatal("a bad key was taken")
	}
}

func testSettling(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	s := must2(f.PutFunction(ctx, DependentDocument("acme", "hello")))(t)
	if v := s.Latest; v.Settled || v.Tree != "" || v.Lock != "" || s.Packages != nil {
		t.Fatalf("put: %+v", s)
	}
	equal(t, "put again", must2(f.PutFunction(ctx, DependentDocument("acme", "hello")))(t), s)
	f.Changes()
	tree := Tree(Pure("a", "1.2.0"))
	wantCode(t, "settle with an unknown tree", f.SettleTree(ctx, *s.Latest, tree.Key, ""), hearth.CodeNotFound)
	f.Add(tree, "acme")
	lock := must(f.PutLock(ctx, []byte("{}")))(t)
	if err := f.SettleTree(ctx, *s.Latest, tree.Key, store.Digest([]byte("absent"))); err == nil {
		t.Fatal("settled by a lock that is not there")
	}
	gone := *s.Latest
	gone.FunctionID = strings.Repeat("x", 26)
	wantCode(t, "settle another function's", f.SettleTree(ctx, gone, tree.Key, lock), hearth.CodeNotFound)
	equal(t, "nothing changed", len(f.Changes()), 0)
	for range 2 {
		if err := f.SettleTree(ctx, *s.Latest, tree.Key, lock); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "changes", f.Changes(), []string{"acme/main"})
	s = f.Get("hello")
	if v := s.Latest; !v.Settled || v.Tree != tree.Key || v.Lock != lock || !slices.Equal(s.Packages, []string{"a@1.2.0"}) {
		t.Fatalf("settled: %+v %+v", s, v)
	}
	f.Ready("hello", 1)
	routes := must(f.Routes(ctx, "acme", "main"))(t)
	if len(routes) != 1 || routes[0].Tree != tree.Key {
		t.Fatalf("route: %+v", routes)
	}
	equal(t, "trees", must(f.Trees(ctx, 10))(t), []store.TreeUse{{Tree: tree.Key, Functions: 1}})

	// Only an explicit wish resolves again.
	equal(t, "put again", must2(f.PutFunction(ctx, DependentDocument("acme", "hello")))(t).Latest.Number, 1)
	doc := DependentDocument("acme", "hello")
	doc.Refresh = true
	s = must2(f.PutFunction(ctx, doc))(t)
	if s.Latest.Number != 2 || s.Latest.Settled || !s.Latest.Refresh || s.Active.Number != 1 {
		t.Fatalf("refreshed: %+v", s)
	}
	// What npm or a package's build said is tried again by the same document.
	f.Failed("hello", 2, "dependencies")
	equal(t, "after a failure", must2(f.PutFunction(ctx, DependentDocument("acme", "hello")))(t).Latest.Number, 3)
	none := Document("bare", "1")
	none.Refresh = true
	must2(f.PutFunction(ctx, none))(t)
	f.Ready("bare", 1)
	equal(t, "refresh without dependencies", must2(f.PutFunction(ctx, none))(t).Latest.Number, 1)
}

func testLeases(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	f.Add(Tree(Pure("a", "1"), Pure("b", "1")), "acme")
	equal(t, "with scripts", len(must(f.ClaimContents(ctx, "one", true, 10))(t)), 0)
	jobs := must(f.ClaimContents(ctx, "one", false, 10))(t)
	if len(jobs) != 2 || jobs[0].Package.Integrity == "" || jobs[0].Token == jobs[1].Token {
		t.Fatalf("claimed: %+v", jobs)
	}
	equal(t, "claimed twice", len(must(f.ClaimContents(ctx, "two", false, 10))(t)), 0)
	held := map[string]string{jobs[0].Token: jobs[0].Content, jobs[1].Token: jobs[1].Content}
	equal(t, "heartbeat", len(must(f.HeartbeatContents(ctx, held))(t)), 0)

	f.Expire(jobs[0].Content)
	taken := must(f.ClaimContents(ctx, "two", false, 10))(t)
	if len(taken) != 1 || taken[0].Content != jobs[0].Content || taken[0].Token == jobs[0].Token {
		t.Fatalf("after the lease: %+v", taken)
	}
	// The first builder wakes up: whatever it does changes nothing, and what it held well goes on.
	equal(t, "heartbeat then", must(f.HeartbeatContents(ctx, held))(t), []string{jobs[0].Token})
	equal(t, "finish", must(f.FinishContents(ctx, []store.Built{f.Build(jobs[0]), f.Build(jobs[1])}))(t), []string{jobs[0].Token})
	if _, err := f.FailContent(ctx, jobs[0], store.FaultPackage, hearth.Failure{Message: "x"}, 0); !errors.Is(err, store.ErrLeaseLost) {
		t.Fatalf("fail: %v", err)
	}
	if err := f.ReleaseContents(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	states := must(f.Contents(ctx, []string{jobs[0].Content, jobs[1].Content, Key("unknown")}))(t)
	for _, c := range states {
		if want := map[string]string{jobs[0].Content: "building", jobs[1].Content: "ready"}[c.ID]; c.State != want {
			t.Errorf("%s is %s, want %s", c.Package, c.State, want)
		}
	}
	// A builder that stops gives back at once.
	if err := f.ReleaseContents(ctx, "two"); err != nil {
		t.Fatal(err)
	}
	again := must(f.ClaimContents(ctx, "three", false, 10))(t)
	equal(t, "released", len(again), 1)
	// A row without its blob cannot come to be.
	b := f.Build(again[0])
	b.Digest = store.Digest([]byte("never written"))
	if _, err := f.FinishContents(ctx, []store.Built{b}); err == nil {
		t.Fatal("finished without an archive")
	}
	equal(t, "finish", len(must(f.FinishContents(ctx, []store.Built{f.Build(again[0])}))(t)), 0)

	// One that ends its builders is given up.
	f.Add(Tree(Pure("poison", "1")), "acme")
	for i := range 10 {
		jobs := must(f.ClaimContents(ctx, fmt.Sprint("dying-", i), false, 10))(t)
		if len(jobs) != 1 {
			t.Fatalf("loss %d: %+v", i, jobs)
		}
		f.Expire(jobs[0].Content)
		// A builder that lives, though its heartbeats are late, loses nothing to itself.
		equal(t, "its own", len(must(f.ClaimContents(ctx, fmt.Sprint("dying-", i), false, 10))(t)), 0)
	}
	equal(t, "claims after ten losses", len(must(f.ClaimContents(ctx, "one", false, 10))(t)), 0)
	if s := must(f.TreeState(ctx, Tree(Pure("poison", "1")).Key))(t); s.Failure == nil || s.Failure.Reason != "platform" {
		t.Fatalf("after ten losses: %+v", s)
	}
}

func testTurns(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	var many []plan.Package
	for i := range 30 {
		many = append(many, Pure(fmt.Sprint("big-", i), "1"))
	}
	f.Add(Tree(many...), "big")
	f.Add(Tree(Pure("small-0", "1"), Pure("small-1", "1")), "small")
	f.Add(Tree(Pure("tiny-0", "1")), "tiny")
	var order []string
	for len(order) < 33 {
		n := 1 + len(order)%2 // one at a time or two, the turns are fair
		for _, j := range must(f.ClaimContents(ctx, "builder", false, n))(t) {
			who, _, _ := strings.Cut(j.Package.Package, "-")
			order = append(order, who)
		}
	}
	for who, last := range map[string]int{"tiny": 4, "small": 7} {
		for i, o := range order {
			if o == who && i > last {
				t.Errorf("%s had a turn at place %d of %v", who, i, order)
			}
		}
	}
}

func testFailures(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	tree := Tree(Pure("a", "1"))
	claim := func() store.Job {
		t.Helper()
		jobs := must(f.ClaimContents(ctx, "one", false, 10))(t)
		if len(jobs) != 1 {
			t.Fatalf("claimed %+v", jobs)
		}
		return jobs[0]
	}
	f.Add(tree, "acme")
	// The registry is away: for as long as it takes, and said.
	for range 5 {
		j := claim()
		retry := must(f.FailContent(ctx, j, store.FaultAway, hearth.Failure{Reason: "registry", Message: "The registry is away."}, time.Minute))(t)
		if left := time.Until(retry); left < 50*time.Second || left > 90*time.Second || j.Attempts != 0 {
			t.Fatalf("retry in %s, attempts %d", left, j.Attempts)
		}
		equal(t, "claims meanwhile", len(must(f.ClaimContents(ctx, "one", false, 10))(t)), 0)
		if s := f.Add(tree, "acme"); s.Waiting != "The registry is away." || s.Failure != nil || s.RetryAt.IsZero() {
			t.Fatalf("state: %+v", s)
		}
		f.Due(j.Content)
	}
	// And it puts off what else waits for that registry, and nothing else, until it is back.
	f.Add(Tree(Pure("b", "1"), Pure("c", "1")), "acme")
	private := Pure("d", "1")
	private.Tenant, private.Content = strings.Repeat("a", 26), Key("private d")
	f.Add(forged(private), "acme")
	jobs := must(f.ClaimContents(ctx, "one", false, 1))(t)
	asked := jobs[0].Package.Package + "@" + jobs[0].Package.Version
	must(f.FailContent(ctx, jobs[0], store.FaultAwayAll, hearth.Failure{Message: "away for " + asked}, time.Minute))(t)
	for _, name := range []string{"a", "b", "c"} { // each in its own words
		if s := f.Add(Tree(Pure(name, "1")), "acme"); !strings.HasPrefix(s.Waiting, "away for "+name+"@1") {
			t.Errorf("%s waits: %+v", name, s)
		}
	}
	jobs = must(f.ClaimContents(ctx, "one", false, 10))(t)
	if len(jobs) != 1 || jobs[0].Package.Package != "d" {
		t.Fatalf("claimed while the registry is away: %+v", jobs)
	}
	must(f.FinishContents(ctx, []store.Built{f.Build(jobs[0])}))(t)
	if err := f.RegistryBack(ctx, ""); err != nil {
		t.Fatal(err)
	}
	jobs = must(f.ClaimContents(ctx, "another", false, 10))(t)
	equal(t, "claimed when it is back", len(jobs), 3)
	for _, j := range jobs {
		if j.Package.Package != "a" {
			must(f.FinishContents(ctx, []store.Built{f.Build(j)}))(t)
			continue
		}
		f.Expire(j.Content)
	}
	// Our own trouble: three attempts, each later, then a dead letter.
	var last time.Duration
	for attempt := range 3 {
		j := claim()
		equal(t, "attempts", j.Attempts, attempt)
		retry := must(f.FailContent(ctx, j, store.FaultOurs, hearth.Failure{Reason: "platform", Message: "disk \x00 trouble"}, 0))(t)
		if attempt == 2 {
			if !retry.IsZero() {
				t.Fatal("a fourth attempt")
			}
			break
		}
		if left := time.Until(retry); left <= last {
			t.Fatalf("attempt %d: retry in %s after %s", attempt, left, last)
		} else {
			last = left
		}
		f.Due(j.Content)
	}
	// It is remembered, for other trees too, and nothing of them is queued.
	other := Tree(Pure("a", "1"), Pure("fresh", "1"))
	for _, tree := range []*plan.Tree{tree, other} {
		if s := f.Add(tree, "acme"); s.Failure == nil || s.Failure.Message != "a@1.0.0: disk \x00 trouble" {
			t.Fatalf("state: %+v", s)
		}
	}
	equal(t, "queued", len(must(f.ClaimContents(ctx, "one", false, 10))(t)), 0)
	page, _, err := f.Packages(ctx, "", "", 0)
	if err != nil || len(page) != 4 || page[0].State != "failed" || page[0].Failure == nil || page[0].Attempts != 2 {
		t.Fatalf("listed: %+v, %v", page, err)
	}
	// And forgotten when its time is over and somebody asks.
	f.Due(page[0].ID)
	equal(t, "nobody asked", len(must(f.ClaimContents(ctx, "one", false, 10))(t)), 0)
	if s := f.Add(other, "acme"); s.Failure != nil || len(s.Missing) != 2 {
		t.Fatalf("state: %+v", s)
	}
	equal(t, "claims", len(must(f.ClaimContents(ctx, "one", false, 10))(t)), 2)
}

func testNeeds(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	leaf := Pure("leaf", "1")
	tool := Scripted("tool", "1", leaf)
	addon := Scripted("addon", "1", tool)
	tree := TreeOf(fmt.Appendf(nil, `{"lockfileVersion": 3, "packages": {"": {"dependencies": {"addon": "1.0.0", "x": "1.0.0"}},
		"node_modules/leaf": {"version": "1.0.0", "integrity": %q}, "node_modules/tool": {"version": "1.0.0", "integrity": %q, "hasInstallScript": true, "dependencies": {"leaf": "1"}},
		"node_modules/addon": {"version": "1.0.0", "integrity": %q, "hasInstallScript": true, "dependencies": {"tool": "1"}},
		"node_modules/x": {"version": "1.0.0", "integrity": %[1]q, "hasInstallScript": true, "dependencies": {"y": "1"}},
		"node_modules/y": {"version": "1.0.0", "integrity": %[2]q, "hasInstallScript": true, "dependencies": {"x": "1"}}}}`, leaf.Integrity, tool.Integrity, addon.Integrity))
	f.Add(tree, "acme")
	names := func(scripts bool) (names []string, jobs []store.Job) {
		jobs = must(f.ClaimContents(ctx, "one", scripts, 10))(t)
		for _, j := range jobs {
			names = append(names, j.Package.Package)
		}
		slices.Sort(names)
		return names, jobs
	}
	got, _ := names(true)
	equal(t, "first", got, []string{"x", "y"})
	_, jobs := names(false)
	must(f.FinishContents(ctx, []store.Built{f.Build(jobs[0])}))(t)
	got, jobs = names(true)
	equal(t, "then", got, []string{"tool"})
	// What depends on a failed one fails with it, and comes back with it.
	must(f.FailContent(ctx, jobs[0], store.FaultPackage, hearth.Failure{Reason: "dependencies", Message: "make: error"}, 0))(t)
	s := must(f.TreeState(ctx, tree.Key))(t)
	if s.Failure == nil || s.Failure.Message != "tool@1.0.0: make: error" {
		t.Fatalf("state: %+v", s)
	}
	for _, c := range must(f.Contents(ctx, []string{addon.Content}))(t) {
		if c.State != "failed" || c.Failure.Message != "tool@1.0.0: make: error" {
			t.Fatalf("dependent: %+v", c)
		}
	}
	f.Due(tool.Content)
	f.Add(tree, "acme")
	got, jobs = names(true)
	equal(t, "again", got, []string{"tool"})
	must(f.FinishContents(ctx, []store.Built{f.Build(jobs[0])}))(t)
	got, _ = names(true)
	equal(t, "last", got, []string{"addon"})
}

// 200 deploys at once of 50 functions of 10 tenants over 40 packages, and builders that end at random:
// every content is finished exactly once.
func testOnce(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	var all []plan.Package
	for i := range 40 {
		p := Pure(fmt.Sprint("p", i), "1")
		if i%8 == 7 {
			p = Scripted(fmt.Sprint("p", i), "1", all[i-1], all[i-3])
		}
		all = append(all, p)
	}
	trees := make([]*plan.Tree, 50)
	for i := range trees {
		some := map[string]plan.Package{}
		var add func(p plan.Package)
		add = func(p plan.Package) {
			some[p.Key] = p
			for _, dep := range p.Deps {
				add(all[slices.IndexFunc(all, func(p plan.Package) bool { return p.Key == dep })])
			}
		}
		for n := range 12 {
			add(all[(i*7+n*n)%40])
		}
		var list []plan.Package
		for _, p := range some {
			list = append(list, p)
		}
		trees[i] = Tree(list...)
	}
	var mu sync.Mutex
	finished, losses := map[string]int{}, 0
	var asks, builders sync.WaitGroup
	for i := range 200 {
		asks.Go(func() {
			if _, err := f.AddTree(ctx, trees[i%50], fmt.Sprint("tenant-", i%10)); err != nil {
				t.Error(err)
			}
		})
	}
	done := make(chan struct{})
	for b := range 4 {
		builders.Go(func() {
			for n := 0; ; n++ {
				jobs, err := f.ClaimContents(ctx, fmt.Sprint("b", b), n%2 == 1, 1+rand.IntN(5))
				if err != nil {
					t.Error(err)
					return
				}
				if len(jobs) == 0 {
					select {
					case <-done:
						return
					case <-time.After(time.Millisecond):
						continue
					}
				}
				var built []store.Built
				for _, j := range jobs {
					if rand.IntN(4) == 0 { // silent for so long that the lease passes on; then it wakes up
						f.Expire(j.Content)
					}
					built = append(built, f.Build(j))
				}
				lost, err := f.FinishContents(ctx, built)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				losses += len(lost)
				for _, b := range built {
					if !slices.Contains(lost, b.Token) {
						finished[b.Content]++
					}
				}
				mu.Unlock()
			}
		})
	}
	asks.Wait()
	for _, tree := range trees {
		for {
			s := must(f.TreeState(ctx, tree.Key))(t)
			if s.Failure != nil {
				t.Fatalf("failed: %+v", s.Failure)
			}
			if len(s.Missing) == 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	close(done)
	builders.Wait()
	for content, n := range finished {
		if n != 1 {
			t.Errorf("%s was finished %d times", content, n)
		}
	}
	t.Logf("%d contents, %d leases lost", len(finished), losses)
}

func testArchives(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	a := Pure("a", "1")
	f.Add(Tree(a), "acme")
	_, _, _, err := f.OpenArchive(ctx, a.Content)
	wantCode(t, "open before it is built", err, hearth.CodeNotFound)
	job := must(f.ClaimContents(ctx, "one", false, 1))(t)[0]
	if _, err := f.PutArchive(ctx, a.Content, strings.NewReader("other bytes"), store.Digest([]byte("bytes"))); err == nil {
		t.Fatal("other bytes than the digest's were taken")
	}
	if _, err := f.PutArchive(ctx, "../"+a.Content[3:], strings.NewReader(""), store.Digest(nil)); err == nil {
		t.Fatal("a path was taken for a key")
	}
	broken := io.MultiReader(strings.NewReader("by"), failingReader{})
	if _, err := f.PutArchive(ctx, a.Content, broken, store.Digest([]byte("bytes"))); err == nil {
		t.Fatal("half an archive was taken")
	}
	b := f.Build(job)
	// An archive that a builder wrote and did not finish is an orphan; one that is named stays.
	orphan := store.Digest([]byte("orphan"))
	must(f.PutArchive(ctx, a.Content, strings.NewReader("orphan"), orphan))(t)
	must(f.FinishContents(ctx, []store.Built{b}))(t)
	if n := must(f.Sweep(ctx, 0))(t); n != 1 {
		t.Fatalf("swept %d", n)
	}
	r, digest, size, err := f.OpenArchive(ctx, a.Content)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if raw := must(io.ReadAll(r))(t); string(raw) != a.Content || digest != b.Digest || size != int64(len(raw)) {
		t.Fatalf("read %q, %s, %d", raw, digest, size)
	}
	// One that is missing is built again, and a damaged one.
	equal(t, "heal what is whole", must(f.HealTree(ctx, Tree(a).Key, "acme", true))(t), 0)
	if err := f.RebuildContent(ctx, a.Content, orphan, "acme"); err != nil {
		t.Fatal(err)
	}
	equal(t, "rebuild for another digest", len(f.BuildAll()), 0)
	if err := f.RebuildContent(ctx, a.Content, digest, "acme"); err != nil {
		t.Fatal(err)
	}
	equal(t, "rebuild", len(f.BuildAll()), 1)
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("broken pipe") }

func testLocks(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Tenant("acme")
	f.Tenant("other")
	m := DependentDocument("acme", "x").Manifest
	lock := []byte(`{"lockfileVersion": 3}`)
	digest := must(f.PutLock(ctx, lock))(t)
	equal(t, "digest again", must(f.PutLock(ctx, lock))(t), digest)
	equal(t, "lock", must(f.Lock(ctx, digest))(t), lock)
	_, err := f.Lock(ctx, store.Digest([]byte("none")))
	wantCode(t, "no lock", err, hearth.CodeNotFound)
	cached := func(tenant string, m hearth.Manifest, ttl time.Duration) []byte {
		t.Helper()
		got, _, err := f.CachedLock(ctx, tenant, "", m, ttl)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	equal(t, "before", cached("acme", m, time.Hour), []byte(nil))
	if err := f.CacheLock(ctx, "acme", "", m, store.Digest([]byte("none"))); err == nil {
		t.Fatal("a lock that is not there was cached")
	}
	if err := f.CacheLock(ctx, "acme", "", m, digest); err != nil {
		t.Fatal(err)
	}
	equal(t, "cached", cached("acme", m, time.Hour), lock)
	equal(t, "another tenant's", cached("other", m, time.Hour), []byte(nil))
	equal(t, "too old", cached("acme", m, 0), []byte(nil))
	same := m
	same.Entry, same.Config, same.TimeoutMS = "other.js", []byte(`{"a":1}`), 7
	equal(t, "other code, same dependencies", cached("acme", same, time.Hour), lock)
	for name, change := range map[string]func(m *hearth.Manifest){
		"range":     func(m *hearth.Manifest) { m.Dependencies = map[string]string{"a": "^2"} },
		"runtime":   func(m *hearth.Manifest) { m.Runtime = "node26" },
		"optional":  func(m *hearth.Manifest) { m.OptionalDependencies = map[string]string{"b": "1"} },
		"peer":      func(m *hearth.Manifest) { m.PeerDependencies = map[string]string{"b": "1"} },
		"overrides": func(m *hearth.Manifest) { m.Overrides = []byte(`{"b":"1"}`) },
		"lock":      func(m *hearth.Manifest) { m.Lock = digest },
	} {
		other := m
		change(&other)
		equal(t, "another "+name, cached("acme", other, time.Hour), []byte(nil))
	}
	if lock, _, err := f.CachedLock(ctx, "acme", strings.Repeat("a", 64), m, time.Hour); err != nil || lock != nil {
		t.Errorf("with other registries: %.20q, %v", lock, err)
	}
	// A tenant that is gone leaves nothing, and its lock is swept.
	if err := f.CacheLock(ctx, "nobody", "", m, digest); err != nil {
		t.Fatal(err)
	}
	equal(t, "swept while it is cached", must(f.Sweep(ctx, 0))(t), 0)
	if err := f.DeleteTenant(ctx, "acme", true, none); err != nil {
		t.Fatal(err)
	}
	equal(t, "swept", must(f.Sweep(ctx, 0))(t), 1)
}

func testRevocations(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	f.Container("other", "main")
	bad := Pure("bad", "1.0.0")
	tree := Tree(Pure("a", "1", bad), bad)
	for _, tenant := range []string{"acme", "other"} {
		f.Add(tree, tenant)
		s := must2(f.PutFunction(ctx, DependentDocument(tenant, "hello")))(t)
		if err := f.SettleTree(ctx, *s.Latest, tree.Key, ""); err != nil {
			t.Fatal(err)
		}
	}
	f.Ready("hello", 1)
	f.Changes()
	want := []store.User{{Tenant: "acme", Container: "main", Function: "hello", Versions: []int{1}, Active: true},
		{Tenant: "other", Container: "main", Function: "hello", Versions: []int{1}}}
	equal(t, "users", must(f.Users(ctx, "bad", "1.0.0"))(t), want)
	equal(t, "users of another version", len(must(f.Users(ctx, "bad", "1.0.1"))(t)), 0)
	equal(t, "revoked", must(f.Revoke(ctx, "bad", "1.0.0", "it steals keys"))(t), want)
	equal(t, "changes", f.Changes(), []string{"acme/main", "other/main"})
	_, err := f.AddTree(ctx, tree, "acme")
	if e := wantCode(t, "add a tree with it", err, hearth.CodeConflict); e.Reason != "revoked" || !strings.Contains(e.Message, "it steals keys") {
		t.Fatalf("refused: %+v", e)
	}
	f.Add(Tree(Pure("bad", "1.0.1")), "acme")
	all := must(f.Revocations(ctx))(t)
	if len(all) != 1 || len(store.Revoked(all, tree)) != 1 || len(store.Revoked(all, Tree(Pure("bad", "2")))) != 0 {
		t.Fatalf("revocations: %+v", all)
	}
	if trees := must(f.RevokedTrees(ctx))(t); len(trees) != 1 || trees[tree.Key].Reason != "it steals keys" {
		t.Fatalf("revoked trees: %+v", trees)
	}
	must(f.Revoke(ctx, "bad", "1.0.0", "for another reason"))(t)
	if err := f.Restore(ctx, "bad", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "restore again", f.Restore(ctx, "bad", "1.0.0"), hearth.CodeNotFound)
	f.Add(tree, "acme")
	_, err = f.Revoke(ctx, "", "1", "")
	wantCode(t, "revoke nothing", err, hearth.CodeInvalid)
}

func testPackages(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	var all []plan.Package
	for i := range 7 {
		all = append(all, Pure(fmt.Sprint("p", i%3), fmt.Sprint(i, ".0.0")))
	}
	tree := Tree(all...)
	f.Add(tree, "acme")
	s := must2(f.PutFunction(ctx, DependentDocument("acme", "hello")))(t)
	if err := f.SettleTree(ctx, *s.Latest, tree.Key, ""); err != nil {
		t.Fatal(err)
	}
	f.BuildAll()
	for name, want := range map[string]string{"": "p0@0.0.0 p0@3.0.0 p0@6.0.0 p1@1.0.0 p1@4.0.0 p2@2.0.0 p2@5.0.0", "p1": "p1@1.0.0 p1@4.0.0", "none": ""} {
		for size := 1; size <= 8; size++ {
			var got []string
			cursor := ""
			for {
				page, next, err := f.Packages(ctx, name, cursor, size)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range page {
					if p.State != "ready" || p.Functions != 1 || p.Bytes != 64 || p.Files != 1 || p.BuiltAt.IsZero() {
						t.Fatalf("listed %+v", p)
					}
					got = append(got, p.Package+"@"+p.Version)
				}
				if cursor = next; cursor == "" {
					break
				}
			}
			equal(t, fmt.Sprintf("pages of %d of %q", size, name), strings.Join(got, " "), want)
		}
	}
	_, next, err := f.Packages(ctx, "p1", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = f.Packages(ctx, "p2", next, 1)
	wantCode(t, "another list's cursor", err, hearth.CodeInvalid)
}

func testPrune(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	shared := Pure("shared", "1")
	tool := Scripted("tool", "1", shared)
	kept, old := Tree(shared, Pure("kept", "1")), Tree(shared, tool, Pure("old", "1"))
	for _, tree := range []*plan.Tree{kept, old} {
		f.Add(tree, "acme")
	}
	f.BuildAll()
	s := must2(f.PutFunction(ctx, DependentDocument("acme", "hello")))(t)
	if err := f.SettleTree(ctx, *s.Latest, kept.Key, ""); err != nil {
		t.Fatal(err)
	}
	equal(t, "swept while young", must(f.Sweep(ctx, 0))(t), 0)
	f.Age(8 * 24 * time.Hour)
	must(f.Sweep(ctx, 0))(t)
	must(f.Sweep(ctx, 0))(t) // what needed what is gone by then
	must(f.Tree(ctx, kept.Key))(t)
	_, err := f.Tree(ctx, old.Key)
	wantCode(t, "an old tree", err, hearth.CodeNotFound)
	var left []string
	page, _, err := f.Packages(ctx, "", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range page {
		left = append(left, p.Package)
		r, _, _, err := f.OpenArchive(ctx, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	equal(t, "left", left, []string{"kept", "shared"})
	if state := f.Add(old, "acme"); len(state.Missing) != 2 {
		t.Fatalf("asked again: %+v", state)
	}
}

func testRegistries(t *testing.T, f *Fixture) {
	ctx := t.Context()
	acme := f.Tenant("acme")
	f.Tenant("other")
	put := func(tenant string, changes ...store.RegistryChange) (hearth.Tenant, error) {
		out, _, err := f.PutTenant(ctx, hearth.Tenant{Name: tenant}, store.Precondition{}, changes...)
		return out, err
	}
	text := func(s string) *string { return &s }
	at := func(scope, url string, token *string) store.RegistryChange {
		return store.RegistryChange{Scope: scope, URL: url, Token: token}
	}
	read := func(tenant string) (store.TenantRegistries, []store.RegistryAccess) {
		t.Helper()
		r := must(f.Registries(ctx, tenant))(t)
		byID := must(f.RegistriesByID(ctx, r.TenantID))(t)
		equal(t, "by id", byID.State, r.State)
		return r, must(f.OpenRegistries(ctx, r))(t)
	}
	const here, there = "https://npm.example/", "https://npm.example/b/"
	for _, c := range []store.RegistryChange{at("", here, nil), at("acme", here, nil), at("@", here, nil), at("@Acme", here, nil), at("@a/b", here, nil),
		at("@"+strings.Repeat("a", 255), here, nil), at("@acme", strings.Repeat("a", 2049), nil), at("@acme", "", text("t")),
		at("@acme", here, text(strings.Repeat("t", 65<<10))), {Scope: "@acme", URL: here, Public: true}} {
		_, err := put("acme", c)
		wantCode(t, fmt.Sprintf("%.40v", c), err, hearth.CodeInvalid)
	}
	none, _ := read("acme")
	equal(t, "state of none", none.State, "")
	equal(t, "id", none.TenantID, acme.ID)
	equal(t, "shown of none", must(f.GetTenant(ctx, "acme"))(t).Registries, map[string]hearth.Registry{})
	states := map[string]bool{"": true}
	step := func(what string, changed bool, shown hearth.Registry, access []store.RegistryAccess, c store.RegistryChange) {
		t.Helper()
		before := must(f.GetTenant(ctx, "acme"))(t)
		after := must(put("acme", c))(t)
		want := map[string]hearth.Registry{c.Scope: shown}
		if c.Public {
			want = map[string]hearth.Registry{}
		}
		equal(t, what+": answered", after.Registries, want)
		equal(t, what+": shown", must(f.GetTenant(ctx, "acme"))(t).Registries, want)
		equal(t, what+": revision", after.Revision != before.Revision, changed)
		state, opened := read("acme")
		equal(t, what+": opened", opened, access)
		equal(t, what+": new state", !states[state.State], changed && len(want) > 0)
		equal(t, what+": private", state.Private(c.Scope+"/x") && state.Private(strings.ToUpper(c.Scope)+"/x"), len(want) > 0)
		if state.Private("x") || state.Private(c.Scope) || state.Private(c.Scope+"e/x") || state.Private("") {
			t.Errorf("%s: what is of no scope of the tenant's is private", what)
		}
		equal(t, what+": closed", len(state.Closed()) > 0, len(want) > 0 && shown.URL == "")
		states[state.State] = true
	}
	one := func(url, token string) []store.RegistryAccess {
		return []store.RegistryAccess{{Scope: "@acme", URL: url, Token: token}}
	}
	step("set", true, hearth.Registry{URL: here, Token: true}, one(here, "s3cret"), at("@acme", here, text("s3cret")))
	step("set again", false, hearth.Registry{URL: here, Token: true}, one(here, "s3cret"), at("@acme", here, text("s3cret")))
	step("keep", false, hearth.Registry{URL: here, Token: true}, one(here, "s3cret"), at("@acme", here, nil))
	step("another token", true, hearth.Registry{URL: here, Token: true}, one(here, "s3cret2"), at("@acme", here, text("s3cret2")))
	// The token was given for the old URL, so it does not go to the new one.
	step("another URL", true, hearth.Registry{URL: there}, one(there, ""), at("@acme", there, nil))
	step("its token", true, hearth.Registry{URL: there, Token: true}, one(there, "s3cret3"), at("@acme", there, text("s3cret3")))
	step("no token", true, hearth.Registry{URL: there}, one(there, ""), at("@acme", there, text("")))
	step("token back", true, hearth.Registry{URL: there, Token: true}, one(there, "s3cret3"), at("@acme", there, text("s3cret3")))
	// A scope that was private once does not become the public registry's by itself.
	step("close", true, hearth.Registry{}, nil, at("@acme", "", nil))
	step("close again", false, hearth.Registry{}, nil, at("@acme", "", nil))
	step("open again", true, hearth.Registry{URL: there}, one(there, ""), at("@acme", there, nil))
	step("release", true, hearth.Registry{}, nil, store.RegistryChange{Scope: "@acme", Public: true})
	step("release again", false, hearth.Registry{}, nil, store.RegistryChange{Scope: "@acme", Public: true})
	equal(t, "close what never was", must(put("acme", at("@never", "", nil)))(t).Registries, map[string]hearth.Registry{})

	must(put("acme", at("@acme", here, text("s3cret"))))(t)
	page, _, err := f.ListTenants(ctx, "", 0)
	if err != nil || page[0].Registries != nil {
		t.Errorf("in lists: %+v, %v", page, err)
	}
	// Another tenant has nothing of it, and a row copied to it, or led elsewhere, does not open.
	_, opened := read("other")
	equal(t, "another's", len(opened), 0)
	Exec(t, f.Store, `INSERT INTO registries SELECT 'other', scope, url, sealed, updated_at, token, closed FROM registries`)
	_, err = f.OpenRegistries(ctx, must(f.Registries(ctx, "other"))(t))
	wantCode(t, "a copied token", err, hearth.CodeUnavailable)
	Exec(t, f.Store, `UPDATE registries SET url = 'https://evil.example/' WHERE tenant = 'acme'`)
	_, err = f.OpenRegistries(ctx, must(f.Registries(ctx, "acme"))(t))
	wantCode(t, "a token for another URL", err, hearth.CodeUnavailable)
	_, err = f.Registries(ctx, "nobody")
	wantCode(t, "of no tenant", err, hearth.CodeNotFound)
	_, err = f.RegistriesByID(ctx, "acme")
	wantCode(t, "of no id", err, hearth.CodeNotFound)

	var many []store.RegistryChange
	for i := range hearth.LimitRegistries.Int() {
		many = append(many, at(fmt.Sprintf("@s%d", i), here, nil))
	}
	created, isNew, err := f.PutTenant(ctx, hearth.Tenant{Name: "many"}, store.Precondition{}, many...)
	if err != nil || !isNew || len(created.Registries) != len(many) {
		t.Fatalf("made with registries: %+v, %v", created, err)
	}
	_, err = put("many", at("@more", here, nil))
	wantCode(t, "too many", err, hearth.CodeInvalid)
	_, err = put("many", at("@s0", "", nil), at("@more", here, nil))
	wantCode(t, "too many with closed ones", err, hearth.CodeInvalid)
	must(put("many", store.RegistryChange{Scope: "@s0", Public: true}, at("@more", here, nil)))(t)

	// A tenant of the same name is another one.
	if err := f.DeleteTenant(ctx, "many", true, store.Precondition{}); err != nil {
		t.Fatal(err)
	}
	_, err = f.RegistriesByID(ctx, created.ID)
	wantCode(t, "of a deleted tenant", err, hearth.CodeNotFound)
	equal(t, "of its successor", f.Tenant("many").ID != created.ID && must(f.Registries(ctx, "many"))(t).State == "", true)
}
