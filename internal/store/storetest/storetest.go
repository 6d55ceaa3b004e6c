// Package storetest is the contract of the store as tests, for every database below it.
package storetest

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets"

	"hearth"
	"hearth/internal/store"
)

// Opener fills in Database and Blobs, and opens an empty store that is closed with the test.
type Opener func(t *testing.T, c store.Config) *store.Store

// Run runs the whole suite.
func Run(t *testing.T, open Opener) {
	for name, test := range map[string]func(*testing.T, *Fixture){
		"tenants":            testTenants,
		"containers":         testContainers,
		"functions":          testFunctions,
		"identical document": testIdentical,
		"settle":             testSettle,
		"rollback":           testRollback,
		"trim":               testTrim,
		"secrets":            testSecrets,
		"routes":             testRoutes,
		"preconditions":      testPreconditions,
		"lists":              testLists,
		"tenancy":            testTenancy,
		"code":               testCode,
		"sweep":              testSweep,
		"stripped":           testStripped,
		"idempotency":        testIdempotency,
		"trees":              testTrees,
		"settling":           testSettling,
		"leases":             testLeases,
		"turns":              testTurns,
		"failures":           testFailures,
		"needs":              testNeeds,
		"once":               testOnce,
		"archives":           testArchives,
		"locks":              testLocks,
		"revocations":        testRevocations,
		"packages":           testPackages,
		"prune":              testPrune,
		"registries":         testRegistries,
		"parallel writers":   testParallel,
		"linearizable":       testLinearizable,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, New(t, open))
		})
	}
}

// Fixture is a store with what tests need around it.
type Fixture struct {
	*store.Store
	t *testing.T

	mu      sync.Mutex
	changes []string // of OnChange since the last call of Changes
}

// Keeper returns a keeper with a fixed key.
func Keeper(t testing.TB) *secrets.Keeper {
	k := localsecrets.NewKeeper([32]byte{1, 2, 3})
	t.Cleanup(func() { k.Close() })
	return k
}

// New opens a store.
func New(t *testing.T, open Opener) *Fixture {
	f := &Fixture{t: t}
	f.Store = open(t, store.Config{Keeper: Keeper(t), Log: slog.New(slog.DiscardHandler), OnChange: f.onChange})
	return f
}

func (f *Fixture) onChange(tenant, container string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = append(f.changes, tenant+"/"+container)
}

// Changes returns the calls of OnChange since it was last called.
func (f *Fixture) Changes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.changes
	f.changes = nil
	return c
}

// Tenant makes a tenant.
func (f *Fixture) Tenant(name string) hearth.Tenant {
	f.t.Helper()
	return must2(f.PutTenant(f.t.Context(), hearth.Tenant{Name: name}, store.Precondition{}))(f.t)
}

// Container makes a container, and its tenant if need be.
func (f *Fixture) Container(tenant, name string) hearth.Container {
	f.t.Helper()
	f.Tenant(tenant)
	return must2(f.PutContainer(f.t.Context(), tenant, hearth.Container{Name: name}, store.Precondition{}))(f.t)
}

// Document is a PUT of acme/main/name with this code.
func Document(name, code string) store.PutFunction {
	return store.PutFunction{Tenant: "acme", Container: "main", Name: name,
		Manifest: hearth.Manifest{Runtime: "node24", Entry: "index.js", TimeoutMS: 30_000, Auth: "none"},
		Files:    []hearth.File{{Path: "index.js", Data: []byte(code)}}}
}

// Put puts acme/main/name.
func (f *Fixture) Put(name, code string) store.FunctionState {
	f.t.Helper()
	return must2(f.PutFunction(f.t.Context(), Document(name, code)))(f.t)
}

// Ready settles a version of acme/main/name as ready.
func (f *Fixture) Ready(name string, number int) store.FunctionState {
	f.t.Helper()
	f.settle(hearth.Version{Tenant: "acme", Container: "main", Function: name, Number: number, Status: hearth.StatusReady,
		Loaded: hearth.Loaded{Model: hearth.ModelPromise, Parsed: true}})
	return f.Get(name)
}

// Failed settles a version of acme/main/name as failed.
func (f *Fixture) Failed(name string, number int, reason string) store.FunctionState {
	f.t.Helper()
	f.settle(hearth.Version{Tenant: "acme", Container: "main", Function: name, Number: number, Status: hearth.StatusFailed,
		Failure: &hearth.Failure{Reason: reason, Message: "SyntaxError: \x00\xff", Stack: "at index.js:1"}})
	return f.Get(name)
}

func (f *Fixture) settle(v hearth.Version) {
	f.t.Helper()
	if err := f.Settle(f.t.Context(), v); err != nil {
		f.t.Fatalf("settle %s version %d: %v", v.Function, v.Number, err)
	}
}

