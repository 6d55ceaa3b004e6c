package handler_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth"
	"hearth/internal/handler"
	"hearth/internal/pool/pooltest"
	"hearth/internal/warden/wire"
)

func TestColdThenWarm(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 2})
	if v := x.deploy("t", "c", "f", "code"); v.Status != hearth.StatusReady || !v.Loaded.Parsed {
		t.Fatalf("deployed: %+v", v)
	}
	x.until("the trial's end", func() bool { return len(x.w.Assigned()) == 0 })
	for n, want := range []hearth.Start{hearth.StartColdLocal, hearth.StartWarm, hearth.StartWarm} {
		body, g, err := x.call(t.Context(), "t", "c", "f")
		if err != nil || body != "t/c/f/1" || g.Start != want {
			t.Fatalf("call %d: %q, %s, %v; want %s", n, body, g.Start, err, want)
		}
		if g.Start == hearth.StartColdLocal && g.Assign == 0 {
			t.Error("a cold call without the time that assigning took")
		}
	}
	if x.h.Route("t", "c", "g") != nil || x.h.Route("t", "d", "f") != nil || x.h.Route("u", "c", "f") != nil {
		t.Error("a route to what is not there")
	}
}

func TestFunctionsOfAContainerShareAnInstance(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 2})
	ids := map[string]bool{}
	for n := range 5 {
		name := fmt.Sprintf("f%d", n)
		x.deploy("t", "c", name, "code")
		_, g, err := x.call(t.Context(), "t", "c", name)
		if err != nil {
			t.Fatal(err)
		}
		ids[g.Instance.ID()] = true
	}
	if len(ids) != 1 {
		t.Errorf("%d instances for five functions of one container, want 1", len(ids))
	}
	x.deploy("t", "d", "f0", "code")
	if _, g, err := x.call(t.Context(), "t", "d", "f0"); err != nil || ids[g.Instance.ID()] {
		t.Errorf("another container's call: instance %s, %v", g.Instance.ID(), err)
	}
	x.deploy("t", "c", "other", "code", func(f *fn) { f.runtime = "node26" })
	if _, g, err := x.call(t.Context(), "t", "c", "other"); err != nil || g.Instance.Runtime() != "node26" {
		t.Errorf("node26's call: %v, %v", g.Instance, err)
	}
}

func TestOneFlightForAThousandFirstCalls(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 4, config: handler.Config{Queue: 1000}})
	x.deploy("t", "c", "f", "code")
	var labels atomic.Int64
	all := make(chan struct{})
	x.w.OnLabel = func(string, string) error { labels.Add(1); <-all; return nil }
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			g, err := x.place(t.Context(), "t", "c", "f")
			if err != nil {
				t.Error(err)
				return
			}
			g.Release(handler.OK)
		})
	}
	x.until("a thousand in line", func() bool { return x.h.Stats().Waiting == 1000 })
	time.Sleep(3 * handler.Pressure) // long enough for a second start, if it could come
	if n := labels.Load(); n != 1 {
		t.Errorf("%d instances on their way, want 1", n)
	}
	close(all)
	wg.Wait()
}

func TestLineIsBounded(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 2, config: handler.Config{Queue: 10, Wait: 300 * time.Millisecond}})
	x.deploy("t", "c", "f", "code", func(f *fn) { f.limits.Concurrency, f.limits.MaxInstances = 1, 1 })
	g, err := x.place(t.Context(), "t", "c", "f")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var quick, slow atomic.Int64
	for range 50 {
		wg.Go(func() {
			began := time.Now()
			_, err := x.place(t.Context(), "t", "c", "f")
			c, reason := code(err)
			if c != hearth.CodeUnavailable || err.(*hearth.Error).RetryAfter == 0 || err.(*hearth.Error).Component != hearth.ComponentLimit {
				t.Errorf("in line: %v", err)
			}
			switch {
			case reason == "queue" && time.Since(began) < 250*time.Millisecond:
				quick.Add(1)
			case reason == "queue_ms" && time.Since(began) >= 300*time.Millisecond:
				slow.Add(1)
			default:
				t.Errorf("%s after %s", reason, time.Since(began))
			}
		})
	}
	wg.Wait()
	if quick.Load() != 40 || slow.Load() != 10 {
		t.Errorf("%d turned away, %d waited in vain; want 40, 10", quick.Load(), slow.Load())
	}
	g.Release(handler.OK)
	if st := x.h.Stats(); st.Waiting != 0 {
		t.Errorf("%d wait", st.Waiting)
	}
	if _, _, err := x.call(t.Context(), "t", "c", "f"); err != nil {
		t.Errorf("after the crowd: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g, err = x.place(t.Context(), "t", "c", "f")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.place(ctx, "t", "c", "f"); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("a client that went away: %v", err)
	}
	g.Release(handler.OK)
}

