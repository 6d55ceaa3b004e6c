package handler

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"hearth"
)

// The policy is played against a trace: 200 trees whose cold starts come by Zipf's law over three
// hours, with a change of fashion in the middle. What it saves is compared with what the best fixed
// choice for each half would have (which has to know the future), and with keeping what was used last.
func TestPolicyAgainstATrace(t *testing.T) {
	t.Parallel()
	const trees, budget, hours = 200, 1 << 30, 3
	rng := rand.New(rand.NewPCG(1, 2))
	type tree struct {
		saved  time.Duration
		memory int64
		rates  [2]float64 // cold starts an hour, in each half
	}
	all := make([]tree, trees)
	first, second := rng.Perm(trees), rng.Perm(trees)
	for n := range all {
		all[n] = tree{saved: time.Duration(20+rng.IntN(400)) * time.Millisecond, memory: int64(30+rng.IntN(120)) << 20,
			rates: [2]float64{600 / math.Pow(float64(first[n]+1), 1.1), 600 / math.Pow(float64(second[n]+1), 1.1)}}
	}
	type arrival struct {
		at   time.Duration
		tree int
	}
	var trace []arrival
	half := time.Duration(hours) * time.Hour / 2
	for n, tr := range all {
		for h, rate := range tr.rates {
			for at := time.Duration(0); ; {
				at += time.Duration(rng.ExpFloat64() / rate * float64(time.Hour))
				if at >= half {
					break
				}
				trace = append(trace, arrival{time.Duration(h)*half + at, n})
			}
		}
	}
	slices.SortFunc(trace, func(a, b arrival) int { return int(a.at - b.at) })

	// The policy, choosing every demandEvery.
	var d demand
	d.init()
	start := time.Unix(1_000_000, 0)
	key := func(n int) string { return fmt.Sprintf("%03d", n) }
	var saved time.Duration
	changes := 0
	next := time.Duration(0)
	have := map[string]bool{}
	for _, a := range trace {
		for ; next <= a.at; next += demandEvery {
			chosen, dropped := d.choose(start.Add(next), budget, func(string) bool { return false })
			var used int64
			for _, w := range chosen {
				var n int
				fmt.Sscan(w.key, &n)
				used += all[n].memory
				if !w.kept {
					changes++
					d.keep(w, true)
					d.preloaded(w.key, "i"+w.key, all[n].saved)
					d.weighed("i"+w.key, all[n].memory)
				}
				have[w.key] = true
			}
			for _, w := range dropped {
				d.keep(w, false)
				delete(have, w.key)
			}
			if used > 2*budget { // guesses may be wrong once; measured memory is within
				t.Fatalf("%d MiB are used of %d", used>>20, budget>>20)
			}
		}
		if have[key(a.tree)] {
			saved += all[a.tree].saved
		}
		r := &hearth.Route{Tree: key(a.tree), Manifest: hearth.Manifest{Runtime: "node24"}, Limits: hearth.DefaultContainerLimits()}
		d.cold(r, start.Add(a.at))
	}

	// The best fixed choice of each half, by the same worth.
	var best time.Duration
	for h := range 2 {
		order := rng.Perm(trees)
		slices.SortFunc(order, func(a, b int) int {
			wa := all[a].rates[h] * all[a].saved.Seconds() / float64(all[a].memory)
			wb := all[b].rates[h] * all[b].saved.Seconds() / float64(all[b].memory)
			return int(math.Copysign(1, wb-wa))
		})
		in := map[int]bool{}
		left := int64(budget)
		for _, n := range order {
			if all[n].memory <= left {
				left -= all[n].memory
				in[n] = true
			}
		}
		for _, a := range trace {
			if in[a.tree] && (a.at < half) == (h == 0) {
				best += all[a.tree].saved
			}
		}
	}

	// What was used last, within the same memory.
	var last time.Duration
	var recent []int
	for _, a := range trace {
		if n := slices.Index(recent, a.tree); n >= 0 {
			last += all[a.tree].saved
			recent = slices.Delete(recent, n, n+1)
		}
		recent = append(recent, a.tree)
		var used int64
		for n := len(recent) - 1; n >= 0; n-- {
			if used += all[recent[n]].memory; used > budget {
				recent = recent[n+1:]
				break
			}
		}
	}
	t.Logf("%d cold starts: the policy saves %s with %d changes, the best fixed choices %s, what was used last %s",
		len(trace), saved.Round(time.Second), changes, best.Round(time.Second), last.Round(time.Second))
	if saved < best*85/100 || saved < last {
		t.Errorf("the policy saves %s; want at least 85 %% of %s, and more than %s", saved, best, last)
	}
	if changes > trees*hours*2 {
		t.Errorf("%d changes: it flaps", changes)
	}
}

func TestRefusedAndUnusualTreesAreNotChosen(t *testing.T) {
	t.Parallel()
	var d demand
	d.init()
	now := time.Unix(1_000_000, 0)
	route := func(tree string, memory int) *hearth.Route {
		l := hearth.DefaultContainerLimits()
		l.MemoryMiB = memory
		return &hearth.Route{Tree: tree, Manifest: hearth.Manifest{Runtime: "node24"}, Limits: l}
	}
	for range 5 {
		d.cold(route("refused", 256), now)
		d.cold(route("large", 512), now)
		d.cold(route("", 256), now)
		d.cold(route("good", 256), now)
	}
	d.cold(route("once", 256), now)
	chosen, _ := d.choose(now, 1<<30, func(tree string) bool { return tree == "refused" })
	if len(chosen) != 1 || chosen[0].key != "good" {
		t.Errorf("chosen: %v", chosen)
	}
	d.keep(chosen[0], true)
	_, dropped := d.choose(now.Add(3*time.Hour), 1<<30, func(string) bool { return false })
	if len(dropped) != 1 || dropped[0].key != "good" {
		t.Errorf("after three quiet hours dropped: %v", dropped)
	}
}