// Get reads acme/main/name.
func (f *Fixture) Get(name string) store.FunctionState {
	f.t.Helper()
	return must(f.GetFunction(f.t.Context(), "acme", "main", name))(f.t)
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func must2[T any](v T, _ bool, err error) func(*testing.T) T { return must(v, err) }

func wantCode(t *testing.T, what string, err error, want hearth.Code) *hearth.Error {
	t.Helper()
	if got := hearth.CodeOf(err); got != want {
		t.Fatalf("%s: got code %q (%v), want %q", what, got, err, want)
	}
	var he *hearth.Error
	errors.As(err, &he)
	return he
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

var none store.Precondition

func testTenants(t *testing.T, f *Fixture) {
	ctx := t.Context()
	_, _, err := f.PutTenant(ctx, hearth.Tenant{Name: "Acme"}, none)
	wantCode(t, "put with a bad name", err, hearth.CodeInvalid)
	a, created, err := f.PutTenant(ctx, hearth.Tenant{Name: "acme", Limits: hearth.TenantLimits{CPUs: 0.5}}, none)
	if err != nil || !created {
		t.Fatalf("put: created %v, %v", created, err)
	}
	if len(a.ID) != 26 || a.Revision != 1 || time.Since(a.CreatedAt) > time.Minute || a.CreatedAt.Location() != time.UTC || a.Limits.CPUs != 0.5 {
		t.Fatalf("put returned %+v", a)
	}
	equal(t, "get", must(f.GetTenant(ctx, "acme"))(t), a)
	b, created, err := f.PutTenant(ctx, a, none)
	if err != nil || created {
		t.Fatalf("put again: created %v, %v", created, err)
	}
	equal(t, "put again", b, a)
	a.Limits.MemoryMiB = 4096
	b, created, err = f.PutTenant(ctx, a, none)
	if err != nil || created || b.Revision != 2 || b.ID != a.ID || b.Limits != a.Limits || b.UpdatedAt.Before(b.CreatedAt) {
		t.Fatalf("put other limits: %+v, created %v, %v", b, created, err)
	}
	equal(t, "changes", f.Changes(), []string{"acme/"})
	_, err = f.GetTenant(ctx, "other")
	wantCode(t, "get another", err, hearth.CodeNotFound)

	f.Container("acme", "main")
	he := wantCode(t, "delete with children", f.DeleteTenant(ctx, "acme", false, none), hearth.CodeConflict)
	equal(t, "reason", he.Reason, "has_children")
	f.Put("hello", "1")
	f.Changes()
	if err := f.DeleteTenant(ctx, "acme", true, none); err != nil {
		t.Fatal(err)
	}
	equal(t, "changes", f.Changes(), []string{"acme/"})
	_, err = f.GetFunction(ctx, "acme", "main", "hello")
	wantCode(t, "get function of deleted tenant", err, hearth.CodeNotFound)
	wantCode(t, "delete again", f.DeleteTenant(ctx, "acme", true, none), hearth.CodeNotFound)
	if again := f.Tenant("acme"); again.ID == a.ID {
		t.Fatal("a tenant made again has the id of the old one")
	}
	_, err = f.GetContainer(ctx, "acme", "main")
	wantCode(t, "get container of a tenant made again", err, hearth.CodeNotFound)
}

func testContainers(t *testing.T, f *Fixture) {
	ctx := t.Context()
	_, _, err := f.PutContainer(ctx, "acme", hearth.Container{Name: "main"}, none)
	wantCode(t, "put below no tenant", err, hearth.CodeNotFound)
	f.Tenant("acme")
	want := hearth.Container{Name: "main", Isolation: "gvisor", Limits: hearth.ContainerLimits{MemoryMiB: 512, CPUs: 2, Pids: 64, TmpMiB: 32, MaxInstances: 3, Concurrency: 5}}
	c, created, err := f.PutContainer(ctx, "acme", want, none)
	if err != nil || !created || c.Limits != want.Limits || c.Isolation != "gvisor" || c.Tenant != "acme" || len(c.ID) != 26 {
		t.Fatalf("put: %+v, created %v, %v", c, created, err)
	}
	equal(t, "get", must(f.GetContainer(ctx, "acme", "main"))(t), c)
	equal(t, "put again", must2(f.PutContainer(ctx, "acme", want, none))(t), c)
	for _, l := range []hearth.ContainerLimits{{MemoryMiB: 2049}, {CPUs: 4.5}, {MaxInstances: 21}} {
		_, _, err := f.PutContainer(ctx, "acme", hearth.Container{Name: "main", Limits: l}, none)
		if he := wantCode(t, fmt.Sprint("put with ", l), err, hearth.CodeInvalid); len(he.Fields) != 1 || !strings.HasPrefix(he.Fields[0].Field, "limits.") {
			t.Fatalf("put with %v names no field: %+v", l, he)
		}
	}
	f.Changes()
	want.Isolation = ""
	c = must2(f.PutContainer(ctx, "acme", want, none))(t)
	equal(t, "revision", c.Revision, int64(2))
	equal(t, "changes", f.Changes(), []string{"acme/main"})

	f.Put("hello", "1")
	f.Changes()
	wantCode(t, "delete with children", f.DeleteContainer(ctx, "acme", "main", false, none), hearth.CodeConflict)
	if err := f.DeleteContainer(ctx, "acme", "main", true, none); err != nil {
		t.Fatal(err)
	}
	equal(t, "changes", f.Changes(), []string{"acme/main"})
	_, err = f.GetVersion(ctx, "acme", "main", "hello", 1)
	wantCode(t, "get version of deleted container", err, hearth.CodeNotFound)
	wantCode(t, "delete again", f.DeleteContainer(ctx, "acme", "main", true, none), hearth.CodeNotFound)
}

func testFunctions(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Tenant("acme")
	_, _, err := f.PutFunction(ctx, Document("hello", "1"))
	wantCode(t, "put below no container", err, hearth.CodeNotFound)
	f.Container("acme", "main")
	f.Changes()

	doc := Document("hello", "1")
	doc.Manifest.Config = []byte(`{"a": "<b>"}`)
	doc.Manifest.Dependencies = map[string]string{"z": "1", "a": "2"}
	value := "s3cret"
	doc.Secrets = map[string]*string{"TOKEN": &value, "ABSENT": nil}
	s, created, err := f.PutFunction(ctx, doc)
	if err != nil || !created {
		t.Fatalf("put: created %v, %v", created, err)
	}
	v := s.Latest
	if s.Active != nil || v == nil || v.Number != 1 || v.Status != hearth.StatusBuilding || v.FunctionID != s.ID || !v.SettledAt.IsZero() ||
		s.Revision != 1 || s.Function.Active != 0 || s.Function.Latest != 1 || len(s.ID) != 26 {
		t.Fatalf("put returned %+v, latest %+v", s, v)
	}
	equal(t, "config", string(v.Manifest.Config), `{"a":"<b>"}`)
	equal(t, "dependencies", v.Manifest.Dependencies, doc.Manifest.Dependencies)
	equal(t, "names of secrets", s.SecretNames, []string{"TOKEN"})
	equal(t, "get", f.Get("hello"), s)
	equal(t, "changes", f.Changes(), []string{"acme/main"})
	equal(t, "building before its packages are settled", len(must(f.Building(ctx))(t)), 0)
	equal(t, "unsettled", must(f.Unsettled(ctx))(t), []hearth.Version{*v})
	if err := f.SettleTree(ctx, *v, "", ""); err != nil {
		t.Fatal(err)
	}
	v.Settled = true
	equal(t, "building", must(f.Building(ctx))(t), []hearth.Version{*v})
	equal(t, "unsettled then", len(must(f.Unsettled(ctx))(t)), 0)
	f.Changes()

	if s = f.Ready("hello", 1); s.Active == nil || s.Active.Number != 1 || s.Active.Loaded.Model != hearth.ModelPromise || s.Active.SettledAt.IsZero() || s.Revision != 1 {
		t.Fatalf("after ready: %+v", s)
	}
	s = f.Put("hello", "2")
	if s.Latest.Number != 2 || s.Active.Number != 1 || s.Revision != 2 || s.Active.Digest == s.Latest.Digest {
		t.Fatalf("after a second put: %+v", s)
	}
	equal(t, "names of secrets that the put left out", s.SecretNames, []string{"TOKEN"})
	if s = f.Failed("hello", 2, "syntax"); s.Active.Number != 1 || s.Latest.Failure.Reason != "syntax" || s.Latest.Failure.Stack != "at index.js:1" {
		t.Fatalf("after a failure: %+v", s)
	}
	page, next, err := f.ListFunctions(ctx, "acme", "main", "", 0)
	if err != nil || next != "" || len(page) != 1 || page[0].Active.Number != 1 || page[0].Latest.Number != 2 {
		t.Fatalf("list: %+v, next %q, %v", page, next, err)
	}
	f.Changes()
	if err := f.DeleteFunction(ctx, "acme", "main", "hello", none); err != nil {
		t.Fatal(err)
	}
	equal(t, "changes", f.Changes(), []string{"acme/main"})
	_, err = f.GetFunction(ctx, "acme", "main", "hello")
	wantCode(t, "get deleted", err, hearth.CodeNotFound)
	wantCode(t, "delete again", f.DeleteFunction(ctx, "acme", "main", "hello", none), hearth.CodeNotFound)
	again := f.Put("hello", "1")
	if again.ID == s.ID || again.Latest.Number != 1 || len(again.SecretNames) != 0 {
		t.Fatalf("made again: %+v", again)
	}
	err = f.Settle(ctx, hearth.Version{Tenant: "acme", Container: "main", Function: "hello", FunctionID: s.ID, Number: 1, Status: hearth.StatusReady})
	wantCode(t, "settle a version of the deleted function", err, hearth.CodeNotFound)

	for what, files := range map[string][]hearth.File{
		"no files":        nil,
		"bad path":        {{Path: "../x"}},
		"a path twice":    {{Path: "x"}, {Path: "x"}},
		"file and folder": {{Path: "x/y"}, {Path: "x"}},
		"folder and file": {{Path: "x"}, {Path: "x/y/z"}},
	} {
		doc := Document("bad", "")
		doc.Files = files
		_, _, err := f.PutFunction(ctx, doc)
		wantCode(t, what, err, hearth.CodeInvalid)
	}
	big := Document("bad", "")
	big.Files[0].Data = make([]byte, hearth.LimitCodeBytes.Value+1)
	_, _, err = f.PutFunction(ctx, big)
	wantCode(t, "too much code", err, hearth.CodeTooLarge)
	bad := Document("bad", "")
	bad.Manifest.Config = []byte(`{`)
	_, _, err = f.PutFunction(ctx, bad)
	wantCode(t, "bad config", err, hearth.CodeInvalid)
	_, err = f.GetFunction(ctx, "acme", "main", "bad")
	wantCode(t, "get refused", err, hearth.CodeNotFound)
}

func testIdentical(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	first := f.Put("hello", "1")
	f.Changes()
	same := func(what string, want store.FunctionState) {
		t.Helper()
		got, created, err := f.PutFunction(ctx, Document("hello", "1"))
		if err != nil || created {
			t.Fatalf("%s: created %v, %v", what, created, err)
		}
		equal(t, what, got, want)
		equal(t, what+", changes", f.Changes(), []string(nil))
	}
	same("while building", first)
	ready := f.Ready("hello", 1)
	f.Changes()
	same("when ready", ready)

	doc := Document("hello", "1")
	value := "v"
	doc.Secrets = map[string]*string{"A": &value}
	s := must2(f.PutFunction(ctx, doc))(t)
	if s.Latest.Number != 1 || s.Revision != ready.Revision+1 {
		t.Fatalf("a new secret: %+v", s)
	}
	equal(t, "changes", f.Changes(), []string{"acme/main"})
	equal(t, "the same secret", must2(f.PutFunction(ctx, doc))(t), s)
	equal(t, "changes", f.Changes(), []string(nil))

	other := Document("hello", "1")
	other.Manifest.TimeoutMS++
	if s = must2(f.PutFunction(ctx, other))(t); s.Latest.Number != 2 {
		t.Fatalf("another manifest: %+v", s)
	}
	if s = f.Put("hello", "1"); s.Latest.Number != 3 {
		t.Fatalf("the first document again: %+v", s)
	}

	// What failed is tried again only if it may end otherwise.
	failed := f.Failed("hello", 3, "load")
	f.Changes()
	same("when failed", failed)
	if _, _, err := f.PutSecret(ctx, "acme", "main", "hello", "B", "x"); err != nil {
		t.Fatal(err)
	}
	if s = f.Put("hello", "1"); s.Latest.Number != 4 {
		t.Fatalf("after a failure and a new secret: %+v", s)
	}
	f.Failed("hello", 4, "platform")
	if s = f.Put("hello", "1"); s.Latest.Number != 5 {
		t.Fatalf("after a failure of the platform: %+v", s)
	}

	// After a rollback, the newest document put again is what shall serve.
	f.Ready("hello", 5)
	must(f.Rollback(ctx, "acme", "main", "hello", 1, none))(t)
	if s = f.Put("hello", "1"); s.Latest.Number != 5 || s.Active.Number != 5 {
		t.Fatalf("put after rollback: %+v", s)
	}
	f.Put("hello", "6")
	must(f.Rollback(ctx, "acme", "main", "hello", 1, none))(t)
	f.Put("hello", "6")
	if s = f.Ready("hello", 6); s.Active.Number != 6 {
		t.Fatalf("put of a building version after rollback: %+v", s)
	}
}

func testSettle(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	for i := range 4 {
		f.Put("hello", fmt.Sprint(i))
	}
	if s := f.Ready("hello", 3); s.Active.Number != 3 || s.Latest.Status != hearth.StatusBuilding {
		t.Fatalf("3 ready: %+v", s)
	}
	if s := f.Ready("hello", 2); s.Active.Number != 3 {
		t.Fatalf("an older one became active: %+v", s)
	}
	if s := f.Failed("hello", 4, "load"); s.Active.Number != 3 {
		t.Fatalf("a failed one became active: %+v", s)
	}
	f.Changes()
	if s := f.Ready("hello", 4); s.Latest.Status != hearth.StatusFailed || s.Active.Number != 3 {
		t.Fatalf("settled twice: %+v", s)
	}
	equal(t, "changes of settling twice", f.Changes(), []string(nil))
	f.Failed("hello", 1, "load")
	equal(t, "building", len(must(f.Building(ctx))(t)), 0)
	v := hearth.Version{Tenant: "acme", Container: "main", Function: "hello", Number: 9, Status: hearth.StatusReady}
	wantCode(t, "settle an unknown version", f.Settle(ctx, v), hearth.CodeNotFound)
	v.Number, v.Status = 4, hearth.StatusBuilding
	if err := f.Settle(ctx, v); err == nil {
		t.Fatal("settled as building")
	}
	f.Put("hello", "long")
	f.settle(hearth.Version{Tenant: "acme", Container: "main", Function: "hello", Number: 5, Status: hearth.StatusFailed,
		Failure: &hearth.Failure{Reason: "load", Message: strings.Repeat("\x01", 1<<20), Stack: strings.Repeat("é\xff", 1<<20)}})
	if s := f.Get("hello"); len(s.Latest.Failure.Message) != 16<<10 {
		t.Fatalf("a long message has %d bytes", len(s.Latest.Failure.Message))
	}
}

func testRollback(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	f.Put("hello", "1")
	f.Ready("hello", 1)
	f.Put("hello", "2")
	f.Ready("hello", 2)
	f.Put("hello", "3")
	f.Failed("hello", 3, "load")
	before := f.Put("hello", "4")
	f.Changes()
	roll := func(number int) (store.FunctionState, error) {
		return f.Rollback(ctx, "acme", "main", "hello", number, none)
	}
	for number, want := range map[int]hearth.Code{3: hearth.CodeConflict, 4: hearth.CodeConflict, 5: hearth.CodeNotFound, 0: hearth.CodeNotFound, -1: hearth.CodeNotFound} {
		_, err := roll(number)
		wantCode(t, fmt.Sprint("rollback to ", number), err, want)
	}
	equal(t, "changes", f.Changes(), []string(nil))
	s := must(roll(1))(t)
	if s.Active.Number != 1 || s.Revision != before.Revision+1 {
		t.Fatalf("rolled back: %+v", s)
	}
	equal(t, "changes", f.Changes(), []string{"acme/main"})
	equal(t, "rolled back again", must(roll(1))(t), s)
	equal(t, "changes", f.Changes(), []string(nil))
	if s = f.Ready("hello", 4); s.Active.Number != 1 {
		t.Fatalf("a version from before the rollback took over: %+v", s)
	}
	if s = must(roll(4))(t); s.Active.Number != 4 {
		t.Fatalf("rolled forward: %+v", s)
	}
	must(roll(1))(t)
	f.Put("hello", "5")
	if s = f.Ready("hello", 5); s.Active.Number != 5 {
		t.Fatalf("a version from after the rollback did not take over: %+v", s)
	}
	_, err := f.Rollback(ctx, "acme", "main", "other", 1, none)
	wantCode(t, "rollback of no function", err, hearth.CodeNotFound)
}

func testTrim(t *testing.T, f *Fixture) {
	f.Container("acme", "main")
	f.Put("hello", "1")
	f.Ready("hello", 1)
	for i := 2; i <= 30; i++ {
		f.Put("hello", fmt.Sprint(i))
	}
	page, _, err := f.ListVersions(t.Context(), "acme", "main", "hello", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []int
	for _, v := range page {
		got = append(got, v.Number)
	}
	for n := 30; n > 10; n-- {
		want = append(want, n)
	}
	equal(t, "kept versions", got, append(want, 1))
	if s := f.Get("hello"); s.Active.Number != 1 || s.Latest.Number != 30 {
		t.Fatalf("state: %+v", s)
	}
	f.Ready("hello", 30)
	f.Put("hello", "31")
	_, err = f.GetVersion(t.Context(), "acme", "main", "hello", 1)
	wantCode(t, "get a version that is not active any more", err, hearth.CodeNotFound)
}

func testSecrets(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	before := f.Put("hello", "1")
	f.Changes()
	values, zero, err := f.SecretValues(ctx, "acme", "main", "hello")
	if err != nil || len(values) != 0 {
		t.Fatalf("no secrets: %v, %v", values, err)
	}
	info, created, err := f.PutSecret(ctx, "acme", "main", "hello", "A", "one")
	if err != nil || !created || info.Name != "A" || time.Since(info.UpdatedAt) > time.Minute {
		t.Fatalf("put: %+v, created %v, %v", info, created, err)
	}
	equal(t, "changes", f.Changes(), []string{"acme/main"})
	if got := f.Get("hello").Revision; got != before.Revision+1 {
		t.Fatalf("revision of the function: %d", got)
	}
	again, created, err := f.PutSecret(ctx, "acme", "main", "hello", "A", "one")
	if err != nil || created || again != info || f.Changes() != nil {
		t.Fatalf("put again: %+v, created %v, %v", again, created, err)
	}
	_, created, err = f.PutSecret(ctx, "acme", "main", "hello", "A", "")
	if err != nil || created {
		t.Fatalf("put another value: created %v, %v", created, err)
	}
	must2(f.PutSecret(ctx, "acme", "main", "hello", "B", "\x00\xff"))(t)
	values, revision, err := f.SecretValues(ctx, "acme", "main", "hello")
	if err != nil || revision != zero+3 {
		t.Fatalf("values: revision %d after %d, %v", revision, zero, err)
	}
	equal(t, "values", values, map[string]string{"A": "", "B": "\x00\xff"})
	list := must(f.ListSecrets(ctx, "acme", "main", "hello"))(t)
	if len(list) != 2 || list[0].Name != "A" || list[1].Name != "B" {
		t.Fatalf("list: %+v", list)
	}
	if err := f.DeleteSecret(ctx, "acme", "main", "hello", "A"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "delete again", f.DeleteSecret(ctx, "acme", "main", "hello", "A"), hearth.CodeNotFound)
	equal(t, "names", f.Get("hello").SecretNames, []string{"B"})
	routes := must(f.Routes(ctx, "acme", "main"))(t)
	equal(t, "revision of the route", routes[0].SecretsRevision, zero+4)

	for _, name := range []string{"", "a-b", "1", "__proto__", strings.Repeat("x", 129)} {
		_, _, err := f.PutSecret(ctx, "acme", "main", "hello", name, "x")
		wantCode(t, "put "+name, err, hearth.CodeInvalid)
	}
	_, _, err = f.PutSecret(ctx, "acme", "main", "hello", "BIG", strings.Repeat("x", 64<<10+1))
	if he := wantCode(t, "put a big one", err, hearth.CodeInvalid); strings.Contains(he.Error(), "xxx") {
		t.Fatalf("the error tells the value: %v", he)
	}
	must2(f.PutSecret(ctx, "acme", "main", "hello", "BIG", strings.Repeat("x", 64<<10)))(t)
	_, _, err = f.PutSecret(ctx, "acme", "main", "other", "A", "x")
	wantCode(t, "put for no function", err, hearth.CodeNotFound)
	_, err = f.ListSecrets(ctx, "acme", "main", "other")
	wantCode(t, "list for no function", err, hearth.CodeNotFound)
	_, _, err = f.SecretValues(ctx, "acme", "main", "other")
	wantCode(t, "values for no function", err, hearth.CodeNotFound)

	doc := Document("many", "1")
	doc.Secrets = map[string]*string{}
	for i := range 101 {
		doc.Secrets[fmt.Sprint("S", i)] = new(string)
	}
	_, _, err = f.PutFunction(ctx, doc)
	wantCode(t, "put with 101 secrets", err, hearth.CodeInvalid)
	_, err = f.GetFunction(ctx, "acme", "main", "many")
	wantCode(t, "get what was refused", err, hearth.CodeNotFound)
	delete(doc.Secrets, "S0")
	must2(f.PutFunction(ctx, doc))(t)
	_, _, err = f.PutSecret(ctx, "acme", "main", "many", "S0", "x")
	wantCode(t, "put the 101st", err, hearth.CodeInvalid)
}

func testRoutes(t *testing.T, f *Fixture) {
	ctx := t.Context()
	c := f.Container("acme", "main")
	f.Container("acme", "side")
	f.Container("zeta", "main")
	f.Put("hello", "1")
	r := must(f.Routes(ctx, "acme", "main"))(t)
	if len(r) != 1 || r[0].Active != 0 || r[0].LatestStatus != hearth.StatusBuilding || r[0].ContainerID != c.ID || r[0].Digest != "" {
		t.Fatalf("routes while building: %+v", r)
	}
	s := f.Ready("hello", 1)
	doc := Document("other", "1")
	doc.Tenant = "zeta"
	must2(f.PutFunction(ctx, doc))(t)
	r = must(f.Routes(ctx, "acme", ""))(t)
	want := hearth.Route{Tenant: "acme", Container: "main", Function: "hello", ContainerID: c.ID, FunctionID: s.ID, Active: 1,
		LatestStatus: hearth.StatusReady, Digest: s.Active.Digest, Manifest: s.Active.Manifest, Loaded: s.Active.Loaded,
		Limits: hearth.DefaultContainerLimits(), TenantMaxInstances: hearth.DefaultTenantLimits().MaxInstances}
	equal(t, "routes of a tenant", r, []hearth.Route{want})
	equal(t, "routes of the node", len(must(f.Routes(ctx, "", ""))(t)), 2)
	equal(t, "routes of an empty container", len(must(f.Routes(ctx, "acme", "side"))(t)), 0)
	f.Put("hello", "2")
	if got := f.Failed("hello", 2, "load"); got.Active.Number != 1 {
		t.Fatal("not active")
	}
	want.LatestStatus = hearth.StatusFailed
	equal(t, "routes after a failure", must(f.Routes(ctx, "acme", "main"))(t), []hearth.Route{want})
	must2(f.PutTenant(ctx, hearth.Tenant{Name: "acme", Limits: hearth.TenantLimits{MemoryMiB: 128, MaxInstances: 2}}, none))(t)
	want.Limits.MemoryMiB, want.Limits.MaxInstances, want.TenantMaxInstances = 128, 2, 2
	equal(t, "routes after the tenant's limits were lowered", must(f.Routes(ctx, "acme", "main"))(t), []hearth.Route{want})
}

func testPreconditions(t *testing.T, f *Fixture) {
	ctx := t.Context()
	onlyNew, any, wrong := store.Precondition{IfNoneMatch: true}, store.Precondition{IfMatch: "*"}, store.Precondition{IfMatch: `"x-1"`}
	limits := int64(0)
	kinds := map[string]struct {
		put  func(p store.Precondition) (etag string, err error)
		drop func(p store.Precondition) error
	}{
		"tenant": {func(p store.Precondition) (string, error) {
			limits++
			v, _, err := f.PutTenant(ctx, hearth.Tenant{Name: "t", Limits: hearth.TenantLimits{MemoryMiB: int(limits)}}, p)
			return store.ETag(v.ID, v.Revision), err
		}, func(p store.Precondition) error { return f.DeleteTenant(ctx, "t", false, p) }},
		"container": {func(p store.Precondition) (string, error) {
			limits++
			v, _, err := f.PutContainer(ctx, "acme", hearth.Container{Name: "t", Limits: hearth.ContainerLimits{Pids: int(limits)}}, p)
			return store.ETag(v.ID, v.Revision), err
		}, func(p store.Precondition) error { return f.DeleteContainer(ctx, "acme", "t", false, p) }},
		"function": {func(p store.Precondition) (string, error) {
			limits++
			d := Document("t", fmt.Sprint(limits))
			d.Precondition = p
			v, _, err := f.PutFunction(ctx, d)
			return store.ETag(v.ID, v.Revision), err
		}, func(p store.Precondition) error { return f.DeleteFunction(ctx, "acme", "main", "t", p) }},
	}
	f.Container("acme", "main")
	for _, kind := range []string{"tenant", "container", "function"} {
		k := kinds[kind]
		_, err := k.put(any)
		wantCode(t, kind+": If-Match * on nothing", err, hearth.CodePreconditionFailed)
		wantCode(t, kind+": delete nothing", k.drop(any), hearth.CodeNotFound)
		first := must(k.put(onlyNew))(t)
		_, err = k.put(onlyNew)
		wantCode(t, kind+": If-None-Match again", err, hearth.CodePreconditionFailed)
		_, err = k.put(wrong)
		wantCode(t, kind+": wrong If-Match", err, hearth.CodePreconditionFailed)
		second := must(k.put(store.Precondition{IfMatch: `"a", ` + first}))(t)
		if second == first {
			t.Fatalf("%s: the ETag stayed %s", kind, first)
		}
		_, err = k.put(store.Precondition{IfMatch: first})
		wantCode(t, kind+": old If-Match", err, hearth.CodePreconditionFailed)
		_, err = k.put(store.Precondition{IfMatch: "W/" + second})
		wantCode(t, kind+": weak If-Match", err, hearth.CodePreconditionFailed)
		third := must(k.put(any))(t)
		wantCode(t, kind+": delete with old If-Match", k.drop(store.Precondition{IfMatch: second}), hearth.CodePreconditionFailed)
		if err := k.drop(store.Precondition{IfMatch: third}); err != nil {
			t.Fatalf("%s: delete: %v", kind, err)
		}
		again := must(k.put(none))(t)
		if again == first {
			t.Fatalf("%s: made again with the old ETag %s", kind, again)
		}
	}
	_, err := f.Rollback(ctx, "acme", "main", "t", 1, wrong)
	wantCode(t, "rollback with wrong If-Match", err, hearth.CodePreconditionFailed)
}

func testLists(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	f.Container("zeta", "main")
	var want []string
	for i := range 7 {
		name := fmt.Sprintf("f%d", i)
		want = append(want, name)
		f.Put(name, "1")
		f.Container("acme", name)
	}
	for i := range 7 {
		f.Put("f0", fmt.Sprint("v", i))
	}
	walk := func(what string, page func(cursor string, limit int) ([]string, string, error), want []string) {
		t.Helper()
		var all []string
		cursor, pages := "", 0
		for {
			items, next, err := page(cursor, 3)
			if err != nil || len(items) > 3 {
				t.Fatalf("%s: %d items, %v", what, len(items), err)
			}
			all = append(all, items...)
			pages++
			if cursor = next; next == "" {
				break
			}
		}
		equal(t, what, all, want)
		equal(t, what+", pages", pages, (len(want)+2)/3)
		_, next, err := page("", len(want))
		if err != nil || next != "" {
			t.Fatalf("%s: a page of just all has a next %q, %v", what, next, err)
		}
		for _, limit := range []int{-1, 101} {
			_, _, err := page("", limit)
			wantCode(t, fmt.Sprint(what, ": limit ", limit), err, hearth.CodeInvalid)
		}
		_, foreign, _ := f.ListFunctions(ctx, "acme", "main", "", 1)
		_, version, _ := f.ListVersions(ctx, "acme", "main", "f0", "", 1)
		for _, cursor := range []string{"x", "a b", foreign + "=", foreign[:4], foreign + "AA", strings.Repeat("A", 200)} {
			_, _, err := page(cursor, 3)
			wantCode(t, what+": cursor "+cursor, err, hearth.CodeInvalid)
		}
		for _, cursor := range []string{foreign, version} {
			if _, _, err := page(cursor, 3); what != "functions" && what != "versions" {
				wantCode(t, what+": cursor of another list", err, hearth.CodeInvalid)
			}
		}
	}
	walk("containers", func(cursor string, limit int) (names []string, next string, err error) {
		page, next, err := f.ListContainers(ctx, "acme", cursor, limit)
		for _, c := range page {
			names = append(names, c.Name)
		}
		return names, next, err
	}, append(slices.Clone(want), "main"))
	walk("functions", func(cursor string, limit int) (names []string, next string, err error) {
		page, next, err := f.ListFunctions(ctx, "acme", "main", cursor, limit)
		for _, c := range page {
			names = append(names, c.Name)
		}
		return names, next, err
	}, want)
	walk("tenants", func(cursor string, limit int) (names []string, next string, err error) {
		page, next, err := f.ListTenants(ctx, cursor, limit)
		for _, c := range page {
			names = append(names, c.Name)
		}
		return names, next, err
	}, []string{"acme", "zeta"})
	walk("versions", func(cursor string, limit int) (numbers []string, next string, err error) {
		page, next, err := f.ListVersions(ctx, "acme", "main", "f0", cursor, limit)
		for _, v := range page {
			numbers = append(numbers, fmt.Sprint(v.Number))
		}
		return numbers, next, err
	}, []string{"8", "7", "6", "5", "4", "3", "2", "1"})
	_, cursor, _ := f.ListFunctions(ctx, "acme", "main", "", 1)
	_, _, err := f.ListFunctions(ctx, "zeta", "main", cursor, 1)
	wantCode(t, "cursor of another tenant", err, hearth.CodeInvalid)
	_, _, err = f.ListContainers(ctx, "none", "", 1)
	wantCode(t, "list of no tenant", err, hearth.CodeNotFound)
	_, _, err = f.ListFunctions(ctx, "acme", "none", "", 1)
	wantCode(t, "list of no container", err, hearth.CodeNotFound)
	_, _, err = f.ListVersions(ctx, "acme", "main", "none", "", 1)
	wantCode(t, "list of no function", err, hearth.CodeNotFound)
}

// Every method that names an object, asked by the wrong tenant, does what it does for nothing at all.
func testTenancy(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	f.Container("evil", "other")
	f.Put("hello", "1")
	f.Ready("hello", 1)
	must2(f.PutSecret(ctx, "acme", "main", "hello", "A", "canary"))(t)
	before := f.Get("hello")
	f.Changes()
	for name, call := range map[string]func() error{
		"GetContainer":    func() error { _, err := f.GetContainer(ctx, "evil", "main"); return err },
		"DeleteContainer": func() error { return f.DeleteContainer(ctx, "evil", "main", true, none) },
		"GetFunction":     func() error { _, err := f.GetFunction(ctx, "evil", "main", "hello"); return err },
		"PutFunction": func() error {
			d := Document("hello", "2")
			d.Tenant = "evil"
			_, _, err := f.PutFunction(ctx, d)
			return err
		},
		"ListFunctions":  func() error { _, _, err := f.ListFunctions(ctx, "evil", "main", "", 0); return err },
		"DeleteFunction": func() error { return f.DeleteFunction(ctx, "evil", "main", "hello", none) },
		"ListVersions":   func() error { _, _, err := f.ListVersions(ctx, "evil", "main", "hello", "", 0); return err },
		"GetVersion":     func() error { _, err := f.GetVersion(ctx, "evil", "main", "hello", 1); return err },
		"Rollback":       func() error { _, err := f.Rollback(ctx, "evil", "main", "hello", 1, none); return err },
		"Settle": func() error {
			return f.Settle(ctx, hearth.Version{Tenant: "evil", Container: "main", Function: "hello", FunctionID: before.ID, Number: 1, Status: hearth.StatusReady})
		},
		"ListSecrets":  func() error { _, err := f.ListSecrets(ctx, "evil", "main", "hello"); return err },
		"PutSecret":    func() error { _, _, err := f.PutSecret(ctx, "evil", "main", "hello", "A", "x"); return err },
		"DeleteSecret": func() error { return f.DeleteSecret(ctx, "evil", "main", "hello", "A") },
		"SecretValues": func() error { _, _, err := f.SecretValues(ctx, "evil", "main", "hello"); return err },
	} {
		wantCode(t, name, call(), hearth.CodeNotFound)
	}
	equal(t, "Routes", len(must(f.Routes(ctx, "evil", ""))(t)), 0)
	equal(t, "the function", f.Get("hello"), before)
	equal(t, "changes", f.Changes(), []string(nil))
}

func testCode(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	doc := Document("hello", "1")
	doc.Files = []hearth.File{
		{Path: "z.js", Data: []byte("z")}, {Path: "a/empty", Data: []byte{}}, {Path: "a-b", Data: []byte("\x00\xff")},
		{Path: strings.Repeat("long/", 20) + strings.Repeat("ü", 100), Data: []byte("long")},
		{Path: "big", Data: []byte(strings.Repeat("big", 1<<20))},
	}
	s := must2(f.PutFunction(ctx, doc))(t)
	got := must(f.Code(ctx, s.Latest.Digest))(t)
	want := slices.SortedFunc(slices.Values(doc.Files), func(a, b hearth.File) int { return strings.Compare(a.Path, b.Path) })
	equal(t, "code", got, want)
	slices.Reverse(doc.Files)
	equal(t, "the same files in another order", must2(f.PutFunction(ctx, doc))(t), s)
	_, err := f.Code(ctx, "sha256-"+strings.Repeat("0", 64))
	equal(t, "reason of missing code", wantCode(t, "missing code", err, hearth.CodeUnavailable).Reason, "code_missing")
	for _, digest := range []string{"", "../../x", "sha256-", "sha256-" + strings.Repeat("A", 64)} {
		if _, err := f.Code(ctx, digest); err == nil {
			t.Fatalf("code of %q: no error", digest)
		}
	}
}

// What a version is without types is that version's alone, and goes with it.
func testStripped(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	keep := func(name, bare string) hearth.Version {
		v := *f.Put(name, "the same code").Latest
		digest, err := f.KeepStripped(ctx, v.FunctionID, v.Number, []hearth.File{{Path: "index.ts", Data: []byte(bare)}})
		if err != nil {
			t.Fatal(err)
		}
		v.Status, v.Loaded, v.Stripped = hearth.StatusReady, hearth.Loaded{Model: hearth.ModelFetch}, digest
		if err := f.Settle(ctx, v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	read := func(v hearth.Version) string {
		files, err := f.StrippedCode(ctx, v.FunctionID, v.Number, v.Stripped)
		if err != nil || len(files) != 1 || files[0].Path != "index.ts" {
			t.Fatalf("stripped code of %s: %v, %v", v.Function, files, err)
		}
		return string(files[0].Data)
	}
	mine, yours := keep("mine", "mine"), keep("yours", "yours")
	if mine.Digest != yours.Digest || mine.Stripped == yours.Stripped {
		t.Fatalf("digests %q and %q", mine.Stripped, yours.Stripped)
	}
	equal(t, "stripped code", read(mine)+" "+read(yours), "mine yours")
	_, err := f.StrippedCode(ctx, mine.FunctionID, mine.Number, yours.Stripped)
	equal(t, "reason", wantCode(t, "another version's digest", err, hearth.CodeUnavailable).Reason, "code_damaged")
	got, err := f.GetVersion(ctx, "acme", "main", "mine", 1)
	if err != nil || got.Stripped != mine.Stripped || got.Loaded != mine.Loaded {
		t.Fatalf("version: %+v, %v", got, err)
	}
	routes, err := f.Routes(ctx, "acme", "main")
	if err != nil || len(routes) != 2 || routes[0].Stripped == "" || routes[0].Stripped == routes[1].Stripped || routes[0].Loaded != mine.Loaded {
		t.Fatalf("routes: %+v, %v", routes, err)
	}
	failed := *f.Put("failed", "bad").Latest
	if failed.Stripped, err = f.KeepStripped(ctx, failed.FunctionID, failed.Number, []hearth.File{{Path: "index.ts"}}); err != nil {
		t.Fatal(err)
	}
	building := *f.Put("building", "bad").Latest // a node died between keeping and settling
	if building.Stripped, err = f.KeepStripped(ctx, building.FunctionID, building.Number, []hearth.File{{Path: "index.ts"}}); err != nil {
		t.Fatal(err)
	}
	failed.Status, failed.Failure = hearth.StatusFailed, &hearth.Failure{Reason: "load"}
	if err := f.Settle(ctx, failed); err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteFunction(ctx, "acme", "main", "yours", none); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Sweep(ctx, -time.Hour); n != 2 || err != nil {
		t.Fatalf("sweep: %d, %v; want those of the failed and the deleted", n, err)
	}
	equal(t, "stripped code after the sweep", read(mine), "mine")
	must(f.StrippedCode(ctx, building.FunctionID, building.Number, building.Stripped))(t)
	for _, v := range []hearth.Version{yours, failed} {
		_, err := f.StrippedCode(ctx, v.FunctionID, v.Number, v.Stripped)
		equal(t, "reason", wantCode(t, "swept code of "+v.Function, err, hearth.CodeUnavailable).Reason, "code_missing")
	}
}

func testSweep(t *testing.T, f *Fixture) {
	ctx := t.Context()
	f.Container("acme", "main")
	kept := f.Put("kept", "kept").Latest.Digest
	f.Put("shared", "kept")
	gone := f.Put("gone", "gone").Latest.Digest
	for _, name := range []string{"gone", "shared"} {
		if err := f.DeleteFunction(ctx, "acme", "main", name, none); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := f.Sweep(ctx, time.Hour); n != 0 || err != nil {
		t.Fatalf("sweep of what is an hour old: %d, %v", n, err)
	}
	must(f.Code(ctx, gone))(t)
	if n, err := f.Sweep(ctx, -time.Hour); n != 1 || err != nil {
		t.Fatalf("sweep: %d, %v", n, err)
	}
	_, err := f.Code(ctx, gone)
	wantCode(t, "swept code", err, hearth.CodeUnavailable)
	must(f.Code(ctx, kept))(t)

	// Deploys of code that others delete, under a sweep that spares nothing for its age.
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			name := fmt.Sprint("w", i)
			for range 15 {
				s, _, err := f.PutFunction(ctx, Document(name, "contended"))
				if err == nil {
					_, err = f.Code(ctx, s.Latest.Digest)
				}
				if err == nil {
					err = f.DeleteFunction(ctx, "acme", "main", name, none)
				}
				if err != nil {
					t.Errorf("deploy under sweep: %v", err)
				}
			}
		})
	}
	stop := make(chan struct{})
	var sweeps sync.WaitGroup
	sweeps.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := f.Sweep(ctx, -time.Hour); err != nil {
					t.Errorf("sweep: %v", err)
				}
			}
		}
	})
	wg.Wait()
	close(stop)
	sweeps.Wait()
}