func TestGrowsUnderLoadAndShrinksInCalm(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 2, config: handler.Config{Calm: 50 * time.Millisecond, Idle: 400 * time.Millisecond}})
	x.deploy("t", "c", "f", "code", func(f *fn) { f.limits.Concurrency, f.limits.MaxInstances = 2, 3 })
	var grants []handler.Grant
	for range 6 {
		g, err := x.place(t.Context(), "t", "c", "f")
		if err != nil {
			t.Fatal(err)
		}
		grants = append(grants, g)
	}
	if n := x.h.Stats().Serving; n != 3 {
		t.Errorf("%d instances for six requests of two each, want 3", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := x.place(ctx, "t", "c", "f"); err == nil {
		t.Error("a request beyond max_instances × concurrency got a place")
	}
	for _, g := range grants {
		g.Release(handler.OK)
	}
	calls := 0
	x.until("one instance, still warm", func() bool {
		if _, _, err := x.call(t.Context(), "t", "c", "f"); err != nil {
			t.Fatal(err)
		}
		calls++
		return x.h.Stats().Serving == 1
	})
	x.until("no instance after idle", func() bool { return x.h.Stats().Serving == 0 && len(x.w.Assigned()) == 0 })
}

// A tenant at its bound makes room for its own containers, one after another.
func TestTenantsInstancesAreBounded(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 2})
	for n := range 6 {
		x.deploy("t", fmt.Sprintf("c%d", n), "f", "code", func(f *fn) { f.tenantMost = 2 })
	}
	for n := range 6 {
		if _, _, err := x.call(t.Context(), "t", fmt.Sprintf("c%d", n), "f"); err != nil {
			t.Fatal(err)
		}
		if s := x.h.Stats().Serving; s > 2 {
			t.Fatalf("%d instances, the tenant may have 2", s)
		}
	}
}

func TestCrashLoopBacksOff(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 4})
	x.w.Serve = func(w http.ResponseWriter, r *http.Request, i *pooltest.Instance, m pooltest.Manifest) {
		if m.Function == "crash" {
			go i.Kill(true)
			<-r.Context().Done()
			return
		}
		fmt.Fprint(w, "ok")
	}
	x.deploy("bad", "c", "crash", "code")
	x.deploy("good", "c", "f", "code")
	before := x.w.Starts()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var refused atomic.Int64
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_, g, err := x.call(ctx, "bad", "c", "crash")
				gaveUp := ctx.Err() != nil // perhaps right behind the line, before the instance saw the request
				cancel()
				if err == nil {
					t.Error("a crash answered")
				}
				if g.Instance != nil && !gaveUp {
					select {
					case <-g.Instance.Gone():
					case <-time.After(5 * time.Second):
						t.Error("the instance is not known to be gone")
					}
					if e, dead := g.Instance.Exit(); dead && !e.OOM {
						t.Error("why it died was lost")
					}
				}
				if c, reason := code(err); reason == "crashed" {
					if c != hearth.CodeUnavailable || err.(*hearth.Error).RetryAfter < time.Second {
						t.Errorf("crashed: %v", err)
					}
					refused.Add(1)
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for n := range 20 {
		x.st.put("good", fmt.Sprintf("c%d", n), "f", "code")
	}
	began := time.Now()
	worst := time.Duration(0)
	for n := 0; time.Since(began) < time.Second || refused.Load() < 10 && time.Since(began) < 15*time.Second; n++ {
		name := fmt.Sprintf("c%d", n%20)
		if r := x.h.Route("good", name, "f"); r == nil || r.Active == 0 {
			time.Sleep(time.Millisecond)
			continue
		}
		began := time.Now()
		if body, _, err := x.call(t.Context(), "good", name, "f"); err != nil || body != "ok" {
			t.Fatalf("the good tenant's call: %q, %v", body, err)
		}
		worst = max(worst, time.Since(began))
	}
	close(stop)
	wg.Wait()
	if refused.Load() == 0 {
		t.Error("nobody was told of the crash loop")
	}
	if n := x.w.Starts() - before; n > 80 {
		t.Errorf("%d starts for a crash loop and twenty containers", n)
	}
	t.Logf("%d told, %d starts, the good tenant's worst call %s", refused.Load(), x.w.Starts()-before, worst)
}

// slowExits is a log in which the news of an exit takes long, and all that comes behind it.
type slowExits struct{ slog.Handler }

