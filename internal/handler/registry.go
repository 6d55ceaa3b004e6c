package handler

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hearth"
)

// registry knows every instance that belongs to a container, by id, and the tenants' counts.
type registry struct {
	mu      sync.Mutex
	servers map[string]*serving // until they are destroyed; bounded by the tenants' limits
	tenants map[string]*tenant
}

// tenant counts what one tenant has on this node.
type tenant struct {
	name    string
	waiting atomic.Int32 // requests in the lines of all its containers
	live    atomic.Int32 // instances that serve or are being assigned to serve
	most    atomic.Int32 // instances that it may have, as its routes last said
}

func (r *registry) init() {
	r.servers = map[string]*serving{}
	r.tenants = map[string]*tenant{}
}

// tenant returns the tenant's counts. They are kept: a name and two numbers, for as many tenants as
// the store may have.
func (r *registry) tenant(name string) *tenant {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tenants[name]
	if t == nil {
		t = &tenant{name: name}
		t.most.Store(int32(hearth.LimitTenantInstance.Int()))
		r.tenants[name] = t
	}
	return t
}

func (r *registry) add(s *serving) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.servers[s.inst.ID()] = s
}

func (r *registry) get(id string) *serving {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.servers[id]
}

func (r *registry) remove(s *serving) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.servers, s.inst.ID())
}

// hold notes the trees that s needs as long as it lives.
func (r *registry) hold(s *serving, codes []code) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range codes {
		if c.meta.Modules != "" {
			s.trees = append(s.trees, c.route.Tree)
		}
	}
}

// letGo returns the trees that s held, once.
func (r *registry) letGo(s *serving) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	trees := s.trees
	s.trees = nil
	return trees
}

func (r *registry) all() []*serving {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.servers))
}

// retire notes that s finishes what it has, and returns the tenant's instances that have been doing
// so the longest, beyond the bound: a tenant who deploys while its requests run for minutes would
// otherwise hold any number of instances.
func (r *registry) retire(s *serving, most int) []*serving {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.retired = time.Now()
	var old []*serving
	for _, o := range r.servers {
		if o.c.tenant == s.c.tenant && !o.retired.IsZero() {
			old = append(old, o)
		}
	}
	if len(old) <= most {
		return nil
	}
	slices.SortFunc(old, func(a, b *serving) int { return a.retired.Compare(b.retired) })
	return old[:len(old)-most]
}

// retiredAt returns when s was retired, zero if it was not.
func (r *registry) retiredAt(s *serving) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.retired
}

func (r *registry) tenantCounts() []*tenant {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.tenants))
}