func testIdempotency(t *testing.T, f *Fixture) {
	ctx := t.Context()
	a, claim, err := f.Begin(ctx, "s", "k", "print")
	if a != nil || err != nil {
		t.Fatalf("begin: %v, %v", a, err)
	}
	_, _, err = f.Begin(ctx, "s", "k", "print")
	equal(t, "reason", wantCode(t, "begin meanwhile", err, hearth.CodeConflict).Reason, "idempotency_key_in_progress")
	_, _, err = f.Begin(ctx, "s", "k", "other")
	equal(t, "reason", wantCode(t, "begin another request meanwhile", err, hearth.CodeInvalid).Reason, "idempotency_key_reused")
	if err := f.Abandon(ctx, claim); err != nil {
		t.Fatal(err)
	}
	_, claim2, err := f.Begin(ctx, "s", "k", "other")
	if err != nil {
		t.Fatalf("begin after abandon: %v", err)
	}
	if err := f.Finish(ctx, claim, store.Answer{Status: 500}); err != nil { // a claim that is no more
		t.Fatal(err)
	}
	want := store.Answer{Status: 201, Header: map[string]string{"ETag": `"x"`}, Body: []byte("body")}
	if err := f.Finish(ctx, claim2, want); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		a, _, err = f.Begin(ctx, "s", "k", "other")
		if err != nil || a == nil {
			t.Fatalf("begin after finish: %v, %v", a, err)
		}
		equal(t, "answer", *a, want)
	}
	if err := f.Abandon(ctx, claim2); err != nil {
		t.Fatal(err)
	}
	if a, _, err = f.Begin(ctx, "s", "k", "other"); a == nil || err != nil {
		t.Fatalf("abandon after finish took the answer away: %v", err)
	}
	if a, _, err = f.Begin(ctx, "another scope", "k", "print"); a != nil || err != nil {
		t.Fatalf("begin in another scope: %v, %v", a, err)
	}
	_, claim, err = f.Begin(ctx, "s", "big", "p")
	if err == nil {
		err = f.Finish(ctx, claim, store.Answer{Status: 200, Body: make([]byte, 1<<20+1)})
	}
	if a, _, err2 := f.Begin(ctx, "s", "big", "p"); a != nil || errors.Join(err, err2) != nil {
		t.Fatalf("an answer too large: %v, %v, %v", a, err, err2)
	}
	for _, key := range []string{"", strings.Repeat("k", 256)} {
		_, _, err := f.Begin(ctx, "s", key, "p")
		wantCode(t, "begin with a bad key", err, hearth.CodeInvalid)
	}
	// Of many at once, one gets the claim.
	var wg sync.WaitGroup
	var mu sync.Mutex
	claims := 0
	for range 20 {
		wg.Go(func() {
			if _, _, err := f.Begin(ctx, "s", "race", "p"); err == nil {
				mu.Lock()
				claims++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	equal(t, "claims", claims, 1)
}
