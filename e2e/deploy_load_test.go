package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/e2e/harness"
)

// TestR80_DeployUnderLoad deploys fifty versions of a function that is called 200 times a second: no
// request fails, and a second after a version was acknowledged no older one answers.
func TestR80_DeployUnderLoad(t *testing.T) {
	const versions, rate, callers = 50, 200, 16
	n := harness.Start(t)
	code := func(v int) string {
		return fmt.Sprintf("module.exports = cb => cb(null, {version: %d})", v)
	}
	n.Deploy("load", "main", "hot", code(1))

	type change struct {
		version int
		at      time.Time
	}
	var mu sync.Mutex
	acknowledged := []change{{1, time.Now()}}
	// oldest is the least version that may answer a request that was sent at a time.
	oldest := func(sent time.Time) int {
		mu.Lock()
		defer mu.Unlock()
		least := 1
		for _, c := range acknowledged {
			if c.at.Add(time.Second).Before(sent) {
				least = c.version
			}
		}
		return least
	}

	ctx, stop := context.WithCancel(t.Context())
	var calls, failed, stale, cold atomic.Int64
	var examples sync.Map
	tickets := make(chan struct{}, callers)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range tickets {
				sent := time.Now()
				a := n.Call("load", "main", "hot")
				calls.Add(1)
				var got int
				if a.Err == nil && a.Status == 200 {
					fmt.Sscanf(a.Text(), `{"version":%d}`, &got)
				}
				if a.Header.Get("hearth-start") != "warm" {
					cold.Add(1)
				}
				switch {
				case got == 0:
					failed.Add(1)
					examples.Store(fmt.Sprintf("%d %v %.300s", a.Status, a.Err, a.Text()), true)
				case got < oldest(sent):
					stale.Add(1)
				}
			}
		})
	}
	wg.Go(func() {
		defer close(tickets)
		tick := time.NewTicker(time.Second / rate)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case tickets <- struct{}{}:
			default: // the machine is slower than the rate
			}
		}
	})

	begun := time.Now()
	for v := 2; v <= versions+1; v++ {
		a := n.Put("load", "main", "hot", harness.M{"code": code(v)})
		if a.JSON()["status"] != "ready" {
			t.Errorf("version %d: %d %v %s", v, a.Status, a.Err, a.Body)
			break
		}
		mu.Lock()
		acknowledged = append(acknowledged, change{v, time.Now()})
		mu.Unlock()
	}
	took := time.Since(begun)
	time.Sleep(1200 * time.Millisecond)
	if a := n.Call("load", "main", "hot"); !strings.Contains(a.Text(), fmt.Sprint(versions+1)) {
		t.Errorf("the newest version does not answer: %s", a.Text())
	}
	stop()
	wg.Wait()
	t.Logf("%d versions in %s (%s each) under %.0f requests/s: %d calls, %d failed, %d stale, %d cold",
		versions, took.Round(time.Millisecond), (took / versions).Round(time.Millisecond),
		float64(calls.Load())/time.Since(begun).Seconds(), calls.Load(), failed.Load(), stale.Load(), cold.Load())
	if failed.Load() > 0 || stale.Load() > 0 {
		examples.Range(func(k, _ any) bool { t.Errorf("failed: %s", k); return true })
		t.Errorf("%d failed and %d stale answers, want none", failed.Load(), stale.Load())
	}
}
