package pool_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/internal/pool"
	"hearth/internal/pool/instance"
	"hearth/internal/pool/pooltest"
	"hearth/internal/warden/wire"
)

const memory = 256

var limits = wire.Limits{MemoryMiB: memory, MilliCPUs: 1000, Pids: 128, TmpMiB: 64}

// run starts a pool, whose exits the test reads, and stops it at the end.
func run(t *testing.T, w *pooltest.Warden, c pool.Config) *pool.Pool {
	t.Helper()
	c.Starter, c.Log, c.Limits = w, slog.New(slog.DiscardHandler), limits
	if c.Runtimes == nil {
		c.Runtimes = []string{"node24", "node26"}
	}
	p := pool.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	wg.Go(func() {
		for {
			select {
			case e := <-w.Exits():
				p.Exited(e)
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if !c.Keep && len(w.Live()) != 0 {
			t.Errorf("%d instances live after Run", len(w.Live()))
		}
	})
	return p
}

// until waits for an event that the pool does not signal.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// take takes a generic instance.
func take(ctx context.Context, p *pool.Pool, runtime string) (*instance.Instance, error) {
	i, _, err := p.Take(ctx, runtime, memory, "")
	return i, err
}

func TestPoolFillsExercisesAndRefills(t *testing.T) {
	t.Parallel()
	w := pooltest.New(t)
	w.Exercise = `[{"version":"cjs","method":"GET","path":"/"},{"version":"cjs","method":"POST","path":"/x","body":"{}"}]`
	p := run(t, w, pool.Config{Size: 4, Parallel: 2})
	until(t, "a full pool", p.Ready)
	var taken []*instance.Instance
	for range 4 {
		i, err := take(t.Context(), p, "node24")
		if err != nil {
			t.Fatal(err)
		}
		if n := w.Get(i.ID()).Exercised.Load(); n != 2 && len(taken) == 0 {
			t.Errorf("exercised %d times, want 2", n)
		}
		taken = append(taken, i)
	}
	for n := 1; n < len(taken); n++ {
		if taken[n-1].ID() > taken[n].ID() && n < 4 {
			t.Logf("order %s, %s", taken[n-1].ID(), taken[n].ID())
		}
	}
	until(t, "a refilled pool", func() bool { return p.Stats().Ready["node24"] == 4 })
	for _, i := range taken {
		p.Destroy(i)
		p.Destroy(i) // twice is once
	}
	until(t, "only the pool's own", func() bool { return len(w.Live()) == 4 && p.Stats().Live == 4 })
}

func TestInstancesAreExercisedMoreWhenThePoolIsCalm(t *testing.T) {
	t.Parallel()
	w := pooltest.New(t)
	w.More = `[{"version":"web","method":"GET","path":"/"},{"version":"web","method":"POST","path":"/x","body":"{}"}]`
	p := run(t, w, pool.Config{Size: 3, Parallel: 2, Calm: 50 * time.Millisecond})
	until(t, "a full pool", p.Ready)
	until(t, "every instance exercised", func() bool {
		for _, i := range w.Live() {
			if i.Exercised.Load() != 2 {
				return false
			}
		}
		return p.Stats().Ready["node24"] == 3
	})
}

func TestWhoTakesAnInstanceThatIsExercisedDoesNotWait(t *testing.T) {
	t.Parallel()
	w := pooltest.New(t)
	hold := make(chan struct{})
	defer close(hold)
	w.Holding = hold
	w.More = `[{"version":"web","method":"GET","path":"/"}]`
	p := run(t, w, pool.Config{Size: 2, Parallel: 2, Calm: time.Millisecond})
	until(t, "a full pool", p.Ready)
	until(t, "an exercise", func() bool {
		return slices.ContainsFunc(w.Live(), func(i *pooltest.Instance) bool { return i.Exercised.Load() == 1 })
	})
	first, err := take(t.Context(), p, "node24")
	if err != nil || w.Get(first.ID()).Exercised.Load() != 0 {
		t.Fatalf("took the one that is being exercised though there is another: %v", err)
	}
	second, err := take(t.Context(), p, "node24")
	if err != nil || w.Get(second.ID()).Exercised.Load() != 1 {
		t.Fatalf("did not take the one that is being exercised when it is the last: %v", err)
	}
	if err := errors.Join(first.Assign("a"), second.Assign("b")); err != nil {
		t.Fatal(err)
	}
	p.Destroy(first)
	p.Destroy(second)
}

func TestOldestFirst(t *testing.T) {
	t.Parallel()
	w := pooltest.New(t)
	p := run(t, w, pool.Config{Size: 3, Parallel: 1})
	until(t, "a full pool", p.Ready)
	last := ""
	for range 3 {
		i, err := take(t.Context(), p, "node24")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Destroy(i)
		if i.ID() < last {
			t.Errorf("took %s after %s: not the oldest first", i.ID(), last)
		}
		last = i.ID()
	}
}

func TestOneThatDiesInThePoolIsReplaced(t *testing.T) {
	t.Parallel()
	w := pooltest.New(t)
	p := run(t, w, pool.Config{Size: 2, Parallel: 2})
	until(t, "a full pool", p.Ready)
	for _, i := range w.Live() {
		i.Kill(false)
	}
	until(t, "two new ones", func() bool { return w.Starts() == 4 && p.Stats().Ready["node24"] == 2 })
	i, err := take(t.Context(), p, "node24")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Destroy(i)
	if err := i.Ping(t.Context()); err != nil {
		t.Errorf("the instance taken is dead: %v", err)
	}
}

func TestTakersShareStartsOnAnEmptyPool(t *testing.T) {
	t.Parallel()
	w := pooltest.New(t)
	var now, most atomic.Int64
	w.OnStart = func(int64) error {
		n := now.Add(1)
		defer now.Add(-1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		time.Sleep(2 * time.Millisecond)
		return nil
	}
	p := run(t, w, pool.Config{Size: 0, Parallel: 3})
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]bool{}
	for range 30 {
		wg.Go(func() {
			i, err := take(t.Context(), p, "node26")
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if seen[i.ID()] {
				t.Errorf("instance %s was taken twice", i.ID())
			}
			seen[i.ID()] = true
			p.Destroy(i)
		})
	}
	wg.Wait()
	if m := most.Load(); m > 3 {
		t.Errorf("%d starts at a time, at most 3", m)
	}
	if n := w.Starts(); n > 33 {
		t.Errorf("%d starts for 30 takers", n)
	}
}

func TestFailedStartsBackOffAndRecover(t *testing.T) {
	t.Parallel()
	w := pooltest.New(t)
	var broken atomic.Bool
	broken.Store(true)
	w.OnStart = func(int64) error {
		if broken.Load() {
			return errors.New("no room")
		}
		return nil
	}
	var failed atomic.Int64
	p := run(t, w, pool.Config{Size: 2, Parallel: 2, Hooks: pool.Hooks{Failed: func(string, error) { failed.Add(1) }}})
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	if _, err := take(ctx, p, "node24"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Take: %v, want a deadline", err)
	} else if got := err.Error(); !contains(got, "no room") {
		t.Errorf("Take: %q does not say what the last start failed of", got)
	}
	if n := w.Starts(); n > 12 {
		t.Errorf("%d starts in 600 ms of failures: no back-off", n)
	}
	if p.Ready() {
		t.Error("ready without instances")
	}
	broken.Store(false)
	until(t, "a full pool", p.Ready)
}

func contains(s, part string) bool {
	for n := range s {
		if len(s)-n >= len(part) && s[n:n+len(part)] == part {
			return true
		}
	}
	return false
}

func TestTakerWhoLeavesLosesNothing(t *testing.T) {
	t.Parallel()
	w := pooltest.New(t)
	w.OnStart = func(int64) error { time.Sleep(time.Millisecond); return nil }
	p := run(t, w, pool.Config{Size: 2, Parallel: 2})
	var wg sync.WaitGroup
	for n := range 200 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%7)*time.Millisecond)
			defer cancel()
			if i, err := take(ctx, p, "node24"); err == nil {
				p.Return(i, memory)
			}
		})
	}
	wg.Wait()
	until(t, "two ready and nothing else", func() bool { return p.Stats().Ready["node24"] == 2 && len(w.Live()) == 2 })
}

