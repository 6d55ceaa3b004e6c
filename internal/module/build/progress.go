package build

import (
	"context"
	"sync"
	"time"

	"hearth"
	"hearth/internal/module/plan"
	"hearth/internal/store"
)

// Progress is how far a tree is.
type Progress struct {
	Tree    string
	Total   int             // contents
	Known   int             // of them, that were ready when this node was asked
	Fetched int             // that came from the registry since, built or not
	Built   int             // that became ready since
	Waiting string          // why it does not go on, "" while it does
	Failure *hearth.Failure // why it will not go on
}

// Done reports whether all contents are ready.
func (p Progress) Done() bool { return p.Known+p.Built >= p.Total }

// tracker tells who waits for trees what becomes of their contents.
type tracker struct {
	mu       sync.Mutex
	trees    map[string]*tracked          // by key
	contents map[string]map[*tracked]bool // that are not ready, by id
}

type tracked struct {
	p       Progress
	users   int
	open    map[string]bool // contents that are not ready; true: fetched
	waits   map[string]bool // those of them that were put off
	changed chan struct{}   // closed at the next change
}

func (t *tracker) init() {
	t.trees, t.contents = map[string]*tracked{}, map[string]map[*tracked]bool{}
}

// Follow begins to track a tree that was added to the store, until stop is called.
func (b *Builder) Follow(ctx context.Context, tree *plan.Tree) (stop func(), err error) {
	t := &b.progress
	t.mu.Lock()
	tr := t.trees[tree.Key]
	if tr == nil {
		tr = &tracked{p: Progress{Tree: tree.Key, Total: -1}, open: map[string]bool{}, waits: map[string]bool{}, changed: make(chan struct{})}
		t.trees[tree.Key] = tr
		for _, p := range tree.Packages { // all, until the store says which are ready: what happens meanwhile counts
			tr.open[p.Content] = false
			if t.contents[p.Content] == nil {
				t.contents[p.Content] = map[*tracked]bool{}
			}
			t.contents[p.Content][tr] = true
		}
	}
	tr.users++
	t.mu.Unlock()
	stop = func() { t.unfollow(tree.Key, tr) }
	if err := b.Look(ctx, tree.Key); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

func (t *tracker) unfollow(key string, tr *tracked) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tr.users--; tr.users > 0 {
		return
	}
	for id := range tr.open {
		t.close(id, tr)
	}
	delete(t.trees, key)
	tr.tell()
}

// close forgets that tr waits for a content.
func (t *tracker) close(id string, tr *tracked) {
	delete(tr.open, id)
	delete(tr.waits, id)
	delete(t.contents[id], tr)
	if len(t.contents[id]) == 0 {
		delete(t.contents, id)
	}
}

// tell wakes who watches.
func (tr *tracked) tell() {
	close(tr.changed)
	tr.changed = make(chan struct{})
}

// Look compares a followed tree with the store, for what other nodes built.
func (b *Builder) Look(ctx context.Context, key string) error {
	state, err := b.cfg.Store.TreeState(ctx, key)
	if err != nil {
		return err
	}
	b.progress.settle(key, state)
	return nil
}

func (t *tracker) settle(key string, state store.TreeState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := t.trees[key]
	if tr == nil {
		return
	}
	missing := make(map[string]bool, len(state.Missing))
	for _, id := range state.Missing {
		missing[id] = true
	}
	first := tr.p.Total < 0
	if first {
		tr.p.Total = state.Total
	}
	for id := range tr.open {
		if !missing[id] {
			t.close(id, tr)
			if !first {
				tr.p.Built++
			}
		}
	}
	if first {
		tr.p.Known = state.Total - len(tr.open) - tr.p.Built
	}
	tr.p.Failure = state.Failure
	if tr.p.Waiting = state.Waiting; state.RetryAt.Before(time.Now()) {
		tr.p.Waiting = ""
	}
	tr.tell()
}

// Progress says how far a followed tree is, with a channel that is closed at the next change. The
// channel is nil if nobody follows the tree any more: then the store knows the end.
func (b *Builder) Progress(key string) (Progress, <-chan struct{}) {
	t := &b.progress
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := t.trees[key]
	if tr == nil {
		return Progress{Tree: key}, nil
	}
	p := tr.p
	p.Total = max(p.Total, 0)
	return p, tr.changed
}

// each does something to every tree that waits for a content, and tells.
func (t *tracker) each(id string, do func(tr *tracked)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for tr := range t.contents[id] {
		do(tr)
		tr.tell()
	}
}

func (t *tracker) fetched(id string) {
	t.each(id, func(tr *tracked) {
		if !tr.open[id] {
			tr.open[id] = true
			tr.p.Fetched++
		}
		t.goOn(id, tr)
	})
}

func (t *tracker) ready(id string) {
	t.each(id, func(tr *tracked) {
		tr.p.Built++
		t.goOn(id, tr)
		t.close(id, tr)
	})
}

// goOn forgets that a content was put off; the words go with the last one.
func (t *tracker) goOn(id string, tr *tracked) {
	if delete(tr.waits, id); len(tr.waits) == 0 {
		tr.p.Waiting = ""
	}
}

func (t *tracker) waiting(id, why string) {
	t.each(id, func(tr *tracked) {
		tr.waits[id] = true
		tr.p.Waiting = why
	})
}

func (t *tracker) failed(id string, f hearth.Failure) {
	t.each(id, func(tr *tracked) { tr.p.Failure = &f })
}
