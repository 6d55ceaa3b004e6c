package handler

import (
	"context"
	"fmt"
	"sync"
	"time"

	"hearth"
)

const (
	// successorTime bounds what Refresh spends on successors before it switches without: a change is
	// to hold within a second.
	successorTime = 700 * time.Millisecond
	// successorsMost bounds the successors of one switch, since they come out of the pool at once.
	successorsMost = 4
	// changedTime bounds one try of Changed.
	changedTime = 10 * time.Second
)

// Refresh reads the routes of a container again, of all the tenant's if container is "". When it
// returns, new requests go by what the store said after Refresh was called: instances that had loaded
// what changed take none any more, and successors with the same functions serve in their place.
func (h *Handler) Refresh(ctx context.Context, tenant, container string) error {
	if container != "" {
		return h.refreshOne(ctx, key{tenant, container})
	}
	routes, err := h.cfg.Store.Routes(ctx, tenant, "")
	if err != nil {
		return fmt.Errorf("read routes of tenant %s: %w", tenant, err)
	}
	keys := map[key]bool{}
	for _, r := range routes {
		keys[key{tenant, r.Container}] = true
	}
	for c := range h.routes.all() {
		if c.key.tenant == tenant {
			keys[c.key] = true
		}
	}
	for k := range keys {
		if err := h.refreshOne(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// Changed is Refresh for the store's notification, which has no context and must not be lost: it
// tries once, and goes on in the background when that fails.
func (h *Handler) Changed(tenant, container string) {
	first := make(chan struct{})
	started := h.tasks.run(func(ctx context.Context) {
		done := sync.OnceFunc(func() { close(first) })
		defer done()
		for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
			try, cancel := context.WithTimeout(ctx, changedTime)
			err := h.Refresh(try, tenant, container)
			cancel()
			if err == nil || ctx.Err() != nil {
				return
			}
			h.cfg.Log.Error("cannot refresh routes", "tenant", tenant, "container", container, "err", err)
			done()
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
	})
	if started {
		<-first
	}
}

// refreshOne refreshes one container. Of many calls that wait for each other the first does the work
// of all: a refresh that began after a call did has read what the caller wrote.
func (h *Handler) refreshOne(ctx context.Context, k key) error {
	for {
		c := h.routes.make(k, &h.registry)
		mine := c.asked.Add(1)
		select {
		case c.refreshing <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("refresh %s/%s: %w", k.tenant, k.container, context.Cause(ctx))
		}
		if c.refreshed >= mine {
			<-c.refreshing
			return nil
		}
		covers := c.asked.Load()
		removed, err := h.refresh(ctx, c)
		if err == nil && !removed {
			c.refreshed = covers
		}
		<-c.refreshing
		if !removed {
			return err
		}
	}
}

// refresh switches c to the store's routes. It reports true when c had been removed meanwhile.
func (h *Handler) refresh(ctx context.Context, c *container) (removed bool, err error) {
	c.mu.Lock()
	removed = c.removed
	c.mu.Unlock()
	if removed {
		return true, nil
	}
	list, err := h.cfg.Store.Routes(ctx, c.key.tenant, c.key.container)
	if err != nil {
		return false, fmt.Errorf("read routes of %s/%s: %w", c.key.tenant, c.key.container, err)
	}
	routes := make(map[string]*hearth.Route, len(list))
	for n := range list {
		routes[list[n].Function] = &list[n]
		c.tenant.most.Store(int32(list[n].TenantMaxInstances))
	}
	within, cancel := context.WithTimeout(ctx, successorTime)
	fresh := h.successors(within, c, routes)
	cancel()
	h.change(c, routes, fresh)
	h.relimit(c)
	h.builds.kick()
	return false, nil
}

// change publishes routes together with the instances that serve them, and shuts the gates of the
// others before it returns.
func (h *Handler) change(c *container, routes map[string]*hearth.Route, fresh []*serving) {
	type end struct {
		s           *serving
		first, idle bool
	}
	var ends []end
	var unused []*serving
	c.mu.Lock()
	var fleet, old []*serving
	for _, s := range c.view.Load().fleet {
		if s.stale(routes) {
			old = append(old, s)
		} else {
			fleet = append(fleet, s)
		}
	}
	for _, s := range append(fresh, c.spares...) {
		ready := len(old) > 0 && !s.stale(routes) && s.inst.Serve() == nil
		if ready {
			s.counted = true
			c.tenant.live.Add(1)
			fleet = append(fleet, s)
		} else if !s.spare {
			unused = append(unused, s)
		}
	}
	spares := c.spares[:0]
	for _, s := range c.spares {
		if !s.inst.Open() {
			spares = append(spares, s)
		}
	}
	clear(c.spares[len(spares):])
	c.spares = spares
	before := c.view.Load().routes
	c.view.Store(&view{routes: routes, fleet: fleet})
	for _, s := range old {
		first, idle := h.shut(s)
		ends = append(ends, end{s, first, idle})
	}
	h.hand(c)
	h.ensure(c)
	if len(routes) == 0 && len(fleet) == 0 && len(c.line) == 0 && len(c.spares) == 0 {
		c.removed = true
	}
	removed := c.removed
	c.mu.Unlock()
	for _, e := range ends {
		if e.first {
			h.retired(e.s, e.idle, "what it loaded has changed")
		}
	}
	for _, s := range unused {
		h.destroy(s)
	}
	for _, s := range fleet {
		h.checkExit(s)
	}
	if removed {
		h.routes.remove(c)
	}
	h.forget(before, routes)
}

// forget tells of functions that were there before and are no more. A name that belongs to another
// function now has another id.
func (h *Handler) forget(before, now map[string]*hearth.Route) {
	if h.cfg.Hooks.Removed == nil {
		return
	}
	for name, r := range before {
		if next := now[name]; next == nil || next.FunctionID != r.FunctionID {
			h.cfg.Hooks.Removed(r.FunctionID)
		}
	}
}

// successors makes instances ready that will serve in the place of those that routes make stale, with
// the functions that these have loaded, so that a deploy costs no request a cold start: as many as
// the requests in flight need, less the spares that are there. It gives up what is not ready when ctx
// ends.
func (h *Handler) successors(ctx context.Context, c *container, routes map[string]*hearth.Route) []*serving {
	need := c.missing(routes)
	var mu sync.Mutex
	var fresh []*serving
	var wg sync.WaitGroup
	for _, n := range need {
		for range n.count {
			wg.Go(func() {
				s, err := h.successor(ctx, c, n.routes)
				if err != nil {
					h.cfg.Log.Debug("no successor", "tenant", c.key.tenant, "container", c.key.container, "err", err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				fresh = append(fresh, s)
			})
		}
	}
	wg.Wait()
	return fresh
}

// successor makes one instance ready, with its functions loaded.
func (h *Handler) successor(ctx context.Context, c *container, routes []*hearth.Route) (*serving, error) {
	s, err := h.prepare(ctx, c, routes)
	if err != nil {
		return nil, err
	}
	h.registry.add(s)
	h.loadAll(ctx, s, routes)
	if e, dead := s.inst.Exit(); dead {
		h.destroy(s)
		return nil, fmt.Errorf("instance %s exited with status %d while it loaded", e.ID, e.Status)
	}
	return s, nil
}

// loadAll loads functions that were written. One that does not load does so no less at its next
// request, and one that takes too long goes on by itself.
func (h *Handler) loadAll(ctx context.Context, s *serving, routes []*hearth.Route) {
	for _, r := range routes {
		if _, err := s.inst.Load(ctx, r.Function, r.Active); err != nil && ctx.Err() != nil {
			return
		}
	}
}

// missing is a number of successors of one runtime with their functions.
type missing struct {
	routes []*hearth.Route
	count  int
}

// missing says which successors a switch to routes needs.
func (c *container) missing(routes map[string]*hearth.Route) map[string]*missing {
	c.mu.Lock()
	defer c.mu.Unlock()
	need := map[string]*missing{}
	seen := map[string]bool{}
	busy, old, kept := map[string]int{}, map[string]int{}, map[string]int{}
	for _, s := range c.view.Load().fleet {
		rt := s.inst.Runtime()
		if !s.stale(routes) {
			kept[rt]++
			continue
		}
		old[rt]++
		busy[rt] += s.inst.InFlight()
		for name := range s.holds() {
			r := routes[name]
			if r == nil || r.Active == 0 || seen[name] {
				continue
			}
			seen[name] = true
			n := need[r.Manifest.Runtime]
			if n == nil {
				n = &missing{}
				need[r.Manifest.Runtime] = n
			}
			n.routes = append(n.routes, r)
		}
	}
	for _, s := range c.spares {
		if !s.stale(routes) {
			kept[s.inst.Runtime()]++
		}
	}
	for rt, n := range need {
		per := max(1, n.routes[0].Limits.Concurrency)
		n.count = min((busy[rt]+per-1)/per, old[rt], successorsMost)
		n.count = max(n.count, 1) - kept[rt]
	}
	return need
}

// relimit gives the instances of c the limits that its routes say now.
func (h *Handler) relimit(c *container) {
	v := c.view.Load()
	for _, r := range v.routes {
		want := limitsOf(r)
		for _, s := range v.fleet {
			have := h.cfg.Pool.Limits()
			if l := s.limits.Load(); l != nil {
				have = *l
			}
			if want == have {
				continue
			}
			s.limits.Store(&want)
			h.tasks.run(func(ctx context.Context) {
				ctx, cancel := context.WithTimeout(ctx, changedTime)
				defer cancel()
				if err := h.cfg.Warden.Limit(ctx, s.inst.ID(), want); err != nil && s.inst.Open() {
					h.cfg.Log.Warn("cannot change limits of instance", "instance", s.inst.ID(), "err", err)
					h.retire(s, "its limits cannot be changed")
				}
			})
		}
		return // the limits are the container's: any route says them
	}
}
