package handler_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth"
	"hearth/internal/handler"
	"hearth/internal/pool/pooltest"
)

// A hot function is deployed again and again: no call fails, none is cold, and none that begins after
// a deploy's acknowledgement is answered by an older version.
func TestDeployUnderLoad(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 4})
	x.deploy("t", "c", "other", "code")
	x.deploy("t", "c", "f", "code")
	for _, f := range []string{"f", "other"} {
		if _, _, err := x.call(t.Context(), "t", "c", f); err != nil {
			t.Fatal(err)
		}
	}
	var acked atomic.Int64
	acked.Store(1)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var calls, cold atomic.Int64
	for n := range 4 {
		wg.Go(func() {
			last := int64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				least := acked.Load()
				name := "f"
				if n == 3 {
					name = "other"
				}
				body, g, err := x.call(t.Context(), "t", "c", name)
				if err != nil {
					t.Errorf("call: %v", err)
					return
				}
				calls.Add(1)
				if g.Start != hearth.StartWarm {
					cold.Add(1)
				}
				if name == "other" {
					continue
				}
				v, _ := strconv.ParseInt(strings.TrimPrefix(body, "t/c/f/"), 10, 64)
				if v < least || v < last {
					t.Errorf("version %d answered, %d was acknowledged before and %d seen", v, least, last)
					return
				}
				last = v
				time.Sleep(time.Millisecond)
			}
		})
	}
	for range 50 {
		v := x.deploy("t", "c", "f", "code")
		if v.Status != hearth.StatusReady {
			t.Errorf("%+v", v)
		}
		acked.Store(int64(v.Number))
	}
	close(stop)
	wg.Wait()
	t.Logf("%d calls, %d cold", calls.Load(), cold.Load())
	if cold.Load() != 0 {
		t.Errorf("%d cold calls during deploys, want 0", cold.Load())
	}
	x.until("one instance of the last version", func() bool { return len(x.w.Assigned()) == 1 })
}

func TestSecretsAndDeletionsHoldWhenTheChangeReturns(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 4})
	x.w.Serve = func(w http.ResponseWriter, r *http.Request, i *pooltest.Instance, m pooltest.Manifest) {
		io.WriteString(w, m.Secrets["K"])
	}
	x.deploy("t", "c", "f", "code")
	x.deploy("t", "c", "g", "code")
	for n := range 10 {
		want := fmt.Sprint("secret ", n)
		began := time.Now()
		x.st.change("t", "c", "f", func(f *fn) { f.secrets = map[string]string{"K": want}; f.revision++ })
		if took := time.Since(began); took > time.Second {
			t.Errorf("a changed secret took %s", took)
		}
		if body, _, err := x.call(t.Context(), "t", "c", "f"); err != nil || body != want {
			t.Fatalf("%q, %v; want %q", body, err, want)
		}
		if _, _, err := x.call(t.Context(), "t", "c", "g"); err != nil {
			t.Fatal(err)
		}
	}
	slow, err := x.place(t.Context(), "t", "c", "f")
	if err != nil {
		t.Fatal(err)
	}
	r := x.h.Route("t", "c", "f")
	x.st.remove("t", "c", "f")
	if x.h.Route("t", "c", "f") != nil {
		t.Error("a route to a deleted function")
	}
	if _, err := x.h.Acquire(t.Context(), r); hearth.CodeOf(err) != hearth.CodeNotFound {
		t.Errorf("an old route to a deleted function: %v", err)
	}
	if _, err := exchange(t.Context(), slow); err != nil {
		t.Errorf("a request in flight while its function was deleted: %v", err)
	}
	slow.Release(handler.OK)
	x.until("the old instance's end", func() bool { return x.w.Get(slow.Instance.ID()) == nil })
	if _, _, err := x.call(t.Context(), "t", "c", "g"); err != nil {
		t.Errorf("the other function: %v", err)
	}
	x.st.remove("t", "c", "g")
	x.until("no instance", func() bool { return len(x.w.Assigned()) == 0 })
	// The same names again are another container, with version 1 again.
	x.deploy("t", "c", "g", "new")
	if _, _, err := x.call(t.Context(), "t", "c", "g"); err != nil {
		t.Error(err)
	}
}

