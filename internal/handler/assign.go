package handler

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"hearth"
	"hearth/internal/pool/instance"
	"hearth/internal/warden/wire"
)

// burntError is a failure after which the instance cannot be used: it was assigned. A container that
// burns instances has to wait like one that crashes them.
type burntError struct {
	cause error
	died  bool // the instance was gone: not the container's doing
}

func (e *burntError) Error() string { return e.cause.Error() }
func (e *burntError) Unwrap() error { return e.cause }

// code is all that goes into an instance for one function.
type code struct {
	route  *hearth.Route
	files  []hearth.File
	meta   instance.Meta
	loaded loaded
	took   Waits // Fetch and Link
}

// label is what the warden keeps of an assigned instance for the next node process.
type label struct {
	Container string             `json:"c"`           // its id
	Functions map[string]written `json:"f,omitempty"` // all that was written; absent if that is too long
}

type written struct {
	Function string `json:"i"` // its id
	Version  int    `json:"v"`
	Secrets  int64  `json:"s"`
}

// prepare takes an instance for routes, which share container and runtime, and makes it ready to
// serve them. The instance is in nobody's view yet.
func (h *Handler) prepare(ctx context.Context, c *container, routes []*hearth.Route) (*serving, error) {
	s, _, err := h.take(ctx, c, routes, true)
	return s, err
}

// take is prepare; without write no code is in the instance yet, only its label.
func (h *Handler) take(ctx context.Context, c *container, routes []*hearth.Route, write bool) (*serving, []code, error) {
	r := routes[0]
	// Reading the code needs no instance and no turn, so it goes on beside the wait for them.
	var codes []code
	var read error
	var reading sync.WaitGroup
	reading.Go(func() { codes, read = h.fetchAll(ctx, routes) })
	done, err := h.turns.take(ctx, r.Tenant, r.Manifest.Runtime)
	if err != nil {
		reading.Wait()
		h.release(codes)
		return nil, nil, err
	}
	defer done()
	inst, preloaded, err := h.cfg.Pool.Take(ctx, r.Manifest.Runtime, r.Limits.MemoryMiB, r.Tree)
	reading.Wait()
	if err != nil {
		h.release(codes)
		return nil, nil, err
	}
	if read != nil {
		if preloaded {
			h.cfg.Pool.Destroy(inst) // it was thawed
		} else {
			h.cfg.Pool.Return(inst, r.Limits.MemoryMiB)
		}
		return nil, nil, read
	}
	began := time.Now()
	s, err := h.assign(ctx, c, inst, r, codes)
	if err == nil && write {
		err = h.writeAll(ctx, s, codes)
	}
	if err != nil {
		h.release(codes)
		return nil, nil, h.burn(inst, err)
	}
	h.registry.hold(s, codes)
	if write { // else it is a trial, for which nobody waits
		h.demand.cold(r, time.Now())
	}
	for _, code := range codes {
		s.took.Fetch += code.took.Fetch
		s.took.Link += code.took.Link
	}
	s.took.Assign = time.Since(began)
	return s, codes, nil
}

// burn destroys an assigned instance that could not be made ready.
func (h *Handler) burn(inst *instance.Instance, cause error) error {
	_, died := inst.Exit()
	h.cfg.Pool.Destroy(inst)
	return &burntError{cause: cause, died: died}
}

// assign gives inst to the container for life: the label first, so that no code is ever in an
// instance of which the warden cannot say whose it is. The caller writes the code.
func (h *Handler) assign(ctx context.Context, c *container, inst *instance.Instance, r *hearth.Route, codes []code) (*serving, error) {
	if err := inst.Assign(r.ContainerID); err != nil {
		return nil, err
	}
	s := newServing(c, inst, r.ContainerID)
	holds := map[string]loaded{}
	for _, code := range codes {
		holds[code.route.Function] = code.loaded
	}
	if err := h.label(ctx, s, holds); err != nil {
		return nil, err
	}
	if want := limitsOf(r); want != h.cfg.Pool.Limits() {
		if err := h.cfg.Warden.Limit(ctx, inst.ID(), want); err != nil {
			return nil, err
		}
		s.limits.Store(&want)
	}
	if l := h.cfg.Logs; l != nil {
		l.Assign(inst.ID(), r.Tenant, r.Container, r.ContainerID, c.functionIDs(r.ContainerID))
	}
	s.loaded.Store(&holds)
	return s, nil
}

func (h *Handler) writeAll(ctx context.Context, s *serving, codes []code) error {
	for _, c := range codes {
		if err := h.write(ctx, s, c); err != nil {
			return err
		}
	}
	return nil
}

func newServing(c *container, inst *instance.Instance, owner string) *serving {
	s := &serving{inst: inst, c: c, owner: owner, since: time.Now()}
	s.loaded.Store(&map[string]loaded{})
	s.last.Store(time.Now().UnixNano())
	return s
}

