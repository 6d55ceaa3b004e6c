package module

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"hearth"
	"hearth/internal/module/build"
	"hearth/internal/module/plan"
	"hearth/internal/store"
)

// Store is the truth.
type Store interface {
	Unsettled(ctx context.Context) ([]hearth.Version, error)
	GetVersion(ctx context.Context, tenant, container, function string, number int) (hearth.Version, error)
	Code(ctx context.Context, digest string) ([]hearth.File, error)
	Settle(ctx context.Context, v hearth.Version) error
	SettleTree(ctx context.Context, v hearth.Version, tree, lock string) error

	CachedLock(ctx context.Context, tenant, registries string, m hearth.Manifest, ttl time.Duration) (lock []byte, digest string, err error)
	PutLock(ctx context.Context, lock []byte) (digest string, err error)
	CacheLock(ctx context.Context, tenant, registries string, m hearth.Manifest, digest string) error

	AddTree(ctx context.Context, t *plan.Tree, tenant string) (store.TreeState, error)
	TreeState(ctx context.Context, key string) (store.TreeState, error)
	Tree(ctx context.Context, key string) (*plan.Tree, error)
	HealTree(ctx context.Context, key, tenant string, damaged bool) (int, error)
	RevokedTrees(ctx context.Context) (map[string]store.Revocation, error)
}

// LockRequest is a manifest to resolve.
type LockRequest struct {
	Tenant     string // name
	Registries string // state of the tenant's registries; by those in another one it must not be made
	Manifest   hearth.Manifest
	Lock       []byte // the user's package-lock.json; nil: none
	Refresh    bool   // what the registry said before does not count
}

// Private is what of all names belongs to one tenant.
type Private struct {
	Whose func(name string) (id string) // see plan.Options; nil: nobody's
	State string                        // of the tenant's registries: another one after every change
}

// Locker makes a package-lock.json of a manifest. Its error is a *Refused when the manifest is at fault;
// everything else is tried again.
type Locker interface {
	Lock(ctx context.Context, r LockRequest) (lock []byte, err error)
}

// Refused is a manifest that cannot be met: its owner has to change something.
type Refused struct{ Failure hearth.Failure }

// Error returns what npm said.
func (r *Refused) Error() string { return r.Failure.Message }

// Builder builds contents.
type Builder interface {
	Wake(ctx context.Context)
	Follow(ctx context.Context, t *plan.Tree) (stop func(), err error)
	Look(ctx context.Context, key string) error
	Progress(key string) (build.Progress, <-chan struct{})
}

// Host is the package store of this node.
type Host interface {
	Find(key string) (path string, ok bool) // from memory
	Ensure(ctx context.Context, t *plan.Tree) (build.Linked, error)
	Hold(key string)
	Release(key string)
}

// Config is what a Module works with.
type Config struct {
	Store   Store
	Locker  Locker
	Builder Builder
	Host    Host

	Platform plan.Platform
	ABI      func(runtime string) string // all that a compiled package depends on beside the platform
	// Private says whose package a name is, for one tenant (its name). Nil: nobody's.
	Private func(ctx context.Context, tenant string) (Private, error)

	LockTTL time.Duration // for so long a manifest is not resolved again; default an hour
	Locks   int           // locks that are made at once; default 2, each has a sandbox
	Links   int           // trees that are linked at once for deploys; default 4
	Hooks   Hooks
	Log     *slog.Logger
}

// Hooks are told what happens, for metrics. They must not block; each may be nil.
type Hooks struct {
	Locked  func(result string, took time.Duration) // cached, user, resolved, refused, error
	Settled func(result string, took time.Duration) // settled, failed
}

const (
	lockTTLDefault = time.Hour
	locksDefault   = 2
	linksDefault   = 4

	// lookEvery is how often the store is asked without a reason: what a lost notification costs.
	lookEvery = 30 * time.Second
	// revokedEvery keeps the promise that no new instance uses a revoked package after 10 seconds, on
	// nodes that did not hear of it.
	revokedEvery = 4 * time.Second
	// treeEvery is how often a tree that is waited for is compared with the store: for what other nodes built.
	treeEvery = 10 * time.Second
)

// Module settles packages. It is made, Run once, and asked by anybody.
type Module struct {
	cfg     Config
	wake    chan struct{}   // size 1
	life    context.Context // of Run
	work    sync.WaitGroup  // Run's goroutines
	locks   *turns
	links   *turns
	revoked atomic.Pointer[map[string]store.Revocation] // by tree

	mu      sync.Mutex
	runs    map[versionKey]*run
	flights map[string]*flight // locks that are being made
	scanned chan struct{}      // closed when the store was asked once more
	ended   bool
}

// versionKey names a version for as long as its function lives.
type versionKey struct {
	tenant, container, function, id string
	number                          int
}

func keyOf(v hearth.Version) versionKey {
	return versionKey{v.Tenant, v.Container, v.Function, v.FunctionID, v.Number}
}

// New makes a Module.
func New(cfg Config) *Module {
	if cfg.LockTTL == 0 {
		cfg.LockTTL = lockTTLDefault
	}
	if cfg.Locks == 0 {
		cfg.Locks = locksDefault
	}
	if cfg.Links == 0 {
		cfg.Links = linksDefault
	}
	m := &Module{cfg: cfg, wake: make(chan struct{}, 1), locks: newTurns(cfg.Locks), links: newTurns(cfg.Links),
		runs: map[versionKey]*run{}, flights: map[string]*flight{}, scanned: make(chan struct{})}
	m.revoked.Store(&map[string]store.Revocation{})
	return m
}