func TestRollbackServesTheOldVersionAgain(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 4})
	x.deploy("t", "c", "f", "one")
	x.deploy("t", "c", "f", "two")
	for _, want := range []int{2, 1, 2, 1} {
		x.st.change("t", "c", "f", func(f *fn) { f.active = want })
		if body, _, err := x.call(t.Context(), "t", "c", "f"); err != nil || body != fmt.Sprint("t/c/f/", want) {
			t.Fatalf("%q, %v; want version %d", body, err, want)
		}
	}
}

// Ten kinds of broken: each fails with its reason, and the old version goes on.
func TestBrokenVersionsFailAndTheOldOneServes(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 4, config: handler.Config{Load: 300 * time.Millisecond}})
	x.w.Load = func(w http.ResponseWriter, r *http.Request, i *pooltest.Instance, m pooltest.Manifest, code string) {
		switch reason, message, _ := strings.Cut(code, ":"); reason {
		case "syntax", "load", "shape":
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprintf(w, `{"reason":%q,"message":%q,"stack":"at index.js:1"}`, reason, message)
		case "exit", "oom":
			go i.Kill(reason == "oom")
			<-r.Context().Done()
		case "timeout":
			<-r.Context().Done()
		default:
			pooltest.Loaded(w)
		}
	}
	x.deploy("t", "c", "f", "good")
	for _, served := range []bool{false, true} {
		for _, c := range []string{"syntax:Unexpected token", "load:Cannot find module 'x'", "shape:no shape", "exit", "oom", "timeout"} {
			reason, message, _ := strings.Cut(c, ":")
			v := x.deploy("t", "c", "f", c)
			if v.Status != hearth.StatusFailed || v.Failure == nil || v.Failure.Reason != reason || !strings.Contains(v.Failure.Message, message) || v.Failure.Message == "" {
				t.Errorf("%s: %s, %+v", c, v.Status, v.Failure)
			}
			if !served {
				continue
			}
			body, g, err := x.call(t.Context(), "t", "c", "f")
			if err != nil || body != "t/c/f/1" || g.Start != hearth.StartWarm {
				t.Errorf("after %s: %q, %s, %v", c, body, g.Start, err)
			}
		}
		if _, _, err := x.call(t.Context(), "t", "c", "f"); err != nil {
			t.Fatal(err)
		}
	}
	x.until("only the serving one", func() bool { return len(x.w.Assigned()) == 1 })
	x.deploy("t", "c", "new", "syntax:x")
	if _, _, err := x.call(t.Context(), "t", "c", "new"); func() bool { c, r := code(err); return c != hearth.CodeUnavailable || r != "failed" }() {
		t.Errorf("a function without a version that loads: %v", err)
	}
}

// What Hearth itself cannot do is tried again and is not the version's failure.
func TestPlatformTroubleIsRetried(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 2})
	var broken atomic.Int64
	broken.Store(3)
	x.w.OnLabel = func(string, string) error {
		if broken.Add(-1) >= 0 {
			return errors.New("the warden is busy")
		}
		return nil
	}
	n := x.st.put("t", "c", "f", "code")
	if _, _, err := x.call(t.Context(), "t", "c", "f"); func() bool { c, r := code(err); return c != hearth.CodeUnavailable || r != "building" }() {
		t.Errorf("while it is built: %v", err)
	}
	if err := x.h.Settled(t.Context(), "t", "c", "f", n); err != nil {
		t.Fatal(err)
	}
	if v := x.st.version("t", "c", "f", n); v.Status != hearth.StatusReady {
		t.Errorf("%+v", v)
	}
}

func TestVersionsOvertakenAreSettledToo(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 2})
	x.w.Load = func(w http.ResponseWriter, r *http.Request, i *pooltest.Instance, m pooltest.Manifest, code string) {
		if code == "bad" {
			w.WriteHeader(422)
			io.WriteString(w, `{"reason":"syntax","message":"bad"}`)
			return
		}
		pooltest.Loaded(w)
	}
	for n := range 20 {
		c := "good"
		if n%2 == 1 {
			c = "bad"
		}
		x.st.put("t", "c", "f", c)
	}
	for n := 1; n <= 20; n++ {
		if err := x.h.Settled(t.Context(), "t", "c", "f", n); err != nil {
			t.Fatal(err)
		}
		want := hearth.StatusReady
		if n%2 == 0 {
			want = hearth.StatusFailed
		}
		if v := x.st.version("t", "c", "f", n); v.Status != want {
			t.Errorf("version %d is %s, want %s", n, v.Status, want)
		}
	}
	if body, _, err := x.call(t.Context(), "t", "c", "f"); err != nil || body != "t/c/f/19" {
		t.Errorf("%q, %v", body, err)
	}
}