func TestRunMayEndAtAnyMoment(t *testing.T) {
	t.Parallel()
	for n := range 50 {
		w := pooltest.New(t)
		p := pool.New(pool.Config{Size: 3, Parallel: 2, Runtimes: []string{"node24"}, Starter: w,
			Log: slog.New(slog.DiscardHandler), Limits: limits})
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n)*100*time.Microsecond)
		p.Run(ctx)
		cancel()
		if _, err := take(t.Context(), p, "node24"); !errors.Is(err, pool.ErrStopped) {
			t.Fatalf("Take after Run: %v, want ErrStopped", err)
		}
		if l := len(w.Live()); l != 0 {
			t.Fatalf("%d instances live after Run", l)
		}
	}
}

func TestKeepLeavesAssignedInstancesAlone(t *testing.T) {
	t.Parallel()
	w := pooltest.New(t)
	p := pool.New(pool.Config{Size: 2, Parallel: 2, Runtimes: []string{"node24"}, Starter: w, Keep: true,
		Log: slog.New(slog.DiscardHandler), Limits: limits})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	i, err := take(t.Context(), p, "node24")
	if err == nil {
		err = i.Assign("c")
	}
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	wg.Wait()
	if live := w.Live(); len(live) != 1 || live[0].ID != i.ID() {
		t.Errorf("%d instances live, want the assigned one", len(live))
	}
}
