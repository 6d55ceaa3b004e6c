package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hearth/internal/pool/instance"
)

// Tree is packages that an instance loads before it is anybody's.
type Tree struct {
	Key     string
	Runtime string
	Path    string   // where instances see its node_modules
	Names   []string // of the packages to load
	Count   int      // instances to keep, at least 1
}

// Preload keeps instances that have loaded these trees, of the default limits, and ends those of
// other trees. They are frozen until they are taken, so that a package's code gets no processor time
// that nobody asked for. The generic instances come first.
func (p *Pool) Preload(trees []Tree) {
	want := map[kind]*Tree{}
	for n := range trees {
		t := &trees[n]
		want[kind{t.Runtime, p.cfg.Limits.MemoryMiB, t.Key}] = t
	}
	var ends []*instance.Instance
	p.mu.Lock()
	for k, s := range p.shelves {
		if s.tree != nil && want[k] == nil {
			ends = append(ends, s.ready...)
			delete(p.shelves, k) // one that is just starting finds no place
		}
	}
	for k, t := range want {
		if p.stopped || p.refused[t.Key] != "" {
			continue
		}
		s := p.shelves[k]
		if s == nil {
			s = &shelf{runtime: t.Runtime, limits: p.cfg.Limits, tree: t}
			p.shelves[k] = s
		}
		s.size = max(1, t.Count)
		if extra := len(s.ready) - s.size; extra > 0 {
			ends = append(ends, s.ready[:extra]...)
			s.ready = slices.Delete(s.ready, 0, extra)
		}
	}
	p.mu.Unlock()
	for _, i := range ends {
		p.Destroy(i)
	}
	signal(p.wake)
}

// Refused says why a tree cannot be preloaded, "" while nothing is known against it.
func (p *Pool) Refused(tree string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused[tree]
}

// mostRefused bounds what is remembered; past it the memory begins anew, which costs one more try each.
const mostRefused = 10_000

var errRefused = errors.New("the tree cannot be preloaded")

// preload makes i an instance of s's tree. What cannot be frozen makes the tree not preloadable: that
// is found out by trying, and remembered.
func (p *Pool) preload(ctx context.Context, s *shelf, i *instance.Instance) error {
	err := errors.Join(i.Exercise(ctx), i.ExerciseMore(ctx), p.cfg.Starter.Mount(ctx, i.ID()))
	if err != nil {
		return err
	}
	done, err := i.Preload(ctx, s.tree.Path, s.tree.Names)
	refused := ""
	switch {
	case len(done.Left) > 0:
		refused = "loading it leaves " + strings.Join(done.Left, ", ")
	case err != nil:
		refused = err.Error() // it ended the process, or took longer than a start may
	case done.Loaded == 0:
		refused = "none of its packages loads"
	}
	if refused == "" {
		if h := p.cfg.Hooks.Preloaded; h != nil {
			h(s.tree.Key, i.ID(), done.Took)
		}
		return p.cfg.Starter.Freeze(ctx, i.ID(), true)
	}
	if ctx.Err() == context.Canceled { // the node stops; the tree is not to blame
		return context.Cause(ctx)
	}
	p.mu.Lock()
	if len(p.refused) >= mostRefused {
		clear(p.refused)
	}
	p.refused[s.tree.Key] = refused
	delete(p.shelves, kind{s.runtime, s.limits.MemoryMiB, s.tree.Key})
	p.mu.Unlock()
	p.cfg.Log.Info("tree cannot be preloaded", "tree", s.tree.Key, "why", refused)
	return fmt.Errorf("%w: %s", errRefused, refused)
}

// takePreloaded returns an instance of a kind with a tree, thawed, or nil.
func (p *Pool) takePreloaded(ctx context.Context, k kind) *instance.Instance {
	if k.tree == "" {
		return nil
	}
	p.mu.Lock()
	s := p.shelves[k]
	if s == nil || len(s.ready) == 0 || p.stopped {
		p.mu.Unlock()
		return nil
	}
	p.busy = time.Now()
	i := s.ready[0]
	s.ready = slices.Delete(s.ready, 0, 1)
	p.mu.Unlock()
	signal(p.wake)
	if err := p.cfg.Starter.Freeze(ctx, i.ID(), false); err != nil {
		p.cfg.Log.Warn("cannot thaw preloaded instance", "instance", i.ID(), "err", err)
		p.Destroy(i)
		return nil
	}
	return i
}
