package module

import (
	"context"
	"slices"
	"sync"
)

// turns lets a few at a time through, tenants in turn, each tenant's in their order.
type turns struct {
	mu      sync.Mutex
	free    int
	order   []string                   // tenants with somebody in line, the next one first
	waiting map[string][]chan struct{} // by tenant; bounded by the versions that are settled at once
}

func newTurns(n int) *turns {
	return &turns{free: n, waiting: map[string][]chan struct{}{}}
}

// enter waits for a turn, which leave ends.
func (t *turns) enter(ctx context.Context, tenant string) error {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	if len(t.waiting[tenant]) == 0 {
		t.order = append(t.order, tenant)
	}
	t.waiting[tenant] = append(t.waiting[tenant], turn)
	t.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	i := slices.Index(t.waiting[tenant], turn)
	if i >= 0 {
		if t.waiting[tenant] = slices.Delete(t.waiting[tenant], i, i+1); len(t.waiting[tenant]) == 0 {
			delete(t.waiting, tenant)
			t.order = slices.DeleteFunc(t.order, func(o string) bool { return o == tenant })
		}
	}
	t.mu.Unlock()
	if i < 0 { // the turn came at the same moment
		t.leave()
	}
	return context.Cause(ctx)
}

// leave gives the turn to the next in line.
func (t *turns) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.order) == 0 {
		t.free++
		return
	}
	tenant := t.order[0]
	t.order = t.order[1:]
	line := t.waiting[tenant]
	close(line[0])
	if line = line[1:]; len(line) == 0 {
		delete(t.waiting, tenant)
		return
	}
	t.waiting[tenant] = line
	t.order = append(t.order, tenant)
}
