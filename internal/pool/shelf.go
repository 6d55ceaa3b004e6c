package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"hearth"
	"hearth/internal/pool/instance"
	"hearth/internal/warden/wire"
)

// kind is what an instance cannot change after its start.
type kind struct {
	runtime   string
	memoryMiB int    // V8's heap is sized by it
	tree      string // whose packages it has loaded; "": of none, a generic instance
}

// shelf is the instances of one kind that wait, and the takers who wait for one; never both. The
// pool's mutex guards it.
type shelf struct {
	runtime  string
	limits   wire.Limits
	tree     *Tree // nil: generic instances
	size     int
	ready    []*instance.Instance      // oldest first, at most size
	takers   []chan *instance.Instance // first come first served, each of size 1; bounded by the callers
	starting int
	full     bool // it has been full once

	failures int       // starts that failed in a row
	retry    time.Time // no start before this
	last     error     // what the last start failed of
}

// Take returns an instance that has loaded tree's packages if one waits, else a generic one; preloaded
// tells which. tree may be "".
func (p *Pool) Take(ctx context.Context, runtime string, memoryMiB int, tree string) (i *instance.Instance, preloaded bool, err error) {
	if i := p.takePreloaded(ctx, kind{runtime, memoryMiB, tree}); i != nil {
		return i, true, nil
	}
	i, err = p.takeGeneric(ctx, runtime, memoryMiB)
	return i, false, err
}

// takeGeneric returns the oldest instance of a runtime, or waits in line for the next one until ctx ends.
// The instance is the caller's, to assign and to destroy. Node.js sizes its heap when it starts, so
// an instance of another memory than the pool's is started for its taker and never kept ready.
func (p *Pool) takeGeneric(ctx context.Context, runtime string, memoryMiB int) (*instance.Instance, error) {
	p.mu.Lock()
	s := p.shelf(runtime, memoryMiB)
	if s == nil || p.stopped {
		stopped := p.stopped
		p.mu.Unlock()
		if stopped {
			return nil, ErrStopped
		}
		return nil, hearth.Errorf(hearth.CodeInvalid, "there is no runtime %q", runtime)
	}
	if s.limits == p.cfg.Limits {
		s.size = max(s.size, min(1, p.cfg.Size)) // who asked once asks again
	}
	p.busy = time.Now()
	if len(s.ready) > 0 {
		i := p.pick(s)
		p.mu.Unlock()
		signal(p.wake)
		p.sized(runtime)
		return i, nil
	}
	mine := make(chan *instance.Instance, 1)
	s.takers = append(s.takers, mine)
	p.mu.Unlock()
	signal(p.wake)
	select {
	case i, ok := <-mine:
		if !ok {
			return nil, ErrStopped
		}
		return i, nil
	case <-ctx.Done():
		return nil, p.leave(ctx, s, mine)
	}
}

// pick takes the oldest instance off a shelf that is not empty; one that is being exercised only if
// there is no other. Call it with mu.
func (p *Pool) pick(s *shelf) *instance.Instance {
	n := 0
	if s.ready[0] == p.exercised && len(s.ready) > 1 {
		n = 1
	}
	i := s.ready[n]
	if i == p.exercised {
		p.stopExercise()
	}
	s.ready = slices.Delete(s.ready, n, n+1)
	return i
}

// shelf finds the shelf of a kind, nil for a runtime that is not there. Those of another memory are
// made when they are asked for; there are at most as many as sizes that a container may have. Call it
// with mu.
func (p *Pool) shelf(runtime string, memoryMiB int) *shelf {
	k := kind{runtime: runtime, memoryMiB: memoryMiB}
	s := p.shelves[k]
	if s == nil && p.shelves[kind{runtime: runtime, memoryMiB: p.cfg.Limits.MemoryMiB}] != nil {
		s = &shelf{runtime: runtime, limits: p.cfg.Limits}
		s.limits.MemoryMiB = memoryMiB
		p.shelves[k] = s
	}
	return s
}

// Return gives back an instance that was taken with this memory and not assigned.
func (p *Pool) Return(i *instance.Instance, memoryMiB int) {
	p.mu.Lock()
	s := p.shelf(i.Runtime(), memoryMiB)
	p.mu.Unlock()
	if s == nil || i.State() != instance.Pooled {
		p.Destroy(i)
		return
	}
	p.put(s, i)
}

