package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hearth/e2e/harness"
)

// record is what one writer knows of its function: it alone writes it, so the state after a crash is
// what was acknowledged last, or one of the writes that were under way.
type record struct {
	name string

	mu       sync.Mutex
	acked    int  // mark of the last acknowledged write; 0: acknowledged to be absent
	tried    int  // mark of the last write that was sent
	deleting bool // the last write sent, not acknowledged, is a deletion
	writes   int  // acknowledged
}

// write sends one random write and notes what came of it.
func (r *record) write(ctx context.Context, n *harness.Node, rng *rand.Rand) {
	r.mu.Lock()
	remove := r.acked != 0 && rng.IntN(5) == 0
	if remove {
		r.deleting = true
	} else {
		r.tried++
	}
	mark := r.tried
	r.mu.Unlock()
	path := harness.FunctionPath("chaos", "c-"+r.name, r.name)
	var a harness.Answer
	if remove {
		a = n.API("DELETE", path, nil)
	} else {
		query := []string{"", "?wait=5s"}[rng.IntN(2)]
		a = n.API("PUT", path+query, harness.M{"config": harness.M{"mark": mark},
			"code": fmt.Sprintf("module.exports = cb => cb(null, {mark: %d})", mark)})
	}
	if ctx.Err() != nil && a.Err != nil || a.Err != nil || a.Status >= 500 {
		return // it may have been carried out or not
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case remove && (a.Status == 204 || a.Status == 404):
		r.acked, r.deleting = 0, false
	case !remove && (a.Status == 200 || a.Status == 201):
		r.acked, r.deleting = mark, false
	}
	r.writes++
}

// check compares the hearth with what was acknowledged. Nobody writes meanwhile.
func (r *record) check(t *testing.T, n *harness.Node) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	path := harness.FunctionPath("chaos", "c-"+r.name, r.name)
	a := n.API("GET", path, nil)
	found := 0
	switch a.Status {
	case 404:
	case 200:
		config, _ := a.JSON()["config"].(map[string]any)
		mark, _ := config["mark"].(float64)
		found = int(mark)
	default:
		t.Errorf("%s: GET after a crash: %d %v %s", r.name, a.Status, a.Err, a.Body)
		return
	}
	uncertain := r.tried > r.acked || r.deleting
	ok := found == r.acked || (found > r.acked && found <= r.tried) || (found == 0 && r.deleting)
	if !ok {
		t.Errorf("%s: acknowledged %d, sent up to %d (deleting %v), found %d", r.name, r.acked, r.tried, r.deleting, found)
	}
	if uncertain { // the crash has decided
		r.acked, r.deleting = found, false
	}
}

// TestR11_KillAtRandomMoments kills a hearth again and again, in turn all of it and only its node
// process, while functions are written and called. HEARTH_TEST_KILLS says how often (default 100).
func TestR11_KillAtRandomMoments(t *testing.T) {
	kills := 100
	if s := os.Getenv("HEARTH_TEST_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	if testing.Short() {
		kills = 10
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	n := harness.Start(t, "--pool", "1")
	var records []*record
	for _, name := range []string{"a", "b", "c", "d"} {
		r := &record{name: name}
		records = append(records, r)
		n.Container("chaos", "c-"+name, nil)
	}
	n.Deploy("chaos", "steady", "steady", "module.exports = cb => cb(null, {ok: true})")

	var starts []time.Duration
	served, refused := 0, 0
	for k := range kills {
		whole := k%2 == 0
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i, r := range records {
			mine := rand.New(rand.NewPCG(seed, uint64(k*10+i+2)))
			wg.Go(func() {
				for ctx.Err() == nil {
					r.write(ctx, n, mine)
				}
			})
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				if a := n.Call("chaos", "steady", "steady"); a.Err == nil && a.Status == 200 {
					served++
				} else {
					refused++
				}
			}
		})
		time.Sleep(time.Duration(rng.IntN(700)) * time.Millisecond)
		instances := identities(n.InstancePIDs())
		killed := time.Now()
		if whole {
			n.Kill()
			stop()
			wg.Wait()
			n.Start()
		} else {
			unix.Kill(n.NodePID(), unix.SIGKILL)
			stop()
			wg.Wait()
		}
		harness.WaitFor(t, "a call is answered after a kill", 30*time.Second, func() bool {
			a := n.Call("chaos", "steady", "steady")
			return a.Err == nil && a.Status == 200
		})
		starts = append(starts, time.Since(killed))
		for _, r := range records {
			r.check(t, n)
		}
		if whole {
			for _, id := range instances {
				if id.alive() {
					t.Errorf("kill %d: instance process %d outlived its hearth", k, id.pid)
				}
			}
		}
		if t.Failed() {
			t.Fatalf("after kill %d (whole hearth: %v)", k, whole)
		}
	}
	n.WaitReady()
	writes := 0
	for _, r := range records {
		writes += r.writes
		if r.acked == 0 {
			continue
		}
		harness.WaitFor(t, "function "+r.name+" answers with its newest code", 20*time.Second, func() bool {
			return n.Call("chaos", "c-"+r.name, r.name).Text() == fmt.Sprintf(`{"mark":%d}`, r.acked)
		})
	}
	slices.Sort(starts)
	t.Logf("%d kills, %d acknowledged writes kept, %d calls answered, %d failed; from kill to the next answer: median %s, most %s",
		kills, writes, served, refused, starts[len(starts)/2].Round(time.Millisecond), starts[len(starts)-1].Round(time.Millisecond))
}

// identity is a process that cannot be mistaken for a later one of the same pid.
type identity struct {
	pid   int
	began string
}

func identities(pids []int) []identity {
	var ids []identity
	for _, pid := range pids {
		if began := harness.Began(pid); began != "" {
			ids = append(ids, identity{pid, began})
		}
	}
	return ids
}

func (i identity) alive() bool { return harness.Began(i.pid) == i.began }
