package handler

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"hearth"
	"hearth/internal/warden/wire"
)

const (
	// adoptParallel is how many instances are asked at a time whether they live.
	adoptParallel = 8
	// adoptTime bounds taking over or ending one instance.
	adoptTime = 10 * time.Second
)

// Adopt reads all routes and takes over the instances that an earlier node process left, as the
// warden listed them: one whose label names a container and versions that are still current serves on,
// warm; all else is destroyed. Call it once, before Run and before the pool starts instances, which
// have no label.
func (h *Handler) Adopt(ctx context.Context, listed []wire.Listed) error {
	routes, err := h.cfg.Store.Routes(ctx, "", "")
	if err != nil {
		return fmt.Errorf("read routes: %w", err)
	}
	views := map[key]map[string]*hearth.Route{}
	ids := map[string]*container{}
	for n := range routes {
		r := &routes[n]
		k := key{r.Tenant, r.Container}
		if views[k] == nil {
			views[k] = map[string]*hearth.Route{}
		}
		views[k][r.Function] = r
	}
	for k, v := range views {
		c := h.routes.make(k, &h.registry)
		c.view.Store(&view{routes: v})
		for _, r := range v {
			ids[r.ContainerID] = c
			c.tenant.most.Store(int32(r.TenantMaxInstances))
		}
	}
	places := make(chan struct{}, adoptParallel)
	var wg sync.WaitGroup
	for _, l := range listed {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			ctx, cancel := context.WithTimeout(ctx, adoptTime)
			defer cancel()
			if why := h.adopt(ctx, l, ids); why != "" {
				h.cfg.Log.Debug("instance not adopted", "instance", l.ID, "why", why)
				if err := h.cfg.Warden.Destroy(ctx, l.ID); err != nil {
					h.cfg.Log.Error("cannot destroy instance", "instance", l.ID, "err", err)
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// adopt takes over one instance, or says why not.
func (h *Handler) adopt(ctx context.Context, l wire.Listed, ids map[string]*container) (why string) {
	if l.Label == "" {
		return "nobody's"
	}
	var lab label
	if err := json.Unmarshal([]byte(l.Label), &lab); err != nil || len(lab.Functions) == 0 {
		return "its label does not say what is in it"
	}
	c := ids[lab.Container]
	if c == nil {
		return "its container is gone"
	}
	holds := map[string]loaded{}
	var r *hearth.Route
	for name, w := range lab.Functions {
		holds[name] = loaded{w.Function, w.Version, w.Secrets}
		r = c.view.Load().routes[name]
		if r == nil || r.ContainerID != lab.Container || !holds[name].serves(r) || r.Manifest.Runtime != l.Runtime {
			return "what it loaded has changed"
		}
	}
	box, err := h.cfg.Warden.Adopt(ctx, l)
	if err != nil {
		return err.Error()
	}
	attach := func() {
		if h.cfg.AdoptLogs != nil {
			h.cfg.AdoptLogs(box, r, c.functionIDs(r.ContainerID))
		}
	}
	if h.cfg.AdoptLogs == nil {
		attach = nil
	}
	inst, err := h.cfg.Pool.Adopt(box, lab.Container, attach)
	if err != nil {
		return err.Error()
	}
	s := newServing(c, inst, lab.Container)
	s.loaded.Store(&holds)
	for name := range holds {
		if tree := c.view.Load().routes[name].Tree; tree != "" && h.cfg.Trees != nil {
			h.cfg.Trees.Hold(tree)
			s.trees = append(s.trees, tree) // nobody else knows s yet
		}
	}
	unknown := wire.Limits{}
	s.limits.Store(&unknown) // relimit sets them
	ping, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	err = inst.Ping(ping)
	for name, l := range holds {
		if err == nil && !inst.Has(name, l.version) {
			err = fmt.Errorf("%s/%d was not written to its end", name, l.version)
		}
	}
	h.registry.add(s)
	if err == nil && int(c.tenant.live.Load()) < r.TenantMaxInstances {
		c.mu.Lock()
		v := c.view.Load()
		if len(v.fleet) < r.Limits.MaxInstances && inst.Serve() == nil {
			s.counted = true
			c.tenant.live.Add(1)
			c.setFleet(append(v.fleet[:len(v.fleet):len(v.fleet)], s))
			c.mu.Unlock()
			return ""
		}
		c.mu.Unlock()
	}
	h.destroy(s) // through the pool, which holds it now
	return ""
}
