package handler

import (
	"context"
	"time"

	"hearth"
	"hearth/internal/warden/wire"
)

const (
	// statsEvery is how often memory is looked at: a leak that matters takes longer.
	statsEvery = 15 * time.Second
	// memoryShare of its limit, in percent, is what an idle instance may keep after its requests.
	memoryShare = 85
	// memoryAge is how old an instance is before its memory counts: one that is over the share when it
	// starts would otherwise be replaced for ever.
	memoryAge = time.Minute
	// retiredTime is how long a retired instance may finish: the longest request, and a little.
	retiredSlack = time.Minute
)

// retire takes s out of service: nothing new enters, and the last request out destroys it.
func (h *Handler) retire(s *serving, why string) {
	c := s.c
	c.mu.Lock()
	c.drop(s)
	first, idle := h.shut(s)
	if first {
		h.ensure(c)
	}
	c.mu.Unlock()
	if first {
		h.retired(s, idle, why)
	}
}

// shut shuts the instance's gate and gives its place in the tenant's count back. Call it with c.mu.
func (h *Handler) shut(s *serving) (first, idle bool) {
	first, idle = s.inst.Retire()
	if s.counted {
		s.counted = false
		s.c.tenant.live.Add(-1)
	}
	return first, idle
}

// retired finishes what shut began, without a lock.
func (h *Handler) retired(s *serving, idle bool, why string) {
	h.cfg.Log.Debug("instance retired", "instance", s.inst.ID(), "tenant", s.c.key.tenant, "container", s.c.key.container, "why", why)
	old := h.registry.retire(s, int(s.c.tenant.most.Load()))
	if idle {
		h.destroy(s)
	}
	for _, o := range old {
		h.destroy(o)
	}
}

// destroy ends an instance that is in no view. Requests in it break off.
func (h *Handler) destroy(s *serving) {
	h.cfg.Pool.Destroy(s.inst)
	h.registry.remove(s)
	for _, tree := range h.registry.letGo(s) {
		h.cfg.Trees.Release(tree)
	}
	c := s.c
	c.mu.Lock()
	c.drop(s)
	h.shut(s)
	c.mu.Unlock()
}

// reapLoop ends what is idle, extra, fat or retired for too long.
func (h *Handler) reapLoop(ctx context.Context) {
	reap := time.NewTicker(min(5*time.Second, max(time.Millisecond, min(h.cfg.Idle, h.cfg.Calm)/4)))
	defer reap.Stop()
	stats := time.NewTicker(statsEvery)
	defer stats.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-reap.C:
			h.reap(time.Now())
		case <-stats.C:
			ctx, cancel := context.WithTimeout(ctx, statsEvery)
			all, err := h.cfg.Warden.Stats(ctx)
			cancel()
			if err != nil {
				h.cfg.Log.Warn("cannot read what instances use", "err", err)
				continue
			}
			h.weigh(all, time.Now())
		}
	}
}

// reap looks at every instance once.
func (h *Handler) reap(now time.Time) {
	seen := map[*container]bool{}
	for _, s := range h.registry.all() {
		switch at := h.registry.retiredAt(s); {
		case !at.IsZero() && now.Sub(at) > hearth.LimitTimeout.Duration()+retiredSlack:
			h.destroy(s)
		case at.IsZero() && s.inst.Open() && s.inst.InFlight() == 0 && now.UnixNano()-s.last.Load() > int64(h.cfg.Idle):
			h.retire(s, "idle")
		case !seen[s.c]:
			seen[s.c] = true
			h.shrink(s.c, now)
		}
	}
}

// shrink retires the least busy instance of a container whose requests would have had room in the
// others, with half to spare, for as long as Config.Calm.
func (h *Handler) shrink(c *container, now time.Time) {
	c.mu.Lock()
	var extra *serving
	perRuntime := map[string]int{}
	busy, most := map[string]int{}, map[string]int{}
	v := c.view.Load()
	for _, r := range v.routes {
		most[r.Manifest.Runtime] = r.Limits.Concurrency
	}
	for _, s := range v.fleet {
		perRuntime[s.inst.Runtime()]++
		busy[s.inst.Runtime()] += s.inst.InFlight()
	}
	for _, s := range v.fleet {
		rt := s.inst.Runtime()
		if n := perRuntime[rt]; n > 1 && len(c.line) == 0 && busy[rt] <= (n-1)*most[rt]/2 &&
			(extra == nil || s.inst.InFlight() <= extra.inst.InFlight()) {
			extra = s
		}
	}
	switch {
	case extra == nil:
		c.calm = time.Time{}
	case c.calm.IsZero():
		c.calm, extra = now, nil
	case now.Sub(c.calm) < h.cfg.Calm:
		extra = nil
	default:
		c.calm = now
	}
	c.mu.Unlock()
	if extra != nil {
		h.retire(extra, "no longer needed")
	}
}

// weigh notes what instances use, and retires those that keep too much while idle.
func (h *Handler) weigh(all []wire.Stats, now time.Time) {
	for _, st := range all {
		s := h.registry.get(st.ID)
		if s == nil {
			h.demand.weighed(st.ID, st.MemoryBytes)
			continue
		}
		s.memory.Store(st.MemoryBytes)
		limit := int64(h.cfg.Pool.Limits().MemoryMiB) << 20
		if l := s.limits.Load(); l != nil {
			limit = int64(l.MemoryMiB) << 20
		}
		if s.inst.Open() && s.inst.InFlight() == 0 && now.Sub(s.since) > memoryAge && st.MemoryBytes > limit/100*memoryShare {
			h.retire(s, "its memory grew")
		}
	}
}

// Stats is what the handler holds now.
type Stats struct {
	Serving, Retired     int   // instances
	Waiting              int   // requests in line
	MemoryBytes, MostMem int64 // of assigned instances: in all, and of the largest
}

// Stats returns what the handler holds now.
func (h *Handler) Stats() Stats {
	var st Stats
	for _, s := range h.registry.all() {
		if s.inst.Open() {
			st.Serving++
		} else {
			st.Retired++
		}
		m := s.memory.Load()
		st.MemoryBytes += m
		st.MostMem = max(st.MostMem, m)
	}
	for _, t := range h.registry.tenantCounts() {
		st.Waiting += int(t.waiting.Load())
	}
	return st
}
