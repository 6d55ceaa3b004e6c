package handler

import (
	"context"
	"time"

	"hearth"
	"hearth/internal/pool/instance"
)

// Grant is a request's place in an instance. Call Release exactly once.
type Grant struct {
	Instance *instance.Instance
	Route    *hearth.Route // the one that counts: newer than Acquire's if it changed meanwhile
	Start    hearth.Start
	Waits

	h *Handler
	s *serving
}

// Waits is what a cold request waited for, in the order in which it came; no part is in another.
type Waits struct {
	Queue  time.Duration // for an instance
	Fetch  time.Duration // until its packages had come from the blob store
	Link   time.Duration // until they were linked on this node's disk
	Assign time.Duration // until the instance had its label, limits and code
}

// Outcome is what the proxy saw of a request.
type Outcome int

// The outcomes.
const (
	// OK: answered, or the client went away; whatever the status.
	OK Outcome = iota
	// Timeout: past its time limit. The instance is retired; at once destroyed if its event loop is
	// stuck.
	Timeout
	// Leaving: answered, and the instance said that it ends now. It is retired.
	Leaving
	// Died: the connection ended, or could not be made, before an answer. An instance that has exited
	// is out of service when Release returns, so that Acquire gives another one; else it is asked
	// whether it lives.
	Died
)

// Acquire gives a place for one request of r's function. Warm, it takes atomics only; else it waits
// in the container's line, at most Config.Wait. Errors are *hearth.Error (unavailable with
// RetryAfter, not_found when the function is gone) or, when ctx ends, its cause.
func (h *Handler) Acquire(ctx context.Context, r *hearth.Route) (Grant, error) {
	c := h.routes.get(key{r.Tenant, r.Container})
	if c == nil {
		return Grant{}, gone()
	}
	v := c.view.Load()
	now := v.routes[r.Function]
	if now == nil {
		return Grant{}, gone()
	}
	if now.Active == 0 {
		return Grant{}, inactive(now)
	}
	if c.waiting.Load() == 0 { // else it would overtake
		if s := v.pick(now); s != nil {
			return Grant{Instance: s.inst, Route: now, Start: hearth.StartWarm, h: h, s: s}, nil
		}
	}
	return h.queue(ctx, c, r.Function)
}

// MemoryBytes is what the instance used when it was last looked at, 0 before.
func (g Grant) MemoryBytes() int64 { return g.s.memory.Load() }

// Release counts the request out.
func (g Grant) Release(o Outcome) {
	h, s := g.h, g.s
	switch o {
	case OK:
		if s.broken.Load() != 0 {
			s.broken.Store(0)
		}
	case Timeout:
		h.timedOut(s)
	case Leaving:
		h.leaves(s)
	case Died:
		if _, dead := s.inst.Exit(); dead {
			h.crashed(s, "it exited") // whoever watches exits may not have come so far
		} else {
			h.brokeOff(s)
		}
	}
	h.leave(s)
}

// leave counts a request out of s; the last one of a retired instance destroys it.
func (h *Handler) leave(s *serving) {
	left, retired := s.inst.Leave()
	if left == 0 {
		if retired {
			h.destroy(s)
		} else {
			s.last.Store(time.Now().UnixNano())
		}
	}
	if c := s.c; c.waiting.Load() > 0 {
		c.mu.Lock()
		h.hand(c)
		c.mu.Unlock()
	}
}
