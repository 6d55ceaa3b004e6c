package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"hearth"
	"hearth/internal/module"
	"hearth/internal/module/build"
	"hearth/internal/module/builder"
	"hearth/internal/module/host"
	"hearth/internal/module/lock"
	"hearth/internal/module/plan"
	"hearth/internal/module/registry"
	"hearth/internal/store"
)

// Below the node process's folder, which is its working directory.
const (
	packagesDir    = "packages"     // the package store, which the warden shows to instances
	packagesKey    = "packages.key" // of the names in it
	packumentsDir  = "registry"
	buildQueueFile = "queue.db"
	// packumentBytes bounds the packuments on disk; the 600 packages of a large tree have about 60 MB.
	packumentBytes = 1 << 30
)

// packages joins the rooms that settle the packages of versions.
type packages struct {
	store     *store.Store
	images    *images
	log       *slog.Logger
	host      *host.Store
	builder   *build.Builder
	module    *module.Module
	shared    *registry.Registry
	registers *registers
}

func newPackages(ctx context.Context, n *Node) (_ *packages, err error) {
	p := &packages{store: n.store, images: n.images, log: n.log}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	cache, err := registry.OpenCache(packumentsDir, packumentBytes)
	if err != nil {
		return nil, err
	}
	options := registry.Options{Cache: cache, Spool: ".",
		Hooks: registry.Hooks{Request: n.metrics.RegistryRequest, Cache: n.metrics.Packument, Bytes: n.metrics.RegistryBytes}}
	if p.shared, err = n.images.registry.With(options); err != nil {
		return nil, err
	}
	p.registers = newRegisters(n.store, p.shared, registry.ReachOf(n.cfg.PrivateRegistries), options)
	if p.host, err = host.Open(host.Config{Dir: packagesDir, KeyFile: packagesKey, Limit: n.cfg.PackageDisk, Archives: archives{n.store}, Log: n.log}); err != nil {
		return nil, err
	}
	p.builder, err = build.New(ctx, build.Config{Store: n.store, Fetcher: fetcher{p}, Host: shelf{p.host}, Sandboxes: sandboxes{p, n.client},
		Queue: buildQueueFile, Dir: ".", Builders: n.cfg.Builders, Hooks: build.Hooks{Done: n.metrics.PackageBuilt}, Log: n.log})
	if err != nil {
		return nil, err
	}
	p.module = module.New(module.Config{Store: n.store, Locker: locker{p, n}, Builder: p.builder, Host: shelf{p.host},
		Platform: platform(), ABI: func(rt string) string { return rt + "@" + n.setup.Node[rt] }, Private: p.registers.private, LockTTL: n.cfg.LockTTL,
		Hooks: module.Hooks{Locked: n.metrics.PackagesLocked, Settled: n.metrics.PackagesSettled}, Log: n.log})
	return p, nil
}

// run runs all of it until ctx ends: what asks ends before what is asked.
func (p *packages) run(ctx context.Context) error {
	lower, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var below errgroup.Group
	below.Go(func() error { return p.host.Run(lower) })
	upper, cancel := context.WithCancel(ctx)
	defer cancel()
	var above errgroup.Group
	for _, run := range []func(context.Context) error{p.builder.Run, p.module.Run} {
		above.Go(func() error {
			defer cancel() // none of them goes on without the other
			return run(upper)
		})
	}
	err := above.Wait()
	end()
	return errors.Join(err, below.Wait())
}

func (p *packages) close() error {
	var errs []error
	if p.builder != nil {
		errs = append(errs, p.builder.Close())
	}
	if p.host != nil {
		errs = append(errs, p.host.Close())
	}
	if p.registers != nil {
		p.registers.close()
	}
	if p.shared != nil {
		p.shared.Close()
	}
	return errors.Join(errs...)
}

// platform is npm's words for this machine: every image is made of Debian's libraries.
func platform() plan.Platform {
	cpu := runtime.GOARCH
	if cpu == "amd64" {
		cpu = "x64"
	}
	return plan.Platform{OS: "linux", CPU: cpu, Libc: "glibc"}
}

// trees shows the packages to the handler.
type trees struct {
	*module.Module
	store *store.Store
}

// Names are the packages that a version of this tree depends on itself.
func (t trees) Names(ctx context.Context, key string) ([]string, error) {
	tree, err := t.store.Tree(ctx, key)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(tree.Direct)), nil
}

