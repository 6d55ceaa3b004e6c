package module

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"hearth"
	"hearth/internal/module/build"
	"hearth/internal/module/plan"
	"hearth/internal/store"
)

// Stage is what is done for a version's packages.
type Stage string

// The stages, in this order.
const (
	StageLocking  Stage = "locking"  // ranges become exact versions
	StageBuilding Stage = "building" // what is missing is fetched and built
	StageLinking  Stage = "linking"  // the tree is made on this node
)

// Progress is how far a version's packages are.
type Progress struct {
	Stage   Stage
	Build   build.Progress // from StageBuilding on
	Waiting string         // why it does not go on, "" while it does
}

// run settles one version.
type run struct {
	m      *Module
	v      hearth.Version
	cancel context.CancelCauseFunc
	done   chan struct{}

	mu      sync.Mutex
	p       Progress
	changed chan struct{} // closed at the next change
}

func newRun(m *Module, v hearth.Version) *run {
	return &run{m: m, v: v, done: make(chan struct{}), p: Progress{Stage: StageLocking}, changed: make(chan struct{})}
}

func (r *run) look() (Progress, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.p, r.changed
}

func (r *run) tell(change func(p *Progress)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.p)
	close(r.changed)
	r.changed = make(chan struct{})
}

const (
	retryLeast = 500 * time.Millisecond
	retryMost  = 30 * time.Second
)

// failureReason is the reason of a version whose packages cannot be had.
const failureReason = "dependencies"