// leave takes a taker out of the line. An instance that was handed over meanwhile goes back on the
// shelf: nobody has assigned it.
func (p *Pool) leave(ctx context.Context, s *shelf, mine chan *instance.Instance) error {
	p.mu.Lock()
	if n := slices.Index(s.takers, mine); n >= 0 {
		s.takers = slices.Delete(s.takers, n, n+1)
	}
	last := s.last
	p.mu.Unlock()
	select {
	case i, ok := <-mine:
		if ok {
			p.put(s, i)
		}
	default:
	}
	if last != nil {
		return fmt.Errorf("take %s instance: %w (the last start failed: %w)", s.runtime, context.Cause(ctx), last)
	}
	return fmt.Errorf("take %s instance: %w", s.runtime, context.Cause(ctx))
}

// next picks the shelf that most needs an instance and counts a start for it: first one with takers,
// then the emptiest. With none to start it says how long until a shelf may be tried again, 0 for
// nothing to wait for.
func (p *Pool) next() (*shelf, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var best *shelf
	var wait time.Duration
	now := time.Now()
	for _, s := range p.shelves {
		if s.need() <= 0 {
			continue
		}
		if d := s.retry.Sub(now); d > 0 {
			if wait == 0 || d < wait {
				wait = d
			}
			continue
		}
		if best == nil || s.before(best) {
			best = s
		}
	}
	if best != nil {
		best.starting++
	}
	return best, wait
}

func (s *shelf) need() int { return s.size + len(s.takers) - len(s.ready) - s.starting }

// unserved is the number of takers for whom no start is under way.
func (s *shelf) unserved() int { return len(s.takers) - s.starting }

func (s *shelf) before(o *shelf) bool {
	if a, b := s.unserved() > 0, o.unserved() > 0; a != b {
		return a
	}
	if a, b := s.tree == nil, o.tree == nil; a != b {
		return a // anybody can use a generic one
	}
	return s.need() > o.need()
}

// start starts one instance for s and hands it to a taker or puts it on the shelf.
func (p *Pool) start(ctx context.Context, s *shelf) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	began := time.Now()
	i, err := p.startOne(ctx, s)
	p.mu.Lock()
	s.starting--
	if err == nil {
		s.failures, s.last, s.retry = 0, nil, time.Time{}
	} else if ctx.Err() != context.Canceled {
		wait := min(backoffLeast<<min(s.failures, 20), backoffMost)
		s.failures++
		s.last = err
		s.retry = time.Now().Add(jitter(wait))
	}
	p.mu.Unlock()
	if errors.Is(err, errRefused) {
		return
	}
	if err != nil {
		if ctx.Err() != context.Canceled {
			p.cfg.Log.Warn("cannot start instance", "runtime", s.runtime, "err", err)
			if h := p.cfg.Hooks.Failed; h != nil {
				h(s.runtime, err)
			}
		}
		return
	}
	if h := p.cfg.Hooks.Started; h != nil {
		h(s.runtime, time.Since(began))
	}
	p.put(s, i)
}

// startOne starts and exercises an instance. Exercise ends early when somebody waits for it.
func (p *Pool) startOne(ctx context.Context, s *shelf) (*instance.Instance, error) {
	box, err := p.cfg.Starter.Start(ctx, s.runtime, s.limits)
	if err != nil {
		return nil, err
	}
	i, err := p.open(box, func() { p.attach(box) })
	if err != nil {
		return nil, err
	}
	if s.tree != nil {
		err = p.preload(ctx, s, i)
	} else if p.wanted(s) {
		err = i.Ping(ctx) // it listens before Node.js runs: the ping waits for the shim
	} else {
		err = i.Exercise(ctx)
	}
	if err == nil {
		err = i.Pool()
	}
	if err != nil {
		p.Destroy(i)
		return nil, err
	}
	return i, nil
}

// wanted reports whether takers wait.
func (p *Pool) wanted(s *shelf) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(s.takers) > 0
}

// put hands a pooled instance to the first taker, else on the shelf; one that died, or that finds no
// place, is ended.
func (p *Pool) put(s *shelf, i *instance.Instance) {
	if _, dead := i.Exit(); dead {
		p.Destroy(i)
		signal(p.wake)
		return
	}
	p.mu.Lock()
	switch {
	case p.stopped || s.tree != nil && p.shelves[kind{s.runtime, s.limits.MemoryMiB, s.tree.Key}] != s || (len(s.takers) == 0 && len(s.ready) >= s.size):
		p.mu.Unlock()
		p.Destroy(i)
		return
	case len(s.takers) > 0:
		s.takers[0] <- i // has room for one, and is sent to once
		s.takers = slices.Delete(s.takers, 0, 1)
		p.mu.Unlock()
		return
	}
	s.ready = append(s.ready, i)
	if len(s.ready) == s.size {
		s.full = true
	}
	p.mu.Unlock()
	// It may have died between the check and the shelf, before Exited could find it there.
	if e, dead := i.Exit(); dead {
		p.Exited(e)
	}
	p.sized(s.runtime)
	signal(p.news)
}
