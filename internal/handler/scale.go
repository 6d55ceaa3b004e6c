package handler

import (
	"context"
	"errors"
	"time"

	"hearth"
)

// flightFunctions bounds the functions that a flight writes before the instance serves; the others
// in line are added in place.
const flightFunctions = 8

// errNobody ends a flight for which nobody waits any more.
var errNobody = errors.New("nobody waits any more")

// ensure starts a flight for every runtime that somebody in line needs and no instance has. Call it
// with c.mu.
func (h *Handler) ensure(c *container) {
	v := c.view.Load()
	last := ""
	for _, w := range c.line {
		if w.function == last { // most of a line waits for the same
			continue
		}
		last = w.function
		if r := v.routes[w.function]; r != nil && r.Active != 0 && v.open(r.Manifest.Runtime) == 0 {
			h.launch(c, r)
		}
	}
}

// grow starts one more instance when the first in line has found no room for a while. Call it with
// c.mu.
func (h *Handler) grow(c *container) {
	if len(c.line) == 0 || time.Since(c.line[0].since) < pressure {
		return
	}
	v := c.view.Load()
	r := v.routes[c.line[0].function]
	if r == nil || r.Active == 0 {
		return
	}
	have := 0
	var other *serving // idle, of a runtime that is not wanted now
	for _, s := range v.fleet {
		if !s.inst.Open() {
			continue
		}
		have++
		if s.inst.Runtime() == r.Manifest.Runtime && s.inst.InFlight() < r.Limits.Concurrency {
			return // there is room: what the first waits for is being written
		}
		if s.inst.Runtime() != r.Manifest.Runtime && s.inst.InFlight() == 0 {
			other = s
		}
	}
	for _, n := range c.starting {
		have += n
	}
	switch {
	case have < r.Limits.MaxInstances:
		h.launch(c, r)
	case other != nil && c.starting[r.Manifest.Runtime] == 0:
		h.tasks.run(func(context.Context) { h.retire(other, "another runtime needs its place") })
	}
	c.calm = time.Time{}
}

// launch starts a flight for r's runtime unless one is under way, the container has to wait after
// crashes, or the tenant has all its instances. Call it with c.mu.
func (h *Handler) launch(c *container, r *hearth.Route) {
	runtime := r.Manifest.Runtime
	if c.starting[runtime] > 0 || c.backoff.left(time.Now()) > 0 {
		return
	}
	if int(c.tenant.live.Add(1)) > r.TenantMaxInstances {
		c.tenant.live.Add(-1)
		l := hearth.LimitTenantInstance
		l.Value = int64(r.TenantMaxInstances)
		c.trouble = full(l)
		h.tasks.run(func(context.Context) { h.makeRoom(c) })
		return
	}
	c.starting[runtime]++
	if !h.tasks.run(func(ctx context.Context) { h.flight(ctx, c, runtime) }) {
		c.starting[runtime]--
		c.tenant.live.Add(-1)
	}
}

// makeRoom retires the instance of the tenant's other containers that has been idle the longest.
func (h *Handler) makeRoom(c *container) {
	var oldest *serving
	for _, s := range h.registry.all() {
		if s.c == c || s.c.tenant != c.tenant || !s.inst.Open() || s.inst.InFlight() > 0 {
			continue
		}
		if oldest == nil || s.last.Load() < oldest.last.Load() {
			oldest = s
		}
	}
	if oldest != nil {
		h.retire(oldest, "another container of the tenant needs its place")
	}
}