// addTo writes a function that s does not have.
func (h *Handler) addTo(ctx context.Context, s *serving, r *hearth.Route) (loaded, error) {
	codes, err := h.fetchAll(ctx, []*hearth.Route{r})
	if err != nil {
		return loaded{}, err
	}
	holds := maps.Clone(s.holds())
	holds[r.Function] = codes[0].loaded
	err = h.label(ctx, s, holds)
	if err == nil {
		err = h.write(ctx, s, codes[0])
	}
	if err != nil {
		h.release(codes)
		return loaded{}, err
	}
	h.registry.hold(s, codes)
	return codes[0].loaded, nil
}

// hold notes what was written. Call it with c.mu once s is in a view.
func (s *serving) hold(function string, l loaded) {
	holds := maps.Clone(s.holds())
	holds[function] = l
	s.loaded.Store(&holds)
}

func (h *Handler) write(ctx context.Context, s *serving, c code) error {
	if c.meta.Modules != "" && !s.shown {
		if err := h.cfg.Warden.Mount(ctx, s.inst.ID()); err != nil {
			return fmt.Errorf("show packages in instance %s: %w", s.inst.ID(), err)
		}
		s.shown = true
	}
	if l := h.cfg.Logs; l != nil {
		l.Serving(s.inst.ID(), c.route.Function, c.route.Active)
	}
	return s.inst.Write(c.route.Function, c.route.Active, c.meta, c.files)
}

// label tells the warden whose the instance is and what will be in it. A list that is too long is
// left out: such an instance cannot be adopted, only destroyed.
func (h *Handler) label(ctx context.Context, s *serving, holds map[string]loaded) error {
	l := label{Container: s.owner, Functions: map[string]written{}}
	for name, v := range holds {
		l.Functions[name] = written{v.function, v.version, v.secrets}
	}
	text, err := json.Marshal(l)
	if err == nil && len(text) > wire.MaxLabel {
		text, err = json.Marshal(label{Container: s.owner})
	}
	if err != nil {
		return fmt.Errorf("label instance %s: %w", s.inst.ID(), err)
	}
	return h.cfg.Warden.Label(ctx, s.inst.ID(), string(text))
}

func (h *Handler) fetchAll(ctx context.Context, routes []*hearth.Route) ([]code, error) {
	codes := make([]code, 0, len(routes))
	for _, r := range routes {
		c, err := h.fetch(ctx, r)
		if err != nil {
			h.release(codes)
			return nil, err
		}
		codes = append(codes, c)
	}
	return codes, nil
}

// fetch reads what goes into an instance for r. The secrets may be newer than r says, never older.
func (h *Handler) fetch(ctx context.Context, r *hearth.Route) (code, error) {
	files, stripped, err := h.files(ctx, r)
	if err != nil {
		return code{}, fmt.Errorf("read code of %s/%s/%s version %d: %w", r.Tenant, r.Container, r.Function, r.Active, err)
	}
	secrets, revision, err := h.cfg.Store.SecretValues(ctx, r.Tenant, r.Container, r.Function)
	if err != nil {
		return code{}, fmt.Errorf("read secrets of %s/%s/%s: %w", r.Tenant, r.Container, r.Function, err)
	}
	m := r.Manifest
	c := code{route: r, files: files, loaded: loaded{r.FunctionID, r.Active, revision}, meta: instance.Meta{
		Tenant: r.Tenant, Container: r.Container, Function: r.Function, Version: r.Active, Runtime: m.Runtime,
		Entry: m.Entry, Model: m.Model, TimeoutMS: m.TimeoutMS, Config: m.Config, Secrets: secrets, Stripped: stripped}}
	if r.Tree == "" {
		return c, nil
	}
	if h.cfg.Trees == nil {
		return code{}, fmt.Errorf("link packages of %s/%s/%s version %d: this node has no package store", r.Tenant, r.Container, r.Function, r.Active)
	}
	began := time.Now()
	h.cfg.Trees.Hold(r.Tree)
	path, fetched, err := h.cfg.Trees.Tree(ctx, r.Tree)
	if err != nil {
		h.cfg.Trees.Release(r.Tree)
		return code{}, fmt.Errorf("link packages of %s/%s/%s version %d: %w", r.Tenant, r.Container, r.Function, r.Active, err)
	}
	c.meta.Modules = path
	if took := time.Since(began); fetched {
		c.took.Fetch = took
	} else {
		c.took.Link = took
	}
	return c, nil
}

// release gives up the trees of code that goes into no instance.
func (h *Handler) release(codes []code) {
	for _, c := range codes {
		if c.meta.Modules != "" {
			h.cfg.Trees.Release(c.route.Tree)
		}
	}
}

// functionIDs finds the ids of the functions that the container has now, for the logs.
func (c *container) functionIDs(containerID string) func(string) (string, bool) {
	return func(function string) (string, bool) {
		r := c.view.Load().routes[function]
		if r == nil || r.ContainerID != containerID {
			return "", false
		}
		return r.FunctionID, true
	}
}

// limitsOf returns what the warden enforces for an instance of r's container.
func limitsOf(r *hearth.Route) wire.Limits {
	l := r.Limits
	return wire.Limits{MemoryMiB: l.MemoryMiB, MilliCPUs: int(math.Ceil(l.CPUs * 1000)), Pids: l.Pids, TmpMiB: l.TmpMiB}
}
