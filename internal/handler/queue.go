package handler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"hearth"
)

const (
	// tenantQueues bounds what waits for all containers of a tenant, in lines' lengths.
	tenantQueues = 4
	// pressure is how long the first in line waits for room before another instance is worth its
	// memory: many times a quick function's answer, and a fraction of what a start takes.
	pressure = 50 * time.Millisecond
)

// waiter is a request in line.
type waiter struct {
	function string
	since    time.Time
	cold     bool        // no instance was there when it came
	ready    chan answer // of size 1, sent to once by whoever takes the waiter out of the line
}

// answer is what a waiter gets: a place in s, already counted, or err.
type answer struct {
	s   *serving
	r   *hearth.Route
	err error
}

// queue waits in the container's line.
func (h *Handler) queue(ctx context.Context, c *container, function string) (Grant, error) {
	w := &waiter{function: function, since: time.Now(), ready: make(chan answer, 1)}
	if err := h.join(c, w); err != nil {
		return Grant{}, err
	}
	defer c.tenant.waiting.Add(-1)
	// Most waits end before a timer is worth making.
	select {
	case a := <-w.ready:
		return h.grant(w, a)
	default:
	}
	deadline := time.NewTimer(h.cfg.Wait)
	defer deadline.Stop()
	select {
	case a := <-w.ready:
		return h.grant(w, a)
	case <-deadline.C:
		return Grant{}, h.giveUp(c, w, nil)
	case <-ctx.Done():
		return Grant{}, h.giveUp(c, w, context.Cause(ctx))
	}
}

// join puts w in line, or says why not, and starts what it needs.
func (h *Handler) join(c *container, w *waiter) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.view.Load()
	r := v.routes[w.function]
	switch {
	case r == nil:
		return gone()
	case r.Active == 0:
		return inactive(r)
	}
	none := v.open(r.Manifest.Runtime) == 0
	if wait := c.backoff.left(time.Now()); none && wait > patience {
		return crashed(wait)
	}
	if len(c.line) >= h.cfg.Queue {
		return full(hearth.LimitQueue)
	}
	if int(c.tenant.waiting.Add(1)) > tenantQueues*h.cfg.Queue {
		c.tenant.waiting.Add(-1)
		return full(hearth.LimitQueue)
	}
	w.cold = none
	c.line = append(c.line, w)
	c.waiting.Store(int32(len(c.line)))
	h.hand(c)
	h.ensure(c)
	if len(c.line) > 0 && !c.pressing {
		c.pressing = h.tasks.run(func(ctx context.Context) { h.press(ctx, c) })
		if !c.pressing {
			c.failAll(draining())
		}
	}
	return nil
}

func (h *Handler) grant(w *waiter, a answer) (Grant, error) {
	if a.err != nil {
		return Grant{}, a.err
	}
	g := Grant{Instance: a.s.inst, Route: a.r, Start: hearth.StartWarm, h: h, s: a.s}
	g.Queue = time.Since(w.since)
	if w.cold {
		g.Start = hearth.StartColdLocal
		if a.s.took.Fetch > 0 {
			g.Start = hearth.StartColdRemote
		}
		// What went on before the request came, or beside the wait for an instance, it did not wait for.
		left := g.Queue
		for _, part := range []struct{ to, took *time.Duration }{{&g.Assign, &a.s.took.Assign}, {&g.Link, &a.s.took.Link}, {&g.Fetch, &a.s.took.Fetch}} {
			*part.to = min(*part.took, left)
			left -= *part.to
		}
		g.Queue = left
	}
	return g, nil
}

// giveUp takes w out of the line. A place that it was given meanwhile is given back.
func (h *Handler) giveUp(c *container, w *waiter, cause error) error {
	c.mu.Lock()
	if n := slices.Index(c.line, w); n >= 0 {
		c.line = slices.Delete(c.line, n, n+1)
		c.waiting.Store(int32(len(c.line)))
	}
	r := c.view.Load().routes[w.function]
	none := r != nil && c.view.Load().open(r.Manifest.Runtime) == 0
	trouble, wait := c.trouble, c.backoff.left(time.Now())
	c.mu.Unlock()
	select {
	case a := <-w.ready:
		if a.s != nil {
			h.leave(a.s)
		}
	default:
	}
	switch {
	case cause != nil:
		return fmt.Errorf("wait for instance: %w", cause)
	case none && wait > 0:
		return crashed(wait)
	case none:
		var limit *hearth.Error
		if errors.As(trouble, &limit) && limit.Component == hearth.ComponentLimit {
			return limit
		}
		return platform("pool_empty", trouble)
	}
	return late(time.Since(w.since))
}

// hand gives places to those in line, in their order, while there are any; a function that is not in
// an instance with room is written into it. Call it with c.mu.
func (h *Handler) hand(c *container) {
	if len(c.line) == 0 {
		return
	}
	v := c.view.Load()
	hopeless := "" // a function for which there was no place; most of a line waits for the same
	rest := c.line[:0]
	for _, w := range c.line {
		if w.function == hopeless {
			rest = append(rest, w)
			continue
		}
		r := v.routes[w.function]
		switch {
		case r == nil:
			w.ready <- answer{err: gone()}
			continue
		case r.Active == 0:
			w.ready <- answer{err: inactive(r)}
			continue
		}
		if s := v.pick(r); s != nil {
			w.ready <- answer{s: s, r: r}
			continue
		}
		h.add(c, v, r)
		hopeless = w.function
		rest = append(rest, w)
	}
	clear(c.line[len(rest):])
	c.line = rest
	c.waiting.Store(int32(len(rest)))
}

// failAll answers everybody in line with err. Call it with c.mu.
func (c *container) failAll(err error) { c.fail(err, func(*waiter) bool { return true }) }

// fail answers those in line whom which names with err. Call it with c.mu.
func (c *container) fail(err error, which func(*waiter) bool) {
	c.line = slices.DeleteFunc(c.line, func(w *waiter) bool {
		if !which(w) {
			return false
		}
		w.ready <- answer{err: err}
		return true
	})
	c.waiting.Store(int32(len(c.line)))
}

// press watches a line until it is empty: what could not be started when a request came is tried
// again, and another instance is started when the first in line finds no room.
func (h *Handler) press(ctx context.Context, c *container) {
	tick := time.NewTicker(pressure)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		c.mu.Lock()
		h.hand(c)
		if ctx.Err() != nil {
			c.failAll(draining())
		}
		if len(c.line) == 0 {
			c.pressing = false
			c.mu.Unlock()
			return
		}
		h.ensure(c)
		h.grow(c)
		c.mu.Unlock()
	}
}
