package handler

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"hearth"
	"hearth/internal/pool"
)

// Which tree deserves a preloaded instance: the one that saves the most time for its memory,
//
//	worth = cold starts a second × time saved by each ÷ memory of an instance
//
// The rate is a count that halves every demandHalfLife, so that a tree earns its place within a few
// cold starts and loses it in as many hours as it had them. Time and memory are measured on the first
// instance; before that they are guesses that let a tree in when there is room. Trees are taken in the
// order of their worth while the budget lasts. One that has an instance is worth a quarter more than it
// is, since changing costs a start. TestPolicyAgainstATrace plays a trace against it; the half-life and
// the guess are those that saved the most there.
const (
	demandHalfLife = 10 * time.Minute
	keepBonus      = 1.25
	guessedSaving  = 200 * time.Millisecond
	guessedMemory  = 64 << 20
	// leastRecent is what a tree must have had of cold starts lately: one alone proves nothing.
	leastRecent = 1.5
	// demandEvery is how often the trees are chosen anew.
	demandEvery = 10 * time.Second
	// mostDemanded bounds the trees that are counted; the least wanted is forgotten for a new one.
	mostDemanded = 10_000
)

// demand counts the cold starts of trees.
type demand struct {
	wake chan struct{} // size 1

	mu    sync.Mutex
	trees map[string]*wanted
	ids   map[string]string // preloaded instances that wait or waited, by id: their tree; bounded by chosen trees
}

// wanted is one tree's demand.
type wanted struct {
	key, runtime string
	recent       float64 // cold starts, halved every demandHalfLife
	at           time.Time
	saved        time.Duration // by one instance; 0: not measured
	memory       int64         // of one instance; 0: not measured
	kept         bool          // it has an instance, and is held on the disk
}

func (d *demand) init() {
	d.wake = make(chan struct{}, 1)
	d.trees, d.ids = map[string]*wanted{}, map[string]string{}
}

// cold counts a cold start of r's tree.
func (d *demand) cold(r *hearth.Route, now time.Time) {
	if r.Tree == "" || r.Limits.MemoryMiB != hearth.LimitMemory.Int() {
		return // a preloaded instance has the default memory
	}
	d.mu.Lock()
	w := d.trees[r.Tree]
	if w == nil {
		if len(d.trees) >= mostDemanded {
			d.forget(now)
		}
		w = &wanted{key: r.Tree, runtime: r.Manifest.Runtime, at: now}
		d.trees[r.Tree] = w
	}
	w.recent = w.decayed(now) + 1
	w.at = now
	first := !w.kept && w.recent >= leastRecent
	d.mu.Unlock()
	if first {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

func (w *wanted) decayed(now time.Time) float64 {
	return w.recent * math.Exp2(-now.Sub(w.at).Seconds()/demandHalfLife.Seconds())
}

// worth is seconds saved a half-life and MiB.
func (w *wanted) worth(now time.Time) float64 {
	v := w.decayed(now) * cmp.Or(w.saved, guessedSaving).Seconds() / (float64(cmp.Or(w.memory, guessedMemory)) / (1 << 20))
	if w.kept {
		v *= keepBonus
	}
	return v
}

// forget drops the tree with the fewest cold starts that has no instance. Call it with mu.
func (d *demand) forget(now time.Time) {
	var least *wanted
	for _, w := range d.trees {
		if !w.kept && (least == nil || w.decayed(now) < least.decayed(now)) {
			least = w
		}
	}
	if least != nil {
		delete(d.trees, least.key)
	}
}

// preloaded notes what an instance of a tree saved.
func (d *demand) preloaded(tree, id string, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.trees[tree]; w != nil {
		w.saved = max(took, time.Millisecond)
		d.ids[id] = tree
	}
}

// weighed notes what an instance uses, if it is a preloaded one.
func (d *demand) weighed(id string, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.trees[d.ids[id]]; w != nil && bytes > 0 {
		w.memory = bytes
	}
}

// choose picks the trees that have instances from now on, of those that refused does not name, within
// budget bytes. It returns which are chosen and which no longer are.
func (d *demand) choose(now time.Time, budget int64, refused func(tree string) bool) (chosen, dropped []*wanted) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []*wanted
	for _, w := range d.trees {
		if recent := w.decayed(now); recent < 0.01 && !w.kept {
			delete(d.trees, w.key)
		} else if recent >= leastRecent || w.kept && recent >= leastRecent/4 {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, func(a, b *wanted) int {
		return cmp.Or(cmp.Compare(b.worth(now), a.worth(now)), cmp.Compare(a.key, b.key))
	})
	in := map[string]bool{}
	for _, w := range all {
		if memory := cmp.Or(w.memory, guessedMemory); memory <= budget && !refused(w.key) {
			budget -= memory
			in[w.key] = true
			chosen = append(chosen, w)
		}
	}
	for _, w := range d.trees {
		if w.kept && !in[w.key] {
			dropped = append(dropped, w)
		}
	}
	for id, tree := range d.ids {
		if !in[tree] {
			delete(d.ids, id)
		}
	}
	return chosen, dropped
}

// preloadLoop keeps instances for the trees that deserve them.
func (h *Handler) preloadLoop(ctx context.Context) {
	if h.cfg.Trees == nil || h.cfg.PreloadBytes == 0 {
		return
	}
	tick := time.NewTicker(demandEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.demand.wake:
		}
		h.preload(ctx)
	}
}

// preload chooses the trees and tells the pool. A tree is held on the disk as long as it is chosen.
func (h *Handler) preload(ctx context.Context) {
	d := &h.demand
	chosen, dropped := d.choose(time.Now(), h.cfg.PreloadBytes, func(tree string) bool { return h.cfg.Pool.Refused(tree) != "" })
	var trees []pool.Tree
	for _, w := range chosen {
		if !w.kept { // only this goroutine writes it
			h.cfg.Trees.Hold(w.key)
		}
		path, _, err := h.cfg.Trees.Tree(ctx, w.key)
		var names []string
		if err == nil {
			names, err = h.cfg.Trees.Names(ctx, w.key)
		}
		if err != nil {
			if ctx.Err() == nil {
				h.cfg.Log.Warn("cannot preload tree", "tree", w.key, "err", err)
			}
			if !w.kept {
				h.cfg.Trees.Release(w.key)
			}
			continue
		}
		d.keep(w, true)
		trees = append(trees, pool.Tree{Key: w.key, Runtime: w.runtime, Path: path, Names: names, Count: 1})
	}
	h.cfg.Pool.Preload(trees)
	for _, w := range dropped {
		d.keep(w, false)
		h.cfg.Trees.Release(w.key)
	}
}

func (d *demand) keep(w *wanted, kept bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.kept = kept
}

// Preloaded notes that an instance has loaded a tree's packages, and how long that took. The pool
// tells of it.
func (h *Handler) Preloaded(tree, id string, took time.Duration) { h.demand.preloaded(tree, id, took) }