// archives shows the blob store to the host store.
type archives struct{ *store.Store }

func (a archives) Open(ctx context.Context, content string) (io.ReadCloser, string, error) {
	r, digest, _, err := a.OpenArchive(ctx, content)
	return r, strings.TrimPrefix(digest, "sha256-"), err
}

// shelf shows the host store to those who speak of it in their own words.
type shelf struct{ *host.Store }

func (s shelf) Find(key string) (string, bool) {
	l, ok := s.Store.Find(key)
	return l.Path, ok
}

func (s shelf) Ensure(ctx context.Context, t *plan.Tree) (build.Linked, error) {
	l, err := s.Store.Ensure(ctx, t)
	return build.Linked(l), err
}

// fetcher fetches tarballs from the registries of a tenant, which it is told by its id.
type fetcher struct{ p *packages }

func (f fetcher) Tarball(ctx context.Context, tenant, name, version, integrity string) (io.ReadCloser, error) {
	registries, err := f.p.registers.byID(ctx, tenant)
	if err != nil {
		return nil, err
	}
	t, err := registries.Tarball(ctx, name, version, integrity)
	if err != nil { // not in the interface, where nil would not be nil
		return nil, err
	}
	return t, nil
}

// sandboxes starts build sandboxes with the registries of a tenant, by its id, behind them.
type sandboxes struct {
	p      *packages
	warden builder.Warden
}

func (s sandboxes) Start(ctx context.Context, rt, tenant string) (build.Sandbox, error) {
	registries, err := s.p.registers.byID(ctx, tenant)
	if err != nil {
		return nil, err
	}
	if err := s.p.images.Build(ctx, rt); err != nil {
		return nil, err
	}
	box, err := builder.Start(ctx, s.warden, rt)
	if err != nil {
		return nil, err
	}
	proxy := registry.NewProxy(registry.ProxyOptions{Registries: registries, Log: s.p.log})
	// Not the caller's context, which may be that of one step: Close ends it.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	b := &buildBox{Sandbox: box, stop: stop}
	b.served.Go(func() {
		if err := proxy.Serve(serving, box.Registry()); err != nil {
			s.p.log.Warn("cannot serve registry to build sandbox", "instance", box.ID, "err", err)
		}
	})
	return b, nil
}

// buildBox is a build sandbox with its registry.
type buildBox struct {
	*builder.Sandbox
	stop   context.CancelFunc
	served sync.WaitGroup
}

func (b *buildBox) Build(ctx context.Context, s build.Spec, out func(string)) (int, error) {
	return b.Sandbox.Build(ctx, builder.BuildSpec(s), out)
}

func (b *buildBox) Close(ctx context.Context) error {
	b.stop()
	b.served.Wait()
	return b.Sandbox.Close(ctx)
}

// locker settles manifests by npm in a build sandbox.
type locker struct {
	p *packages
	n *Node
}

func (l locker) Lock(ctx context.Context, r module.LockRequest) ([]byte, error) {
	m := r.Manifest
	registries, err := l.p.registers.inState(ctx, r.Tenant, r.Registries)
	if err != nil {
		return nil, err
	}
	done, err := lock.Resolve(ctx, lock.Request{Dependencies: m.Dependencies, OptionalDependencies: m.OptionalDependencies,
		PeerDependencies: m.PeerDependencies, Overrides: m.Overrides, Lock: r.Lock, MinReleaseAge: l.n.cfg.MinReleaseAge, Refresh: r.Refresh},
		lock.Options{Registries: registries, Log: l.p.log, Open: func(ctx context.Context) (lock.Sandbox, error) {
			if err := l.p.images.Build(ctx, m.Runtime); err != nil {
				return nil, err
			}
			return builder.Start(ctx, l.n.client, m.Runtime)
		}})
	var refused *lock.Error
	var denied *hearth.Error
	switch {
	case errors.As(err, &refused):
		return nil, &module.Refused{Failure: refused.Failure}
	case errors.As(err, &denied) && denied.Reason == "registry_denied": // waiting makes no credentials
		return nil, &module.Refused{Failure: hearth.Failure{Reason: lock.Reason, Message: denied.Message}}
	}
	if err != nil {
		return nil, fmt.Errorf("lock dependencies: %w", err)
	}
	return done.Lock, nil
}
