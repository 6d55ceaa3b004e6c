package pool

import (
	"context"
	"slices"
	"time"

	"hearth/internal/pool/instance"
)

// nextExercise picks the instance that is exercised more: the oldest on a shelf that was not yet, when
// the pool is full and calm. With none it says how long until it may be calm, 0 for nothing to do.
func (p *Pool) nextExercise(ctx context.Context) (do func(), later time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var next *instance.Instance
	for _, s := range p.shelves {
		if s.need() > 0 {
			return nil, 0 // the end of the start wakes the loop
		}
		if s.tree != nil {
			continue // exercised to the end before it was frozen
		}
		n := slices.IndexFunc(s.ready, func(i *instance.Instance) bool { return !i.ExercisedMore() })
		if n >= 0 && (next == nil || s.ready[n].Age() > next.Age()) {
			next = s.ready[n]
		}
	}
	if next == nil {
		return nil, 0
	}
	if rest := p.cfg.Calm - time.Since(p.busy); rest > 0 {
		return nil, rest
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	p.exercised, p.stopExercise = next, cancel
	return func() { p.exerciseMore(ctx, next) }, 0
}

// exerciseMore exercises i on its shelf. Who takes it meanwhile ends that; one that cannot be
// exercised is replaced.
func (p *Pool) exerciseMore(ctx context.Context, i *instance.Instance) {
	err := i.ExerciseMore(ctx)
	p.mu.Lock()
	p.stopExercise()
	p.exercised, p.stopExercise = nil, nil
	onShelf := false
	if err != nil {
		for _, s := range p.shelves {
			if n := slices.Index(s.ready, i); n >= 0 {
				s.ready = slices.Delete(s.ready, n, n+1)
				onShelf = true
			}
		}
	}
	p.mu.Unlock()
	if onShelf {
		p.cfg.Log.Warn("cannot exercise instance", "instance", i.ID(), "err", err)
		p.sized(i.Runtime())
		p.Destroy(i)
	}
}