// flight brings one more instance of a runtime into the container's service.
func (h *Handler) flight(ctx context.Context, c *container, runtime string) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Wait)
	defer cancel()
	began := time.Now()
	err := h.fly(ctx, c, runtime)
	c.mu.Lock()
	c.starting[runtime]--
	if err == nil {
		c.trouble = nil
	} else {
		c.tenant.live.Add(-1)
	}
	failed := err != nil && !errors.Is(err, errNobody)
	if failed {
		c.trouble = err
		var burnt *burntError
		if errors.As(err, &burnt) {
			c.backoff.count(time.Now())
		}
		if v := c.view.Load(); v.open(runtime) == 0 {
			answer := platform("assign", err)
			if errors.Is(err, context.DeadlineExceeded) {
				answer.Reason = "pool_empty"
			}
			c.fail(answer, func(w *waiter) bool {
				r := v.routes[w.function]
				return r != nil && r.Manifest.Runtime == runtime
			})
		}
	}
	h.hand(c)
	h.ensure(c)
	c.mu.Unlock()
	switch {
	case err == nil:
		if f := h.cfg.Hooks.Cold; f != nil {
			f(time.Since(began))
		}
	case failed && ctx.Err() != context.Canceled:
		h.cfg.Log.Warn("cannot bring instance into service", "tenant", c.key.tenant, "container", c.key.container, "err", err)
	}
}

// fly prepares an instance and publishes it, again if the routes changed or the instance died under
// way: three times, since each try may cost an instance.
func (h *Handler) fly(ctx context.Context, c *container, runtime string) error {
	var err error
	for range 3 {
		routes := c.wanted(runtime)
		if len(routes) == 0 {
			return errNobody
		}
		var s *serving
		if s, err = h.prepare(ctx, c, routes); err != nil {
			var burnt *burntError
			if errors.As(err, &burnt) && burnt.died && ctx.Err() == nil {
				continue
			}
			return err
		}
		if h.publish(s) {
			return nil
		}
		h.destroy(s)
		err = errors.New("the routes changed under way")
	}
	return err
}

// wanted returns the routes of the functions of a runtime for which somebody waits.
func (c *container) wanted(runtime string) []*hearth.Route {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.view.Load()
	seen := map[string]bool{}
	var routes []*hearth.Route
	for _, w := range c.line {
		if len(routes) == flightFunctions {
			break
		}
		r := v.routes[w.function]
		if seen[w.function] || r == nil || r.Active == 0 || r.Manifest.Runtime != runtime {
			continue
		}
		seen[w.function] = true
		routes = append(routes, r)
	}
	return routes
}

// publish lets s serve, unless the routes have changed since it was prepared. The tenant's count has
// been raised by launch.
func (h *Handler) publish(s *serving) bool {
	c := s.c
	h.registry.add(s)
	c.mu.Lock()
	v := c.view.Load()
	if s.stale(v.routes) || s.inst.Serve() != nil {
		c.mu.Unlock()
		return false
	}
	s.counted = true
	c.setFleet(append(v.fleet[:len(v.fleet):len(v.fleet)], s))
	h.hand(c)
	c.mu.Unlock()
	h.checkExit(s)
	return true
}

// add writes r's function into an instance with room, in place. Call it with c.mu.
func (h *Handler) add(c *container, v *view, r *hearth.Route) {
	s := v.addable(r)
	if s == nil || s.adding {
		return
	}
	s.adding = true
	if !h.tasks.run(func(ctx context.Context) { h.addTask(ctx, s, r) }) {
		s.adding = false
	}
}

func (h *Handler) addTask(ctx context.Context, s *serving, r *hearth.Route) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Wait)
	defer cancel()
	l, err := h.addTo(ctx, s, r)
	c := s.c
	c.mu.Lock()
	s.adding = false
	stale := false
	if err == nil {
		s.hold(r.Function, l)
		stale = s.stale(c.view.Load().routes)
	} else if _, dead := s.inst.Exit(); !dead && s.inst.Open() {
		c.fail(platform("assign", err), func(w *waiter) bool { return w.function == r.Function })
	}
	if !stale {
		h.hand(c)
	}
	c.mu.Unlock()
	if stale { // written, and not what the route says any more: it must not be loaded
		h.retire(s, "the routes changed")
	}
	if err != nil && ctx.Err() == nil {
		h.cfg.Log.Warn("cannot add function to instance", "tenant", c.key.tenant, "container", c.key.container,
			"function", r.Function, "instance", s.inst.ID(), "err", err)
	}
}
