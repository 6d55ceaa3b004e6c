package handler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"hearth"
	"hearth/internal/pool/instance"
)

const (
	// buildEvery is how often the store is asked for versions without a reason: a notification that
	// was lost costs this much.
	buildEvery = 30 * time.Second
	// retryLeast and retryMost bound the wait after a trial that Hearth itself could not make.
	retryLeast = 250 * time.Millisecond
	retryMost  = 30 * time.Second
	// exitTime is how long the news of an exit may take after the connection broke.
	exitTime = 2 * time.Second
	// othersTime bounds loading the container's other functions into a successor.
	othersTime = 5 * time.Second
)

// errGone says that a version's function is not there any more: there is nothing to settle.
var errGone = errors.New("the function is gone")

// functionKey names a function, versionKey one version of it.
type functionKey struct{ tenant, container, function string }
type versionKey struct {
	functionKey
	number int
}

func keyOf(v hearth.Version) versionKey {
	return versionKey{functionKey{v.Tenant, v.Container, v.Function}, v.Number}
}

// builds is which versions are tried, and who waits for them.
type builds struct {
	wake chan struct{} // size 1
	done chan struct{} // closed when Run ends

	mu      sync.Mutex
	asked   bool                 // somebody waits for a version since the store was last asked
	running map[functionKey]bool // one trial a function at a time
	retries map[versionKey]*retry
	served  map[string]uint64 // when a tenant had its last trial, counted in trials
	count   uint64
	turn    uint64                    // how often the store was asked
	waiting map[versionKey][]deployer // bounded by the requests that wait
}

// deployer is somebody who waits for a version. What the store said before they came does not tell of
// it: it may have been made since.
type deployer struct {
	settled chan struct{}
	turn    uint64 // of builds, when they came
}

type retry struct {
	tries int
	at    time.Time
}

func (b *builds) init() {
	b.wake, b.done = make(chan struct{}, 1), make(chan struct{})
	b.running, b.retries = map[functionKey]bool{}, map[versionKey]*retry{}
	b.served, b.waiting = map[string]uint64{}, map[versionKey][]deployer{}
}

// kick makes the loop look at the store.
func (b *builds) kick() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Settled returns when a version is ready or failed, and new requests go by that; nil too when the
// version is gone. The error is ctx's cause, or that the node stops.
func (h *Handler) Settled(ctx context.Context, tenant, container, function string, version int) error {
	k := versionKey{functionKey{tenant, container, function}, version}
	b := &h.builds
	settled := make(chan struct{})
	b.mu.Lock()
	b.waiting[k] = append(b.waiting[k], deployer{settled, b.turn})
	b.asked = true
	b.mu.Unlock()
	b.kick()
	var err error
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		err = fmt.Errorf("wait for %s/%s/%s version %d: %w", tenant, container, function, version, context.Cause(ctx))
	case <-b.done:
		err = draining()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if rest := slices.DeleteFunc(b.waiting[k], func(w deployer) bool { return w.settled == settled }); len(rest) > 0 {
		b.waiting[k] = rest
	} else {
		delete(b.waiting, k)
	}
	return err
}

