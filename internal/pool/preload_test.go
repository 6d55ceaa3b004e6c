package pool_test

import (
	"testing"

	"hearth/internal/pool"
	"hearth/internal/pool/pooltest"
)

// ready is how many preloaded instances wait.
func preloaded(p *pool.Pool) int { return p.Stats().Preloaded }

func TestPreloadedInstancesAreFrozenUntilTheyAreTaken(t *testing.T) {
	t.Parallel()
	w := pooltest.New(t)
	p := run(t, w, pool.Config{Size: 1, Parallel: 2})
	until(t, "a full pool", p.Ready)
	p.Preload([]pool.Tree{{Key: "x", Runtime: "node24", Path: "/packages/t/x/node_modules", Names: []string{"a"}, Count: 1}})
	until(t, "a preloaded instance", func() bool { return preloaded(p) == 1 })

	generic, hot, err := p.Take(t.Context(), "node24", memory, "y")
	if err != nil || hot {
		t.Fatalf("another tree's container got a preloaded instance: %v", err)
	}
	defer p.Destroy(generic)
	i, hot, err := p.Take(t.Context(), "node24", memory, "x")
	if err != nil || !hot {
		t.Fatalf("the tree's container got a generic instance: %v", err)
	}
	defer p.Destroy(i)
	if f := w.Get(i.ID()); f.Frozen.Load() || !f.Mounted.Load() {
		t.Error("it was taken frozen, or without the package store")
	}
	until(t, "the next one, frozen", func() bool {
		frozen := 0
		for _, o := range w.Live() {
			if o.Frozen.Load() {
				frozen++
			}
		}
		return preloaded(p) == 1 && frozen == 1
	})
	other, hot, err := p.Take(t.Context(), "node24", 512, "x")
	if err != nil || hot {
		t.Errorf("a container of another memory got a preloaded instance: %v", err)
	}
	p.Destroy(other)

	p.Preload(nil)
	until(t, "no preloaded instance", func() bool { return preloaded(p) == 0 })
	for _, o := range w.Live() {
		if o.Frozen.Load() {
			until(t, "the end of the frozen one", func() bool { return w.Get(o.ID) == nil })
		}
	}
}

func TestTreesThatCannotBePreloadedAreRemembered(t *testing.T) {
	t.Parallel()
	w := pooltest.New(t)
	w.Preload = func(i *pooltest.Instance, modules string, _ []string) string {
		switch modules {
		case "timer":
			return `{"loaded":1,"took":5,"left":["Timeout"]}`
		case "dies":
			i.Kill(false)
		}
		return `{"loaded":0,"took":5,"left":[]}`
	}
	p := run(t, w, pool.Config{Size: 1, Parallel: 2})
	until(t, "a full pool", p.Ready)
	trees := []pool.Tree{{Key: "a", Runtime: "node24", Path: "timer", Count: 1}, {Key: "b", Runtime: "node24", Path: "dies", Count: 1},
		{Key: "c", Runtime: "node24", Path: "empty", Count: 1}}
	p.Preload(trees)
	for _, tree := range trees {
		until(t, "a refusal of "+tree.Key, func() bool { return p.Refused(tree.Key) != "" })
	}
	if got := p.Refused("a"); got != "loading it leaves Timeout" {
		t.Errorf("refused: %s", got)
	}
	until(t, "only generic instances", func() bool { return len(w.Live()) == 1 })
	starts := w.Starts()
	p.Preload(trees)
	i, hot, err := p.Take(t.Context(), "node24", memory, "a")
	if err != nil || hot {
		t.Fatalf("%v, %v", hot, err)
	}
	p.Destroy(i)
	until(t, "a refilled pool", func() bool { return p.Stats().Ready["node24"] == 1 })
	if n := w.Starts() - starts; n != 1 {
		t.Errorf("%d starts, want the refill only", n)
	}
}