func (slowExits) Enabled(context.Context, slog.Level) bool { return true }
func (slowExits) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "instance exited" {
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// Who has heard of an instance's end, and gives it back, gets another one.
func TestDeadInstanceIsNotGivenAgain(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 4, log: slowExits{slog.DiscardHandler}})
	x.deploy("t", "c", "f", "code")
	for range 20 {
		g, err := x.place(t.Context(), "t", "c", "f")
		if err != nil {
			t.Fatal(err)
		}
		go x.w.Get(g.Instance.ID()).Kill(false)
		<-g.Instance.Gone()
		g.Release(handler.Died)
		x.h.Forgive()
		next, err := x.place(t.Context(), "t", "c", "f")
		if err != nil {
			t.Fatal(err)
		}
		if next.Instance == g.Instance {
			t.Fatal("the dead instance was given again")
		}
		next.Release(handler.OK)
	}
}

func TestTimeoutRetiresAndAStuckInstanceIsDestroyed(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 2})
	x.deploy("t", "c", "f", "code")
	slow, err := x.place(t.Context(), "t", "c", "f")
	if err != nil {
		t.Fatal(err)
	}
	late, _ := x.place(t.Context(), "t", "c", "f")
	late.Release(handler.Timeout)
	if _, g, err := x.call(t.Context(), "t", "c", "f"); err != nil || g.Instance == slow.Instance {
		t.Errorf("after a timeout: the same instance, %v", err)
	}
	if body, err := exchange(t.Context(), slow); err != nil {
		t.Errorf("a request in the retired instance: %q, %v", body, err)
	}
	if x.w.Get(slow.Instance.ID()) == nil {
		t.Error("it was destroyed with a request in it")
	}
	slow.Release(handler.OK)
	x.until("its end", func() bool { return x.w.Get(slow.Instance.ID()) == nil })

	slow, _ = x.place(t.Context(), "t", "c", "f")
	late, _ = x.place(t.Context(), "t", "c", "f")
	x.w.Get(slow.Instance.ID()).Stuck.Store(true)
	late.Release(handler.Timeout)
	x.until("the end of the stuck one", func() bool { return x.w.Get(slow.Instance.ID()) == nil })
	slow.Release(handler.Died)
}

func TestRetiresWhatKeepsBreakingOff(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 2})
	x.deploy("t", "c", "f", "code")
	_, first, err := x.call(t.Context(), "t", "c", "f")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		g, err := x.place(t.Context(), "t", "c", "f")
		if err != nil {
			t.Fatal(err)
		}
		if g.Instance != first.Instance {
			return
		}
		g.Release(handler.Died)
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("still the same instance")
}

func TestMemoryGrowthRetiresTheIdle(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 2})
	x.deploy("t", "c", "f", "code", func(f *fn) { f.limits.MemoryMiB = 100 })
	g, err := x.place(t.Context(), "t", "c", "f")
	if err != nil {
		t.Fatal(err)
	}
	id := g.Instance.ID()
	if got := x.w.Get(id).Limits().MemoryMiB; got != 100 {
		t.Errorf("memory limit %d, want the container's 100", got)
	}
	x.h.Weigh([]wire.Stats{{ID: id, MemoryBytes: 90 << 20}}, time.Now().Add(time.Hour))
	if !g.Instance.Open() {
		t.Error("retired with a request in it")
	}
	g.Release(handler.OK)
	x.h.Weigh([]wire.Stats{{ID: id, MemoryBytes: 80 << 20}}, time.Now().Add(time.Hour))
	if !g.Instance.Open() {
		t.Error("retired below the share")
	}
	x.h.Weigh([]wire.Stats{{ID: id, MemoryBytes: 90 << 20}}, time.Now().Add(time.Hour))
	x.until("its end", func() bool { return x.w.Get(id) == nil })
	x.st.change("t", "c", "f", func(f *fn) { f.limits.MemoryMiB = 128 })
	_, g, _ = x.call(t.Context(), "t", "c", "f")
	x.st.change("t", "c", "f", func(f *fn) { f.limits.MemoryMiB = 64 })
	x.until("new limits in force", func() bool {
		i := x.w.Get(g.Instance.ID())
		return i != nil && i.Limits().MemoryMiB == 64
	})
}

func TestWarmTakesNoAllocation(t *testing.T) {
	x := newWorld(t, options{size: 2})
	x.deploy("t", "c", "f", "code")
	if _, _, err := x.call(t.Context(), "t", "c", "f"); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		g, err := x.h.Acquire(ctx, x.h.Route("t", "c", "f"))
		if err != nil {
			t.Fatal(err)
		}
		g.Release(handler.OK)
	}); n != 0 {
		t.Errorf("%v allocations for a warm Acquire and Release, want 0", n)
	}
}

func BenchmarkWarm(b *testing.B) {
	x := newWorld(b, options{size: 2})
	x.deploy("t", "c", "f", "code", func(f *fn) { f.limits.Concurrency = 1000 })
	if _, _, err := x.call(b.Context(), "t", "c", "f"); err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			g, err := x.h.Acquire(ctx, x.h.Route("t", "c", "f"))
			if err != nil {
				b.Error(err)
				return
			}
			g.Release(handler.OK)
		}
	})
}