// One tenant deploys a hundred functions; another's single deploy does not wait for them.
func TestTrialsTakeTurnsByTenant(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 4})
	x.w.Load = func(w http.ResponseWriter, r *http.Request, i *pooltest.Instance, m pooltest.Manifest, code string) {
		time.Sleep(5 * time.Millisecond)
		pooltest.Loaded(w)
	}
	for n := range 60 {
		x.st.put("many", "c", fmt.Sprintf("f%d", n), "code")
	}
	x.deploy("one", "c", "f", "code")
	left, _ := x.st.Building(t.Context())
	if len(left) < 30 {
		t.Errorf("only %d of the other tenant's 60 were left", len(left))
	}
}

// Versions that never finish loading hold up their own tenant's deploys, nobody else's.
func TestEndlessTrialsLeaveRoom(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 4})
	stuck := make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(stuck) }))
	x.w.Load = func(w http.ResponseWriter, r *http.Request, i *pooltest.Instance, m pooltest.Manifest, code string) {
		if m.Tenant == "stuck" {
			select {
			case <-stuck:
			case <-r.Context().Done():
			}
		}
		pooltest.Loaded(w)
	}
	for n := range 10 {
		x.st.put("stuck", "c", fmt.Sprintf("f%d", n), "code")
	}
	for n := range 3 {
		if v := x.deploy(fmt.Sprintf("t%d", n), "c", "f", "code"); v.Status != hearth.StatusReady {
			t.Errorf("the deploy ended as %s", v.Status)
		}
	}
	if left, _ := x.st.Building(t.Context()); len(left) != 10 {
		t.Errorf("%d versions are being tried or wait, want the 10 that never end", len(left))
	}
}

func TestBuildingVersionsAreResumed(t *testing.T) {
	t.Parallel()
	st := newMemory()
	st.put("t", "c", "f", "code")
	x := newWorld(t, options{size: 2, st: st})
	if err := x.h.Settled(t.Context(), "t", "c", "f", 1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.call(t.Context(), "t", "c", "f"); err != nil {
		t.Error(err)
	}
}

// A version that is made while the store is being asked is not in the answer, and its deploy must
// not take that for settled.
func TestDeployWhileTheStoreIsAsked(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 2})
	x.deploy("t", "c", "other", "code")
	settled := make(chan hearth.Version, 1)
	x.st.mu.Lock()
	x.st.read = sync.OnceFunc(func() {
		go func() { settled <- x.deploy("t", "c", "f", "code") }() // waited for below
		x.until("the deploy to wait", func() bool { return x.h.Waiting() == 2 })
	})
	x.st.mu.Unlock()
	x.h.Settled(t.Context(), "t", "c", "other", 1) // makes the handler ask
	if v := <-settled; v.Status != hearth.StatusReady {
		t.Errorf("the deploy was acknowledged as %s", v.Status)
	}
}

func TestRefreshIsTriedAgainAfterTheStoreFailed(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 2})
	x.deploy("t", "c", "f", "code")
	var broken atomic.Bool
	x.st.mu.Lock()
	x.st.fail = func(string) error {
		if broken.Load() {
			return errors.New("away")
		}
		return nil
	}
	x.st.mu.Unlock()
	broken.Store(true)
	x.st.remove("t", "c", "f")
	if x.h.Route("t", "c", "f") == nil {
		t.Fatal("the routes changed although the store was away")
	}
	broken.Store(false)
	x.until("the deletion", func() bool { return x.h.Route("t", "c", "f") == nil })
}

