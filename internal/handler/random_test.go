package handler_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/internal/handler"
	"hearth/internal/pool/pooltest"
)

var (
	seed     = flag.Uint64("seed", 0, "of the random schedules; 0 takes one")
	assigned = flag.Int("assignments", 10_000, "of the random schedules")
)

// Random calls, deploys, secrets, deletions, time-outs, kills and broken connections, over few names
// so that they meet. However they fall, no instance ever runs code of two containers, no answer comes
// from another container than the one called, and at the end nothing is left.
func TestNoInstanceServesTwoContainers(t *testing.T) {
	t.Parallel()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-seed %d", *seed)
	x := newWorld(t, options{size: 8, starts: 8, config: handler.Config{Idle: 20 * time.Millisecond, Calm: 10 * time.Millisecond, Trials: 4}})
	x.w.Serve = func(w http.ResponseWriter, r *http.Request, i *pooltest.Instance, m pooltest.Manifest) {
		fmt.Fprintf(w, "%s/%s/%s/%d", m.Tenant, m.Container, m.Function, m.Version)
	}
	var labels, wrong atomic.Int64
	var owners sync.Map // instance → container id, from what the warden is told before code goes in
	x.w.OnLabel = func(id, label string) error {
		labels.Add(1)
		var l struct{ C string }
		if err := json.Unmarshal([]byte(label), &l); err != nil || l.C == "" {
			t.Errorf("label %q: %v", label, err)
		}
		if was, other := owners.LoadOrStore(id, l.C); other && was != l.C {
			t.Errorf("instance %s was given to %v and to %s", id, was, l.C)
		}
		return nil
	}
	// All of them if 25 s are enough, and a tenth however long a busy machine with the race detector
	// takes: 700 in 25 s at a load of 16 on two cores.
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	enough := time.Now().Add(25 * time.Second)
	going := func() bool {
		n := int(labels.Load())
		return ctx.Err() == nil && (n < *assigned/10 || n < *assigned && time.Now().Before(enough))
	}
	var wg sync.WaitGroup
	for n := range 12 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(*seed, uint64(n)))
			pick := func(kind string, most int) string { return fmt.Sprint(kind, rnd.IntN(most)) }
			for going() && !t.Failed() {
				tenant, container, function := pick("t", 4), pick("c", 8), pick("f", 3)
				switch rnd.IntN(12) {
				case 0:
					if rnd.IntN(3) == 0 {
						x.st.put(tenant, container, function, "code")
					}
				case 1:
					x.st.tryChange(tenant, container, function, func(f *fn) { f.revision++ })
				case 2:
					if rnd.IntN(4) == 0 {
						x.st.remove(tenant, container, function)
					}
				case 3, 4:
					all := x.w.Assigned()
					if rnd.IntN(50) == 0 { // also one that starts, after which the pool backs off
						all = x.w.Live()
					}
					if len(all) > 0 {
						all[rnd.IntN(len(all))].Kill(rnd.IntN(2) == 0)
					}
				case 5:
					if g, err := x.place(ctx, tenant, container, function); err == nil {
						g.Release(handler.Timeout)
					}
				case 6:
					if g, err := x.place(ctx, tenant, container, function); err == nil {
						g.Release(handler.Died)
					}
				default:
					within, cancel := context.WithTimeout(ctx, time.Duration(rnd.IntN(30))*time.Millisecond)
					body, _, err := x.call(within, tenant, container, function)
					cancel()
					if err == nil {
						var v int
						want := fmt.Sprintf("%s/%s/%s/", tenant, container, function)
						if _, e := fmt.Sscanf(body, want+"%d", &v); e != nil {
							wrong.Add(1)
							t.Errorf("%q answered for %s", body, want)
						}
					}
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for forgive := time.NewTicker(2 * time.Millisecond); ; {
		select {
		case <-forgive.C:
			x.h.Forgive()
			continue
		case <-done:
			forgive.Stop()
		}
		break
	}
	if n := labels.Load(); int(n) < *assigned/10 {
		t.Errorf("%d assignments before the time was up, want %d", n, *assigned)
	}
	x.stop()
	served := 0
	for _, i := range x.w.All() {
		if c := i.Containers(); len(c) > 1 {
			t.Errorf("instance %s ran code of %v", i.ID, c)
		} else if len(c) == 1 {
			served++
		}
	}
	t.Logf("%d labels, %d instances, %d ran code", labels.Load(), len(x.w.All()), served)
	if st := x.h.Stats(); st.Waiting != 0 {
		t.Errorf("%d requests wait after the end", st.Waiting)
	}
}

// tryChange is change for a function that may be gone.
func (m *memory) tryChange(tenant, container, function string, change func(*fn)) {
	m.mu.Lock()
	f := m.functions[[3]string{tenant, container, function}]
	if f != nil {
		change(f)
	}
	m.mu.Unlock()
	if f != nil {
		m.changed(tenant, container)
	}
}
