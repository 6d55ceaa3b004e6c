package handler

import (
	"time"

	"hearth/internal/warden/wire"
)

// Pressure is how long the first in line waits before a container grows.
const Pressure = pressure

// Weigh is what the reap loop does with the warden's stats, at a time of the test's choice.
func (h *Handler) Weigh(all []wire.Stats, now time.Time) { h.weigh(all, now) }

// Forgive forgets all crashes, so that a test of many does not wait for what each costs.
func (h *Handler) Forgive() {
	for c := range h.routes.all() {
		c.mu.Lock()
		c.backoff = backoff{}
		c.mu.Unlock()
	}
}

// Waiting is how many versions somebody waits for.
func (h *Handler) Waiting() int {
	h.builds.mu.Lock()
	defer h.builds.mu.Unlock()
	return len(h.builds.waiting)
}
