package handler

import (
	"context"
	"time"

	"hearth/internal/warden/wire"
)

const (
	// freeCrashes may come without a wait: a mistake now and then should cost its callers nothing.
	freeCrashes = 4
	// crashWindow without a crash forgives all; longer than the longest wait.
	crashWindow = time.Minute
	crashLeast  = time.Second
	crashMost   = 30 * time.Second
	// patience is the longest wait that a request sits out in line instead of being told of it.
	patience = time.Second
	// pingTime is how long a turning event loop may take to answer.
	pingTime = time.Second
	// brokenMost is how many requests in a row may end without an answer in an instance that lives.
	brokenMost = 3
)

// backoff is how long a container whose instances crash has to wait for the next one, so that a
// crash loop costs the others neither instances nor processors.
type backoff struct {
	crashes int
	last    time.Time
	until   time.Time
}

func (b *backoff) count(now time.Time) {
	if now.Sub(b.last) > crashWindow {
		b.crashes = 0
	}
	b.crashes++
	b.last = now
	if n := b.crashes - freeCrashes; n > 0 {
		b.until = now.Add(min(crashLeast<<min(n-1, 10), crashMost))
	}
}

func (b *backoff) left(now time.Time) time.Duration { return max(0, b.until.Sub(now)) }

// watchExits takes the warden's news of instances that ended by themselves.
func (h *Handler) watchExits(ctx context.Context) {
	exits := h.cfg.Warden.Exits()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-exits:
			if !ok {
				return
			}
			h.exited(e)
		}
	}
}

func (h *Handler) exited(e wire.Exit) {
	h.cfg.Pool.Exited(e)
	if s := h.registry.get(e.ID); s != nil {
		h.cfg.Log.Info("instance exited", "instance", e.ID, "tenant", s.c.key.tenant, "container", s.c.key.container,
			"status", e.Status, "oom", e.OOM)
		h.crashed(s, "it exited")
	}
}

// checkExit handles an exit that came before s was known.
func (h *Handler) checkExit(s *serving) {
	if _, dead := s.inst.Exit(); dead {
		h.crashed(s, "it exited")
	}
}

// crashed counts a crash of an instance and destroys it.
func (h *Handler) crashed(s *serving, why string) {
	h.countCrash(s)
	h.retire(s, why)
	h.destroy(s)
}

// leaves retires an instance that an error of its code ends as soon as it has answered. That is a
// crash like any other, only one that is known earlier.
func (h *Handler) leaves(s *serving) {
	h.countCrash(s)
	h.retire(s, "an error of its code ends it")
}

// countCrash counts the end of an instance that was to go on, once.
func (h *Handler) countCrash(s *serving) {
	if s.inst.Open() && s.failed.CompareAndSwap(false, true) {
		s.c.mu.Lock()
		s.c.backoff.count(time.Now())
		s.c.mu.Unlock()
	}
}

// timedOut retires an instance in which a request ran out of time; one whose event loop is stuck
// can finish nothing and is destroyed.
func (h *Handler) timedOut(s *serving) {
	h.retire(s, "a request timed out")
	if !s.checking.CompareAndSwap(false, true) {
		return
	}
	h.tasks.run(func(ctx context.Context) {
		defer s.checking.Store(false)
		if !h.alive(ctx, s) {
			h.destroy(s)
		}
	})
}

// brokeOff looks at an instance whose connection ended without an answer. Its exit, if it exited,
// comes by itself; an instance that lives may break one connection, but not one after another.
func (h *Handler) brokeOff(s *serving) {
	broken := s.broken.Add(1)
	if !s.checking.CompareAndSwap(false, true) {
		return
	}
	h.tasks.run(func(ctx context.Context) {
		defer s.checking.Store(false)
		if _, dead := s.inst.Exit(); dead {
			return
		}
		if alive := h.alive(ctx, s); alive && broken < brokenMost {
			return
		}
		if ctx.Err() == nil {
			h.crashed(s, "it broke off requests")
		}
	})
}

// alive asks whether the event loop turns. A handler that stops asks no more and takes it as true.
func (h *Handler) alive(ctx context.Context, s *serving) bool {
	ping, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	return s.inst.Ping(ping) == nil || ctx.Err() != nil
}