// Changed makes the loop look at the store. It is for the store's OnChange, and returns at once.
func (m *Module) Changed(string, string) { m.kick() }

func (m *Module) kick() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run settles versions until ctx is done.
func (m *Module) Run(ctx context.Context) error {
	m.life = ctx
	defer func() {
		m.work.Wait()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.ended = true
		close(m.scanned)
		m.scanned = make(chan struct{})
	}()
	m.readRevoked(ctx)
	look, revoked := time.NewTicker(lookEvery), time.NewTicker(revokedEvery)
	defer look.Stop()
	defer revoked.Stop()
	again := time.NewTimer(lookEvery) // after a scan that could not read
	defer again.Stop()
	for {
		if wait := m.scan(ctx); wait > 0 {
			again.Reset(wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
			m.readRevoked(ctx)
		case <-look.C:
		case <-again.C:
		case <-revoked.C:
			m.readRevoked(ctx)
			continue
		}
	}
}

// scan starts a run for each unsettled version that has none, and ends those of versions that are
// gone. It returns when to scan again, if not on notice.
func (m *Module) scan(ctx context.Context) time.Duration {
	list, err := m.cfg.Store.Unsettled(ctx)
	if err != nil {
		if ctx.Err() == nil {
			m.cfg.Log.Error("cannot read versions to settle", "err", err)
		}
		return time.Second
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	there := make(map[versionKey]bool, len(list))
	for _, v := range list {
		k := keyOf(v)
		if there[k] = true; m.runs[k] != nil {
			continue
		}
		r := newRun(m, v)
		var within context.Context
		within, r.cancel = context.WithCancelCause(ctx)
		m.runs[k] = r
		m.work.Go(func() {
			r.run(within)
			r.cancel(nil)
			m.mu.Lock()
			delete(m.runs, k)
			m.mu.Unlock()
			close(r.done)
			m.kick() // there may be more than a list has
		})
	}
	for k, r := range m.runs {
		if !there[k] {
			r.cancel(errGone)
		}
	}
	close(m.scanned)
	m.scanned = make(chan struct{})
	return 0
}

// errGone says that a version was deleted, trimmed, or settled by somebody else.
var errGone = errors.New("the version is not unsettled any more")

// Settled returns when the packages of a version are settled, or it failed, or is gone. The error is
// ctx's cause, or that the node stops.
func (m *Module) Settled(ctx context.Context, tenant, container, function string, number int) error {
	for {
		m.mu.Lock()
		scanned, ended := m.scanned, m.ended
		m.mu.Unlock()
		v, err := m.cfg.Store.GetVersion(ctx, tenant, container, function, number)
		switch {
		case hearth.CodeOf(err) == hearth.CodeNotFound, err == nil && (v.Settled || v.Status != hearth.StatusBuilding):
			return nil
		case err != nil:
			return err
		case ended:
			return &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "draining", Message: "This node is stopping; try again."}
		}
		m.mu.Lock()
		r := m.runs[keyOf(v)]
		m.mu.Unlock()
		wait := scanned
		if r != nil {
			wait = r.done
		} else {
			m.kick()
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return fmt.Errorf("wait for packages of %s/%s/%s version %d: %w", tenant, container, function, number, context.Cause(ctx))
		}
	}
}

// Progress says how far a version's packages are, with a channel that is closed at the next change. The
// channel is nil if nothing is under way here: then the store knows, or nobody has begun.
func (m *Module) Progress(v hearth.Version) (Progress, <-chan struct{}) {
	m.mu.Lock()
	r := m.runs[keyOf(v)]
	m.mu.Unlock()
	if r == nil {
		return Progress{}, nil
	}
	return r.look()
}

// readRevoked reads which trees may not be used.
func (m *Module) readRevoked(ctx context.Context) {
	trees, err := m.cfg.Store.RevokedTrees(ctx)
	if err != nil {
		if ctx.Err() == nil {
			m.cfg.Log.Error("cannot read what was revoked; going on by what was read before", "err", err)
		}
		return
	}
	m.revoked.Store(&trees)
}

// Tree returns the path at which instances see a tree, and whether something had to be fetched from the
// blob store for it. One with a revoked package is a conflict.
func (m *Module) Tree(ctx context.Context, key string) (path string, fetched bool, err error) {
	if r, ok := (*m.revoked.Load())[key]; ok {
		return "", false, r.Refusal()
	}
	if path, ok := m.cfg.Host.Find(key); ok {
		return path, false, nil
	}
	t, err := m.cfg.Store.Tree(ctx, key)
	if err != nil {
		return "", false, err
	}
	linked, err := m.cfg.Host.Ensure(ctx, t)
	return linked.Path, linked.Fetched > 0, err
}

// Hold keeps a tree on this node's disk until Release. A tree may be held before it is there.
func (m *Module) Hold(key string) { m.cfg.Host.Hold(key) }

// Release takes one Hold back.
func (m *Module) Release(key string) { m.cfg.Host.Release(key) }
