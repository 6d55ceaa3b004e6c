package handler_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"hearth"
	"hearth/internal/handler"
)

// shelf is a package store: trees that are asked for the first time have to be fetched.
type shelf struct {
	mu    sync.Mutex
	here  map[string]bool
	holds map[string]int
	fail  error
}

func newShelf() *shelf { return &shelf{here: map[string]bool{}, holds: map[string]int{}} }

func (s *shelf) Tree(_ context.Context, key string) (string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holds[key] == 0 {
		return "", false, errors.New("asked for before it was held")
	}
	if s.fail != nil {
		return "", false, s.fail
	}
	fetched := !s.here[key]
	s.here[key] = true
	return "/packages/t/" + key + "/node_modules", fetched, nil
}

func (s *shelf) Hold(key string) { s.add(key, 1) }

func (s *shelf) Release(key string) { s.add(key, -1) }

func (s *shelf) add(key string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holds[key] += n; s.holds[key] < 0 {
		panic("released more often than held")
	}
}

func (s *shelf) held(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holds[key]
}

func (s *shelf) Names(context.Context, string) ([]string, error) { return []string{"a"}, nil }

// forget makes the node's disk empty.
func (s *shelf) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.here)
}

func TestPackagesAreHeldAsLongAsTheirInstanceLives(t *testing.T) {
	t.Parallel()
	trees := newShelf()
	x := newWorld(t, options{size: 2, config: handler.Config{Trees: trees}})
	x.deploy("t", "c", "f", "code", func(f *fn) { f.tree = "x" })
	x.until("nothing held after the trial", func() bool { return trees.held("x") == 0 })

	trees.forget()
	_, g, err := x.call(t.Context(), "t", "c", "f")
	if err != nil {
		t.Fatal(err)
	}
	if g.Start != hearth.StartColdRemote || g.Fetch == 0 {
		t.Errorf("packages were fetched, and the start is %s with %+v", g.Start, g.Waits)
	}
	if trees.held("x") != 1 || !x.w.Get(g.Instance.ID()).Mounted.Load() {
		t.Errorf("held %d times, mounted %v", trees.held("x"), x.w.Get(g.Instance.ID()).Mounted.Load())
	}
	_, warm, err := x.call(t.Context(), "t", "c", "f")
	if err != nil || warm.Start != hearth.StartWarm || warm.Fetch+warm.Link != 0 {
		t.Errorf("the next call is %s with %+v, %v", warm.Start, warm.Waits, err)
	}
	// A second function of the container, with another tree, goes into the same instance.
	x.deploy("t", "c", "g", "code", func(f *fn) { f.tree = "y" })
	if _, g, err = x.call(t.Context(), "t", "c", "g"); err != nil || trees.held("y") != 1 {
		t.Fatalf("%v, held %d times", err, trees.held("y"))
	}
	x.st.remove("t", "c", "f")
	x.st.remove("t", "c", "g")
	x.until("nothing held", func() bool { return trees.held("x") == 0 && trees.held("y") == 0 })

	x.deploy("t", "d", "f", "code", func(f *fn) { f.tree = "x" })
	if _, g, err = x.call(t.Context(), "t", "d", "f"); err != nil || g.Start != hearth.StartColdLocal || g.Fetch != 0 {
		t.Errorf("packages were here, and the start is %s with %+v, %v", g.Start, g.Waits, err)
	}
}

func TestPackagesThatCannotBeHadLeaveNothing(t *testing.T) {
	t.Parallel()
	trees := newShelf()
	x := newWorld(t, options{size: 2, config: handler.Config{Trees: trees}})
	x.deploy("t", "c", "f", "code", func(f *fn) { f.tree = "x" })
	x.until("a full pool", func() bool { return x.p.Stats().Ready["node24"] == 2 })
	trees.fail = errors.New("the blob store is away")
	_, _, err := x.call(t.Context(), "t", "c", "f")
	var he *hearth.Error
	if !errors.As(err, &he) || he.Code != hearth.CodeUnavailable || he.RetryAfter == 0 {
		t.Errorf("%v, want unavailable with Retry-After", err)
	}
	if trees.held("x") != 0 {
		t.Errorf("held %d times", trees.held("x"))
	}
	x.until("the pool as it was", func() bool { return x.p.Stats().Ready["node24"] == 2 && x.p.Stats().Live == 2 })
	trees.fail = nil
	if _, _, err := x.call(t.Context(), "t", "c", "f"); err != nil {
		t.Errorf("after it is back: %v", err)
	}
}

// A tree in demand gets an instance that has loaded it; only containers of that tree get it.
func TestTreesInDemandArePreloaded(t *testing.T) {
	t.Parallel()
	trees := newShelf()
	x := newWorld(t, options{size: 2, config: handler.Config{Trees: trees, PreloadBytes: 1 << 30}})
	for n := range 4 {
		c := fmt.Sprint("c", n)
		x.deploy("t", c, "f", "code", func(f *fn) { f.tree = "x" })
		if _, _, err := x.call(t.Context(), "t", c, "f"); err != nil {
			t.Fatal(err)
		}
	}
	x.until("a preloaded instance", func() bool { return x.p.Stats().Preloaded == 1 })
	frozen := ""
	for _, i := range x.w.Live() {
		if i.Frozen.Load() {
			frozen = i.ID
		}
	}
	x.deploy("t", "other", "f", "code", func(f *fn) { f.tree = "y" })
	if _, g, err := x.call(t.Context(), "t", "other", "f"); err != nil || g.Instance.ID() == frozen {
		t.Errorf("another tree's container got the preloaded instance: %v", err)
	}
	// The trial takes the one that waits; the call the next.
	x.deploy("t", "last", "f", "code", func(f *fn) { f.tree = "x" })
	x.until("the next one", func() bool { return x.p.Stats().Preloaded == 1 })
	for _, i := range x.w.Live() {
		if i.Frozen.Load() {
			frozen = i.ID
		}
	}
	_, g, err := x.call(t.Context(), "t", "last", "f")
	if err != nil || g.Instance.ID() != frozen || x.w.Get(frozen).Frozen.Load() {
		t.Errorf("the tree's container did not get the preloaded instance, thawed: %v", err)
	}
}