func TestAdoption(t *testing.T) {
	t.Parallel()
	old := newWorld(t, options{size: 2, keep: true})
	for _, f := range []string{"f", "g"} {
		old.deploy("t", "c", f, "code")
		old.deploy("t", "stale", f, "code")
		old.deploy("t", "gone", f, "code")
	}
	ids := map[string]string{}
	for _, c := range []string{"c", "stale", "gone"} {
		for _, f := range []string{"f", "g"} {
			_, g, err := old.call(t.Context(), "t", c, f)
			if err != nil {
				t.Fatal(err)
			}
			ids[c] = g.Instance.ID()
		}
	}
	old.stop()
	// While nobody looked: a version became active, a container went, an instance was given a label
	// and no code, and one hangs.
	old.st.changed = func(string, string) {}
	old.st.change("t", "stale", "g", func(f *fn) { f.revision++ })
	old.st.remove("t", "gone", "f")
	old.st.remove("t", "gone", "g")
	half, err := old.w.Start(t.Context(), "node24", limits)
	if err != nil {
		t.Fatal(err)
	}
	half.Close()
	old.w.Label(t.Context(), half.ID, old.w.Get(ids["c"]).Label())
	blank, _ := old.w.Start(t.Context(), "node24", limits)
	blank.Close()

	x := newWorld(t, options{size: 2, st: old.st, w: old.w, listed: old.w.List()})
	body, g, err := x.call(t.Context(), "t", "c", "g")
	if err != nil || body != "t/c/g/1" || g.Start != hearth.StartWarm || g.Instance.ID() != ids["c"] {
		t.Errorf("%q, %s, %v: not the adopted instance, warm", body, g.Start, err)
	}
	x.until("the end of the others", func() bool { return len(x.w.Assigned()) == 1 })
	for _, c := range []string{"stale", "gone"} {
		if x.w.Get(ids[c]) != nil {
			t.Errorf("the instance of %s lives", c)
		}
	}
	if x.w.Get(blank.ID) != nil {
		t.Error("an instance that was nobody's lives")
	}
	if _, g, err := x.call(t.Context(), "t", "stale", "g"); err != nil || g.Start != hearth.StartColdLocal {
		t.Errorf("a stale container's call: %s, %v", g.Start, err)
	}
	x.deploy("t", "c", "g", "two")
	if body, _, err := x.call(t.Context(), "t", "c", "g"); err != nil || body != "t/c/g/2" {
		t.Errorf("after a deploy: %q, %v", body, err)
	}
}

// One tenant calls new functions as fast as it can; another's first calls find warm instances.
func TestOneTenantCannotTakeThePool(t *testing.T) { // alone, since it measures
	var slow atomic.Bool
	w := pooltest.New(t)
	w.OnStart = func(int64) error {
		if slow.Load() {
			time.Sleep(100 * time.Millisecond)
		}
		return nil
	}
	x := newWorld(t, options{size: 8, w: w})
	const good = 10
	for n := range good {
		x.st.put("good", fmt.Sprint("c", n), "f", "code")
	}
	for n := range 60 {
		x.st.put("many", fmt.Sprint("c", n), "f", "code")
	}
	x.until("all deployed", func() bool { left, _ := x.st.Building(t.Context()); return len(left) == 0 })
	x.until("a full pool", func() bool { return x.p.Stats().Ready["node24"] == 8 })
	slow.Store(true)
	stop := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var next, many atomic.Int64
	for range 20 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := x.call(ctx, "many", fmt.Sprint("c", next.Add(1)%60), "f"); err == nil {
					many.Add(1)
				}
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	var took []time.Duration
	for n := range good {
		began := time.Now()
		_, g, err := x.call(t.Context(), "good", fmt.Sprint("c", n), "f")
		if err != nil {
			t.Fatal(err)
		}
		if g.Start != hearth.StartColdLocal {
			t.Errorf("%s", g.Start)
		}
		took = append(took, time.Since(began))
		time.Sleep(200 * time.Millisecond)
	}
	close(stop)
	cancel()
	wg.Wait()
	slices.Sort(took)
	t.Logf("the good tenant's first calls: median %s, worst %s; the other had %d", took[len(took)/2], took[len(took)-1], many.Load())
	if took[len(took)/2] > 80*time.Millisecond {
		t.Errorf("median %s: the good tenant waited for starts of 100 ms", took[len(took)/2])
	}
	if many.Load() < 20 {
		t.Errorf("the other tenant got %d calls through: it may have what is left", many.Load())
	}
}
