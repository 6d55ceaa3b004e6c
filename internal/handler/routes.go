package handler

import (
	"hash/maphash"
	"iter"
	"maps"
	"sync"
	"sync/atomic"

	"hearth"
)

// key names a container on the request path, without an allocation.
type key struct{ tenant, container string }

// shards bounds what one new container copies: with 100,000 containers, 400 entries.
const shards = 256

// table finds containers by name without a lock: each shard is an immutable map, copied on change.
type table struct {
	seed   maphash.Seed
	shards [shards]atomic.Pointer[map[key]*container]
	mu     sync.Mutex // one change at a time
}

func (t *table) init() {
	t.seed = maphash.MakeSeed()
	for n := range t.shards {
		t.shards[n].Store(&map[key]*container{})
	}
}

func (t *table) shard(k key) *atomic.Pointer[map[key]*container] {
	return &t.shards[maphash.Comparable(t.seed, k)%shards]
}

// get returns the container, nil if it is not known.
func (t *table) get(k key) *container { return (*t.shard(k).Load())[k] }

// make returns the container and makes it if it is not known.
func (t *table) make(k key, tenants *registry) *container {
	if c := t.get(k); c != nil {
		return c
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.get(k); c != nil {
		return c
	}
	c := newContainer(k, tenants.tenant(k.tenant))
	s := t.shard(k)
	next := maps.Clone(*s.Load())
	next[k] = c
	s.Store(&next)
	return c
}

// remove forgets a container.
func (t *table) remove(c *container) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.shard(c.key)
	if (*s.Load())[c.key] != c {
		return
	}
	next := maps.Clone(*s.Load())
	delete(next, c.key)
	s.Store(&next)
}

// all yields every container known when its shard is reached.
func (t *table) all() iter.Seq[*container] {
	return func(yield func(*container) bool) {
		for n := range t.shards {
			for _, c := range *t.shards[n].Load() {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// Route returns the route of a function, nil if there is no such function. It takes no lock and
// allocates nothing. The route may be stale by the time of Acquire, whose grant holds the one used.
func (h *Handler) Route(tenant, container, function string) *hearth.Route {
	c := h.routes.get(key{tenant, container})
	if c == nil {
		return nil
	}
	return c.view.Load().routes[function]
}