// buildLoop tries the versions that the store says are building, also those that an earlier process
// left, Config.Trials at a time.
func (h *Handler) buildLoop(ctx context.Context) {
	b := &h.builds
	defer close(b.done)
	var trials sync.WaitGroup
	defer trials.Wait()
	slots := make(chan struct{}, h.cfg.Trials)
	for ctx.Err() == nil {
		wait := buildEvery
		if len(slots) < cap(slots) || b.take() { // else there is nothing to do with an answer
			wait = h.build(ctx, &trials, slots)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-b.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// take reports whether somebody began to wait since the last call.
func (b *builds) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.asked
	b.asked = false
	return asked
}

// build starts trials while there are slots and versions, and says when to look again.
func (h *Handler) build(ctx context.Context, trials *sync.WaitGroup, slots chan struct{}) time.Duration {
	b := &h.builds
	turn := b.ask()
	list, err := h.cfg.Store.Building(ctx)
	if err != nil {
		if ctx.Err() == nil {
			h.cfg.Log.Error("cannot read versions to try", "err", err)
		}
		return time.Second
	}
	b.release(list, turn)
	for len(slots) < cap(slots) {
		v, later, ok := b.next(list, time.Now(), max(1, cap(slots)/2))
		if !ok {
			return min(buildEvery, later)
		}
		slots <- struct{}{}
		trials.Go(func() {
			h.tryOne(ctx, v)
			<-slots
			b.kick()
		})
	}
	return buildEvery
}

// ask begins a turn: the store is asked next.
func (b *builds) ask() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn++
	return b.turn
}

// release lets go who waited, when the turn began, for a version that is not building any more, and
// forgets its retries.
func (b *builds) release(list []hearth.Version, turn uint64) {
	building := map[versionKey]bool{}
	for _, v := range list {
		building[keyOf(v)] = true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, all := range b.waiting {
		if building[k] || b.running[k.functionKey] {
			continue
		}
		late := all[:0]
		for _, w := range all {
			if w.turn < turn {
				close(w.settled)
			} else {
				late = append(late, w)
			}
		}
		if b.waiting[k] = late; len(late) == 0 {
			delete(b.waiting, k)
		}
	}
	maps.DeleteFunc(b.retries, func(k versionKey, _ *retry) bool { return !building[k] })
	if len(list) == 0 && len(b.running) == 0 {
		clear(b.served)
	}
}

// next picks the version whose turn it is: of the tenant whose last trial is the longest ago, the
// oldest. No tenant has more than share trials at a time: an endless one takes ten seconds, and the
// others' deploys must not wait for it. With none it says how long until one may be tried again.
func (b *builds) next(list []hearth.Version, now time.Time, share int) (hearth.Version, time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	best, later := -1, buildEvery
	seen := map[functionKey]bool{}
	busy := map[string]int{} // trials of a tenant
	for k := range b.running {
		busy[k.tenant]++
	}
	for n, v := range list {
		k := keyOf(v)
		if b.running[k.functionKey] || seen[k.functionKey] || busy[k.tenant] >= share {
			continue
		}
		seen[k.functionKey] = true // versions of a function in their order
		if r := b.retries[k]; r != nil && now.Before(r.at) {
			later = min(later, r.at.Sub(now))
			continue
		}
		if best < 0 || b.served[v.Tenant] < b.served[list[best].Tenant] {
			best = n
		}
	}
	if best < 0 {
		return hearth.Version{}, later, false
	}
	v := list[best]
	b.count++
	b.served[v.Tenant] = b.count
	b.running[keyOf(v).functionKey] = true
	return v, 0, true
}

// tryOne tries a version and settles it, or notes when to try again.
func (h *Handler) tryOne(ctx context.Context, v hearth.Version) {
	k := keyOf(v)
	began := time.Now()
	err := h.settle(ctx, v)
	b := &h.builds
	b.mu.Lock()
	delete(b.running, k.functionKey)
	if err == nil || errors.Is(err, errGone) {
		delete(b.retries, k)
	} else {
		r := b.retries[k]
		if r == nil {
			r = &retry{}
			b.retries[k] = r
		}
		wait := min(retryLeast<<min(r.tries, 10), retryMost)
		r.tries++
		r.at = time.Now().Add(wait/2 + rand.N(wait/2))
	}
	b.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		h.cfg.Log.Warn("cannot try version", "tenant", v.Tenant, "container", v.Container, "function", v.Function,
			"version", v.Number, "took", time.Since(began), "err", err)
	}
}

// settle brings a building version to ready or failed. An error is Hearth's trouble, not the
// version's: it is tried again.
func (h *Handler) settle(ctx context.Context, v hearth.Version) error {
	began := time.Now()
	c, r, err := h.trialRoute(ctx, v)
	if err != nil {
		return err
	}
	s, bare, failure, err := h.try(ctx, c, r)
	if err != nil {
		return err
	}
	v.Status, v.Failure, v.Loaded, v.Stripped = hearth.StatusFailed, failure, hearth.Loaded{}, ""
	if failure == nil {
		v.Status, v.Loaded = hearth.StatusReady, r.Loaded
		defer h.discard(c, s) // unless a refresh has put it into service
		v.Stripped = h.keep(ctx, v, bare)
	}
	v.SettledAt = time.Now()
	if err := h.cfg.Store.Settle(ctx, v); err != nil {
		if hearth.CodeOf(err) == hearth.CodeNotFound {
			return errGone
		}
		return fmt.Errorf("settle version: %w", err)
	}
	if f := h.cfg.Hooks.Trial; f != nil {
		f(v.Status, time.Since(began))
	}
	return h.Refresh(ctx, v.Tenant, v.Container)
}

// trialRoute is the route that the version will have when it is active.
func (h *Handler) trialRoute(ctx context.Context, v hearth.Version) (*container, *hearth.Route, error) {
	k := key{v.Tenant, v.Container}
	find := func() (*container, *hearth.Route) {
		if c := h.routes.get(k); c != nil {
			return c, c.view.Load().routes[v.Function]
		}
		return nil, nil
	}
	c, now := find()
	if now == nil || (v.FunctionID != "" && now.FunctionID != v.FunctionID) {
		if err := h.refreshOne(ctx, k); err != nil {
			return nil, nil, err
		}
		if c, now = find(); now == nil || (v.FunctionID != "" && now.FunctionID != v.FunctionID) {
			return nil, nil, errGone
		}
	}
	r := *now
	r.Active, r.Digest, r.Tree, r.Manifest = v.Number, v.Digest, v.Tree, v.Manifest
	r.Loaded, r.Stripped = hearth.Loaded{}, ""
	return c, &r, nil
}

// try loads the version in an instance of its own, with its secrets, config and limits, and in the
// form in which it will serve: bare is that without types, nil if that is the code as it came. The
// instance becomes a spare when one that serves has loaded another version, else it is destroyed, so
// that cold is cold.
func (h *Handler) try(ctx context.Context, c *container, r *hearth.Route) (s *serving, bare []hearth.File, failure *hearth.Failure, err error) {
	within, cancel := context.WithTimeout(ctx, h.cfg.Wait)
	defer cancel()
	s, codes, err := h.take(within, c, []*hearth.Route{r}, false)
	if err != nil {
		return nil, nil, nil, err
	}
	if bare = h.strip(ctx, s.inst, codes[0].files); bare != nil {
		codes[0].files, codes[0].meta.Stripped = bare, true
	}
	if err := h.writeAll(within, s, codes); err != nil {
		_, died := s.inst.Exit()
		h.destroy(s)
		return nil, nil, nil, &burntError{cause: err, died: died}
	}
	h.registry.add(s)
	failure, err = h.load(ctx, s, r)
	if err != nil || failure != nil {
		h.destroy(s)
		return nil, nil, failure, err
	}
	if !h.succeed(ctx, c, s, r) {
		h.destroy(s)
		return nil, bare, nil, nil
	}
	return s, bare, nil, nil
}

// load loads the version and tells the tenant's failures from ours.
func (h *Handler) load(ctx context.Context, s *serving, r *hearth.Route) (*hearth.Failure, error) {
	within, cancel := context.WithTimeout(ctx, h.cfg.Load)
	defer cancel()
	answer, err := s.inst.Load(within, r.Function, r.Active)
	if err == nil {
		r.Loaded = answer
		return nil, nil
	}
	var refused *instance.LoadError
	switch {
	case errors.As(err, &refused):
		return &refused.Failure, nil
	case ctx.Err() != nil:
		return nil, err
	case within.Err() != nil:
		return &hearth.Failure{Reason: "timeout", Message: fmt.Sprintf("The function did not finish loading within %s.", h.cfg.Load)}, nil
	}
	select { // the connection broke: the news why comes another way
	case <-s.inst.Gone():
	case <-ctx.Done():
		return nil, err
	case <-time.After(exitTime):
	}
	e, exited := s.inst.Exit()
	switch {
	case !exited:
		return &hearth.Failure{Reason: "load", Message: "The function closed the instance's control socket while it loaded."}, nil
	case e.OOM:
		return &hearth.Failure{Reason: "oom", Message: fmt.Sprintf("The function needed more than its %d MiB of memory to load.", r.Limits.MemoryMiB)}, nil
	}
	return &hearth.Failure{Reason: "exit", Message: fmt.Sprintf("The process ended with status %d while the function loaded.", e.Status)}, nil
}

// succeed makes s a spare if it has somebody to succeed, with the other functions that those have
// loaded.
func (h *Handler) succeed(ctx context.Context, c *container, s *serving, r *hearth.Route) bool {
	routes := maps.Clone(c.view.Load().routes)
	routes[r.Function] = r
	within, cancel := context.WithTimeout(ctx, othersTime)
	defer cancel()
	c.mu.Lock()
	others := map[string]*hearth.Route{}
	conflict := false
	for _, o := range c.view.Load().fleet {
		if !o.stale(routes) {
			continue
		}
		conflict = true
		for name := range o.holds() {
			if n := routes[name]; n != nil && name != r.Function && n.Active != 0 && n.Manifest.Runtime == r.Manifest.Runtime {
				others[name] = n
			}
		}
	}
	c.mu.Unlock()
	if !conflict {
		return false
	}
	for _, o := range others {
		l, err := h.addTo(within, s, o)
		if err != nil {
			return false
		}
		s.hold(o.Function, l)
		h.loadAll(within, s, []*hearth.Route{o})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.spare = true
	c.spares = append(c.spares, s)
	return true
}

// discard destroys a spare that no refresh has put into service.
func (h *Handler) discard(c *container, s *serving) {
	if s == nil {
		return
	}
	c.mu.Lock()
	unused := slices.Contains(c.spares, s)
	if unused {
		c.drop(s)
	}
	c.mu.Unlock()
	if unused {
		h.destroy(s)
	}
}
