package handler

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"hearth/internal/pool"
)

// halfLife is how fast a tenant's takes are forgotten: a few refills of a pool.
const halfLife = 5 * time.Second

// turns decides who may take an instance next. Tenants go round robin, each with at most half of the
// places; and a tenant that took many lately leaves the pool's last instances (a quarter of its size)
// to those who took few, so that somebody's first call finds one however many another tenant starts.
// Few is fewer than half the pool's size, or than a quarter of what the busiest tenant took.
type turns struct {
	pool    *pool.Pool
	reserve int     // instances on the default shelf that only light tenants take
	few     float64 // takes that leave a tenant light
	places  int     // cold starts at a time
	each    int     // of them, for one tenant

	mu      sync.Mutex
	running int
	tenants map[string]*turn
	ring    []*turn // those with somebody in line, whose turn it is first
}

// turn is one tenant's place in the round.
type turn struct {
	tenant  string
	line    []ticket // bounded by the tenant's containers, each with one flight a runtime, and trials
	running int
	recent  float64 // takes, halved every halfLife
	at      time.Time
}

type ticket struct {
	runtime string
	go_     chan struct{} // closed when it may go
}

func newTurns(p *pool.Pool) *turns {
	n := p.Size()
	return &turns{pool: p, reserve: (n + 2) / 4, few: float64(n) / 2, places: max(4, n), each: max(2, n/2), tenants: map[string]*turn{}}
}

// take waits for the tenant's turn. The caller calls done when it has its instance or none.
func (t *turns) take(ctx context.Context, tenant, runtime string) (done func(), err error) {
	k := ticket{runtime, make(chan struct{})}
	t.mu.Lock()
	l := t.tenants[tenant]
	if l == nil {
		l = &turn{tenant: tenant, at: time.Now()}
		t.tenants[tenant] = l
	}
	if len(l.line) == 0 {
		t.ring = append(t.ring, l)
	}
	l.line = append(l.line, k)
	t.pump()
	t.mu.Unlock()
	select {
	case <-k.go_:
		return func() { t.done(l) }, nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	n := slices.IndexFunc(l.line, func(o ticket) bool { return o.go_ == k.go_ })
	if n >= 0 {
		l.line = slices.Delete(l.line, n, n+1)
		if len(l.line) == 0 {
			t.leave(l)
		}
	}
	t.mu.Unlock()
	if n < 0 { // it was let go just now
		t.done(l)
	}
	return nil, fmt.Errorf("wait for a turn: %w", context.Cause(ctx))
}

func (t *turns) done(l *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.running--
	t.running--
	t.pump()
}

// leave takes a tenant without a line out of the round. Call it with mu.
func (t *turns) leave(l *turn) {
	if n := slices.Index(t.ring, l); n >= 0 {
		t.ring = slices.Delete(t.ring, n, n+1)
	}
}

// pump lets go whoever may. Call it with mu.
func (t *turns) pump() {
	now := time.Now()
	for t.running < t.places && len(t.ring) > 0 {
		few := t.few
		for _, l := range t.tenants {
			few = max(few, l.decayed(now)/4)
		}
		n := slices.IndexFunc(t.ring, func(l *turn) bool { return t.may(l, few, now) })
		if n < 0 {
			return
		}
		l := t.ring[n]
		t.ring = slices.Delete(t.ring, n, n+1)
		k := l.line[0]
		l.line = slices.Delete(l.line, 0, 1)
		if len(l.line) > 0 {
			t.ring = append(t.ring, l) // to the end: the others come first
		}
		l.running++
		t.running++
		l.recent = l.decayed(now) + 1
		l.at = now
		close(k.go_)
	}
}

// may reports whether the tenant's first in line may go. Call it with mu.
func (t *turns) may(l *turn, few float64, now time.Time) bool {
	if l.running >= t.each {
		return false
	}
	if t.reserve == 0 || l.line[0].runtime != t.pool.Default() || l.decayed(now) < few {
		return true
	}
	// What goes at this moment has not all left the shelf yet: count it as gone.
	return t.pool.Shelved()-t.running > t.reserve
}

func (l *turn) decayed(now time.Time) float64 {
	return l.recent * math.Exp2(-now.Sub(l.at).Seconds()/halfLife.Seconds())
}

// pumpLoop looks again whenever the pool has grown, and forgets tenants that have rested.
func (t *turns) pumpLoop(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.pool.Changed():
		case <-tick.C:
		}
		t.mu.Lock()
		t.pump()
		now := time.Now()
		for name, l := range t.tenants {
			if len(l.line) == 0 && l.running == 0 && l.decayed(now) < 0.1 {
				delete(t.tenants, name)
			}
		}
		t.mu.Unlock()
	}
}