// run settles the version, for as long as it takes.
func (r *run) run(ctx context.Context) {
	began := time.Now()
	log := r.m.cfg.Log.With("tenant", r.v.Tenant, "container", r.v.Container, "function", r.v.Function, "version", r.v.Number)
	for try := 0; ; try++ {
		result := "settled"
		err := r.settle(ctx)
		if f := refusal(err); f != nil {
			result = "failed"
			v := r.v
			v.Status, v.Failure, v.SettledAt = hearth.StatusFailed, f, time.Now()
			log.Info("packages of version cannot be had", "err", err)
			err = r.m.cfg.Store.Settle(ctx, v)
		}
		if err == nil {
			if f := r.m.cfg.Hooks.Settled; f != nil {
				f(result, time.Since(began))
			}
			return
		}
		if hearth.CodeOf(err) == hearth.CodeNotFound || ctx.Err() != nil {
			return
		}
		wait := min(retryLeast<<min(try, 10), retryMost)
		var he *hearth.Error
		if errors.As(err, &he) {
			wait = max(wait, min(he.RetryAfter, 10*retryMost))
			r.tell(func(p *Progress) { p.Waiting = he.Message })
		} else {
			r.tell(func(p *Progress) { p.Waiting = "Hearth has trouble of its own; it tries again." })
		}
		log.Warn("cannot settle packages of version yet", "try", try+1, "wait", wait, "err", err)
		timer := time.NewTimer(wait/2 + rand.N(wait/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// refusal is what a version fails with by this error; nil: it is no failure of the version's.
func refusal(err error) *hearth.Failure {
	var refused *Refused
	if errors.As(err, &refused) {
		f := refused.Failure
		if f.Reason == "" {
			f.Reason = failureReason
		}
		return &f
	}
	var he *hearth.Error
	if !errors.As(err, &he) {
		return nil
	}
	switch he.Code {
	case hearth.CodeInvalid, hearth.CodeMalformed, hearth.CodeTooLarge, hearth.CodeConflict:
		return &hearth.Failure{Reason: failureReason, Message: he.Message}
	}
	return nil
}

// settle takes the version through all stages once.
func (r *run) settle(ctx context.Context) error {
	// What it waited for stands until it was had: asking a registry that is away takes longer than the pause.
	r.tell(func(p *Progress) { p.Stage = StageLocking })
	var private Private
	if f := r.m.cfg.Private; f != nil {
		var err error
		if private, err = f(ctx, r.v.Tenant); err != nil {
			return fmt.Errorf("read registries of tenant %s: %w", r.v.Tenant, err)
		}
	}
	lock, digest, err := r.lock(ctx, private.State)
	if err != nil {
		return err
	}
	t, err := r.plan(lock, private)
	if err != nil {
		return err
	}
	if len(t.Packages) == 0 {
		return r.m.cfg.Store.SettleTree(ctx, r.v, "", digest)
	}
	state, err := r.m.cfg.Store.AddTree(ctx, t, r.v.Tenant)
	if err != nil {
		return err
	}
	r.tell(func(p *Progress) {
		p.Stage, p.Waiting = StageBuilding, ""
		p.Build = build.Progress{Tree: t.Key, Total: state.Total, Known: state.Ready}
	})
	if state.Failure != nil {
		return &Refused{*state.Failure}
	}
	if len(state.Missing) > 0 {
		if err := r.build(ctx, t); err != nil {
			return err
		}
	}
	r.tell(func(p *Progress) { p.Stage, p.Waiting = StageLinking, "" })
	if err := r.link(ctx, t); err != nil {
		return err
	}
	return r.m.cfg.Store.SettleTree(ctx, r.v, t.Key, digest)
}

// lock returns the version's package-lock.json: the user's, one that was made a short while ago, or a new
// one. However many versions of a tenant ask for the same at once, it is made once.
func (r *run) lock(ctx context.Context, registries string) ([]byte, string, error) {
	cfg, began := r.m.cfg, time.Now()
	told := func(result string) {
		if f := cfg.Hooks.Locked; f != nil {
			f(result, time.Since(began))
		}
	}
	request := LockRequest{Tenant: r.v.Tenant, Registries: registries, Manifest: r.v.Manifest, Refresh: r.v.Refresh}
	if r.v.Manifest.Lock != "" {
		files, err := cfg.Store.Code(ctx, r.v.Digest)
		if err != nil {
			return nil, "", err
		}
		i := slices.IndexFunc(files, func(f hearth.File) bool { return f.Path == "package-lock.json" })
		if i < 0 {
			return nil, "", &Refused{hearth.Failure{Reason: failureReason, Message: "There is no package-lock.json among the files any more."}}
		}
		request.Lock = files[i].Data
	} else if !r.v.Refresh {
		lock, digest, err := cfg.Store.CachedLock(ctx, r.v.Tenant, registries, r.v.Manifest, cfg.LockTTL)
		if err != nil || lock != nil {
			told("cached")
			return lock, digest, err
		}
	}
	f := r.m.flight(fmt.Sprint(r.v.Tenant, " ", registries, " ", store.LockKey(r.v.Manifest), " ", r.v.Refresh), request)
	select {
	case <-ctx.Done():
		return nil, "", context.Cause(ctx)
	case <-f.done:
	}
	switch {
	case refusal(f.err) != nil:
		told("refused")
	case f.err != nil:
		told("error")
	case request.Lock != nil:
		told("user")
	default:
		told("resolved")
	}
	return f.lock, f.digest, f.err
}

// flight is a lock that is being made, for all who want it.
type flight struct {
	done   chan struct{} // closed when the rest is set
	lock   []byte
	digest string
	err    error
}

// flight joins the flight of this name, or begins it. It does not end with who began it.
func (m *Module) flight(name string, request LockRequest) *flight {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.flights[name]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	m.flights[name] = f
	m.work.Go(func() { // by a run, so the group's end is still ahead
		f.lock, f.digest, f.err = m.makeLock(m.life, request)
		m.mu.Lock()
		delete(m.flights, name)
		m.mu.Unlock()
		close(f.done)
	})
	return f
}

// makeLock makes a lock in the tenant's turn, and keeps it.
func (m *Module) makeLock(ctx context.Context, request LockRequest) (lock []byte, digest string, err error) {
	if err := m.locks.enter(ctx, request.Tenant); err != nil {
		return nil, "", err
	}
	lock, err = m.cfg.Locker.Lock(ctx, request)
	m.locks.leave()
	if err != nil {
		return nil, "", err
	}
	digest, err = m.cfg.Store.PutLock(ctx, lock)
	if err == nil && request.Lock == nil {
		err = m.cfg.Store.CacheLock(ctx, request.Tenant, request.Registries, request.Manifest, digest)
	}
	return lock, digest, err
}

// plan makes the tree of a lock.
func (r *run) plan(lock []byte, private Private) (*plan.Tree, error) {
	o := plan.Options{Runtime: r.v.Manifest.Runtime, Platform: r.m.cfg.Platform, Private: private.Whose}
	if f := r.m.cfg.ABI; f != nil {
		o.ABI = f(o.Runtime)
	}
	l, err := plan.Parse(lock)
	if err != nil {
		return nil, err
	}
	return l.Tree(o)
}

// build waits until all contents of a tree are ready.
func (r *run) build(ctx context.Context, t *plan.Tree) error {
	b := r.m.cfg.Builder
	stop, err := b.Follow(ctx, t)
	if err != nil {
		return err
	}
	defer stop()
	b.Wake(ctx)
	look := time.NewTicker(treeEvery)
	defer look.Stop()
	for {
		p, changed := b.Progress(t.Key)
		r.tell(func(out *Progress) { out.Build, out.Waiting = p, p.Waiting })
		switch {
		case p.Failure != nil:
			// The store's words, which name the package; or somebody asked again meanwhile, and it is on its way.
			state, err := r.m.cfg.Store.TreeState(ctx, t.Key)
			if err != nil {
				return err
			}
			if state.Failure != nil {
				return &Refused{*state.Failure}
			}
			if err := b.Look(ctx, t.Key); err != nil {
				return err
			}
			continue
		case p.Done():
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		case <-look.C:
			if err := b.Look(ctx, t.Key); err != nil {
				return err
			}
		}
	}
}

// link makes the tree on this node, in the tenant's turn. What is missing from the blob store is built
// again.
func (r *run) link(ctx context.Context, t *plan.Tree) error {
	if _, ok := r.m.cfg.Host.Find(t.Key); ok {
		return nil
	}
	if err := r.m.links.enter(ctx, r.v.Tenant); err != nil {
		return err
	}
	_, err := r.m.cfg.Host.Ensure(ctx, t)
	r.m.links.leave()
	if err == nil {
		return nil
	}
	var he *hearth.Error
	missing := errors.As(err, &he) && he.Reason == "package_missing"
	if damaged := refusal(err) != nil; missing || damaged {
		// What was built was whole when it was published, so this is the blob store's trouble, not the version's.
		n, herr := r.m.cfg.Store.HealTree(ctx, t.Key, r.v.Tenant, damaged)
		r.m.cfg.Log.Error("archives are missing from the blob store, or damaged; building them again", "tree", t.Key, "count", n, "err", herr)
		return fmt.Errorf("link tree %s: %v", t.Key, err)
	}
	return fmt.Errorf("link tree %s: %w", t.Key, err)
}
