package node

import (
	"context"
	"fmt"
	"sync"

	"hearth"
	"hearth/internal/module"
	"hearth/internal/module/registry"
	"hearth/internal/store"
)

// registriesMost bounds the tenants whose registries are kept open.
const registriesMost = 1000

// registers keeps the registries of tenants: each one's own, with their connections, for as long as
// the store says the same of them. Jobs that began with older ones end with them.
type registers struct {
	store   *store.Store
	reach   registry.Reach
	options registry.Options
	shared  *registry.Registries // of a tenant without registries of its own

	mu   sync.Mutex
	kept map[string]register // by tenant's id
}

type register struct {
	state string
	*registry.Registries
}

func newRegisters(s *store.Store, shared *registry.Registry, reach registry.Reach, o registry.Options) *registers {
	return &registers{store: s, reach: reach, options: o, shared: &registry.Registries{Default: shared}, kept: map[string]register{}}
}

// byID returns the registries of the tenant with this id, "" for what all share.
func (r *registers) byID(ctx context.Context, id string) (*registry.Registries, error) {
	if id == "" {
		return r.shared, nil
	}
	now, err := r.store.RegistriesByID(ctx, id)
	if hearth.CodeOf(err) == hearth.CodeNotFound {
		return nil, &hearth.Error{Code: hearth.CodeInvalid, Component: hearth.ComponentRequest, Reason: "tenant_gone",
			Message: "the tenant that this package belongs to was deleted", Cause: err}
	}
	if err != nil {
		return nil, err
	}
	return r.open(ctx, now)
}

// inState returns the registries of the tenant with this name, if they are still those that the caller
// has been told of. What it is about to decide must not be half by these and half by others.
func (r *registers) inState(ctx context.Context, tenant, state string) (*registry.Registries, error) {
	now, err := r.store.Registries(ctx, tenant)
	if err != nil {
		return nil, err
	}
	if now.State != state {
		return nil, &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "registries_changed",
			Message: "The tenant's registries were changed meanwhile; Hearth begins again with the new ones."}
	}
	return r.open(ctx, now)
}

// private says which names are the tenant's own.
func (r *registers) private(ctx context.Context, tenant string) (module.Private, error) {
	now, err := r.store.Registries(ctx, tenant)
	if err != nil || now.State == "" {
		return module.Private{}, err
	}
	return module.Private{State: now.State, Whose: func(name string) string {
		if now.Private(name) {
			return now.TenantID
		}
		return ""
	}}, nil
}

// open returns what is kept of a tenant, or makes it anew.
func (r *registers) open(ctx context.Context, now store.TenantRegistries) (*registry.Registries, error) {
	if now.State == "" {
		r.drop(now.TenantID)
		return r.shared, nil
	}
	r.mu.Lock()
	kept, ok := r.kept[now.TenantID]
	r.mu.Unlock()
	if ok && kept.state == now.State {
		return kept.Registries, nil
	}
	all, err := r.store.OpenRegistries(ctx, now)
	if err != nil {
		return nil, err
	}
	scopes := make([]registry.Scope, len(all))
	for i, a := range all {
		scopes[i] = registry.Scope(a)
	}
	o := r.options
	o.Tenant = now.TenantID
	made, err := registry.ForTenant(r.shared.Default, scopes, r.reach, o)
	if err != nil { // the operator allowed it once, and does not any more
		return nil, fmt.Errorf("open registries of tenant %s: %w", now.TenantID, err)
	}
	made.Closed = map[string]bool{}
	for _, scope := range now.Closed() {
		made.Closed[scope] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if kept, ok := r.kept[now.TenantID]; ok {
		if kept.state == now.State { // another was quicker
			made.Close()
			return kept.Registries, nil
		}
		kept.Close()
	}
	for id, other := range r.kept {
		if len(r.kept) < registriesMost {
			break
		}
		other.Close()
		delete(r.kept, id)
	}
	r.kept[now.TenantID] = register{now.State, made}
	return made, nil
}

// drop forgets the registries of a tenant.
func (r *registers) drop(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if kept, ok := r.kept[id]; ok {
		kept.Close()
		delete(r.kept, id)
	}
}

// close drops all connections.
func (r *registers) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, kept := range r.kept {
		kept.Close()
	}
	clear(r.kept)
}

// check says why a tenant may not have a registry, for whoever names one.
func (r *registers) check(c store.RegistryChange) error {
	s := registry.Scope{Scope: c.Scope, URL: c.URL}
	if c.Token != nil {
		s.Token = *c.Token
	}
	return s.Check(r.reach)
}
