package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"gocloud.dev/secrets/localsecrets"
	"golang.org/x/sync/errgroup"

	"hearth"
	"hearth/internal/api"
	"hearth/internal/auth"
	"hearth/internal/config"
	"hearth/internal/handler"
	"hearth/internal/logs"
	"hearth/internal/metrics"
	"hearth/internal/pool"
	"hearth/internal/problem"
	"hearth/internal/proxy"
	"hearth/internal/store"
	"hearth/internal/warden/wire"
)

// drainTime is how long requests may go on after SIGTERM: longer than a usual function, shorter than
// the warden's patience.
const drainTime = 30 * time.Second

// Node is one node process. It is made by New and lives as long as Run.
type Node struct {
	cfg     *config.Config
	setup   wire.Setup
	log     *slog.Logger
	client  *wire.Client
	store   *store.Store
	logs    *logs.Logs
	metrics *metrics.Metrics
	pool    *pool.Pool
	handler *handler.Handler
	proxy   *proxy.Proxy
	images  *images
	packs   *packages
	cert    *certificate
	servers []server

	draining chan struct{} // closed when the node begins to stop
}

// server is a front with the listeners that it serves.
type server struct {
	front     *proxy.Server
	listeners []net.Listener
}

// New opens the state and makes the rooms. files are the warden's descriptors by name.
func New(ctx context.Context, client *wire.Client, setup wire.Setup, files map[string]*os.File, log *slog.Logger) (_ *Node, err error) {
	cfg := setup.Config
	n := &Node{cfg: cfg, setup: setup, log: log, client: client, draining: make(chan struct{})}
	key, err := readFile(files[wire.FileKeeper])
	if err != nil {
		return nil, fmt.Errorf("read keeper's key: %w", err)
	}
	k, err := localsecrets.Base64Key(strings.TrimSpace(string(key)))
	if err != nil {
		return nil, hearth.Errorf(hearth.CodeInvalid, "the keeper's key is not 32 bytes in base64: %v", err)
	}
	token, err := readFile(files[wire.FileToken])
	if err != nil {
		return nil, fmt.Errorf("read admin token: %w", err)
	}
	admin, err := auth.NewAdmin(token)
	if err != nil {
		return nil, hearth.Errorf(hearth.CodeInvalid, "the admin token cannot be used: %v", err)
	}

	n.store, err = store.Open(ctx, store.Config{Database: cfg.Database, Blobs: cfg.Blobs, Keeper: localsecrets.NewKeeper(k), Log: log, OnChange: n.changed})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.store.Close())
		}
	}()
	if n.logs, err = logs.New(logs.Config{Dir: "logs", Log: log}); err != nil {
		return nil, err
	}
	n.metrics = metrics.New(metrics.Config{Version: setup.Version, Log: log})
	access, err := readFile(files[wire.FileRegistry])
	if err != nil {
		return nil, fmt.Errorf("read access to registry: %w", err)
	}
	if n.images, err = newImages(client, access, log); err != nil {
		return nil, err
	}
	if n.packs, err = newPackages(ctx, n); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.packs.close())
		}
	}()
	n.makeRooms()
	if files[wire.FileTLSCert] != nil {
		if n.cert, err = newCertificate(files[wire.FileTLSCert], files[wire.FileTLSKey]); err != nil {
			return nil, err
		}
	}
	return n, n.makeServers(admin, files)
}

func (n *Node) makeRooms() {
	n.pool = pool.New(pool.Config{
		Size: n.cfg.Pool, Runtimes: hearth.Runtimes, Parallel: max(2, runtime.NumCPU()),
		Limits:  wireLimits(hearth.DefaultContainerLimits()),
		Starter: n.client, Attach: n.logs.Attach, Log: n.log, Keep: true,
		Hooks: pool.Hooks{
			Started: func(_ string, took time.Duration) { n.metrics.InstanceStarted(took); n.metrics.Refilled(true) },
			Failed:  func(string, error) { n.metrics.Refilled(false) },
			Preloaded: func(tree, id string, took time.Duration) {
				n.metrics.Preloaded(took)
				n.handler.Preloaded(tree, id, took)
			},
		},
	})
	n.handler = handler.New(handler.Config{
		Store: n.store, Pool: n.pool, Warden: n.client, Trees: trees{n.packs.module, n.store}, Logs: n.logs, Log: n.log,
		Idle: n.cfg.Idle, PreloadBytes: n.cfg.PreloadMemory, Keep: true,
		AdoptLogs: func(s *wire.Sandbox, r *hearth.Route, functionID func(string) (string, bool)) {
			n.logs.Adopt(s.ID, s.Stdout, s.Stderr, s.Dropped, logs.Owner{Tenant: r.Tenant, Container: r.Container,
				ContainerID: r.ContainerID, FunctionID: functionID, Function: r.Function, Version: r.Active})
		},
		Hooks: handler.Hooks{
			Trial: func(s hearth.Status, _ time.Duration) { n.metrics.Deployed(s) },
			Removed: func(functionID string) {
				if err := n.logs.Remove(functionID); err != nil {
					n.log.Error("cannot remove log of function", "function", functionID, "err", err)
				}
			},
		},
	})
	n.proxy = proxy.New(proxy.Config{
		Handler: lender{n.handler}, Log: n.log, Record: n.record,
		RunDomain: n.cfg.RunDomain, TrustedProxies: n.cfg.TrustedProxies,
		ExposeStart: n.cfg.ExposeStart, SandboxPages: n.cfg.AdminListen == "",
	})
	n.watchMetrics()
}

func wireLimits(l hearth.ContainerLimits) wire.Limits {
	return wire.Limits{MemoryMiB: l.MemoryMiB, MilliCPUs: int(l.CPUs * 1000), Pids: l.Pids, TmpMiB: l.TmpMiB}
}

// makeServers puts the routes on the warden's listeners.
func (n *Node) makeServers(admin *auth.Admin, files map[string]*os.File) error {
	management := n.management(admin)
	health := http.NewServeMux()
	health.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, rand.Text(), hearth.Errorf(hearth.CodeNotFound, "There is nothing at this path."))
	})
	health.Handle("/healthz", metrics.Healthz())
	health.Handle("/readyz", metrics.Readyz(n.missing))
	public := management
	if n.cfg.AdminListen != "" {
		public = health
	}
	for _, side := range []struct {
		file    string
		handler http.Handler
	}{
		{wire.FileListen, n.front(health, public)},
		{wire.FileAdmin, mux(health, management)},
	} {
		file := files[side.file]
		if file == nil {
			continue
		}
		l, err := net.FileListener(file)
		if err != nil {
			return fmt.Errorf("use listener %s: %w", side.file, err)
		}
		cfg := proxy.ServerConfig{Handler: side.handler, Log: n.log, H2C: n.cfg.H2C, Drain: drainTime, Close: n.proxy.Close}
		if n.cert != nil {
			cfg.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return n.cert.get(), nil }
		}
		n.servers = append(n.servers, server{proxy.NewServer(cfg), []net.Listener{l}})
	}
	if len(n.servers) == 0 {
		return errors.New("the warden sent no listener")
	}
	return nil
}

// front asks the proxy first: paths of functions pass as they are, and no router may clean them.
func (n *Node) front(health, rest http.Handler) http.Handler {
	other := mux(health, rest)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.proxy.Serves(r) {
			n.proxy.ServeHTTP(w, r)
			return
		}
		other.ServeHTTP(w, r)
	})
}

func mux(health, rest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
			health.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// management is /v1, the API's description, and the metrics.
func (n *Node) management(admin *auth.Admin) http.Handler {
	name, err := os.Hostname()
	if err != nil {
		name = "localhost"
	}
	v1 := api.New(api.Config{
		Store: n.store, Deployer: deployer{n}, Settler: deployer{n}, Verifier: n.packs.host, Logs: n.logs, Auth: admin, Log: n.log,
		Isolation: []string{n.cfg.Isolation},
		Node: func() api.Node {
			ready := 0
			for _, k := range n.readyInstances() {
				ready += k
			}
			return api.Node{Name: name, Version: n.setup.Version, Runtimes: hearth.Runtimes, Isolation: []string{n.cfg.Isolation},
				Pool: api.Pool{Size: n.cfg.Pool, Ready: ready}}
		},
		URL:       n.url,
		CheckHost: n.hostCheck(), CheckRegistry: n.packs.registers.check,
	})
	scrape := n.metricsHandler(admin)
	// Not a ServeMux, which redirects unclean paths before the API can refuse them.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			scrape.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer n.onDrain(cancel)() // a log that is followed would hold the drain to its end
		v1.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Run runs the node until ctx ends or something fails that it cannot go on without.
func (n *Node) Run(ctx context.Context) error {
	// Each layer has a context of its own, which ends after the layer above has returned.
	lower, endLower := context.WithCancel(context.WithoutCancel(ctx))
	defer endLower()
	var base errgroup.Group // what the others need to the end
	fail := make(chan error, 8)
	base.Go(func() error {
		err := n.client.Run(lower)
		if err != nil {
			fail <- err
		}
		return err
	})
	base.Go(func() error { return n.logs.Run(lower) })
	base.Go(func() error { return n.store.Run(lower) })

	rooms, endRooms := context.WithCancel(lower)
	defer endRooms()
	var middle sync.WaitGroup
	err := n.adopt(ctx)
	if err == nil {
		for name, run := range map[string]func(context.Context) error{
			"pool": n.runPool, "handler": n.handler.Run, "packages": n.packs.run, "images": n.images.run, "certificate": n.watchCertificate,
		} {
			middle.Go(func() {
				if err := run(rooms); err != nil {
					fail <- fmt.Errorf("%s: %w", name, err)
				}
			})
		}
		err = n.runServers(ctx, fail)
	}
	endRooms()
	middle.Wait()
	endLower()
	return errors.Join(err, base.Wait(), n.packs.close(), n.store.Close())
}

// runPool fills the pool as soon as there is something to start instances from.
func (n *Node) runPool(ctx context.Context) error {
	select {
	case <-n.images.ready:
	case <-ctx.Done():
	}
	return n.pool.Run(ctx)
}

func (n *Node) runServers(ctx context.Context, fail <-chan error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var fronts errgroup.Group
	for _, s := range n.servers {
		fronts.Go(func() error {
			err := s.front.Run(ctx, s.listeners...)
			if err != nil {
				cancel(err)
			}
			return err
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- fronts.Wait() }() // ends with the fronts, which end with ctx
	stop := context.AfterFunc(ctx, func() { close(n.draining) })
	defer stop()
	n.log.Info("serving", "listen", n.cfg.Listen, "admin_listen", n.cfg.AdminListen)
	select {
	case err := <-ended:
		return err
	case err := <-fail:
		cancel(err)
		return errors.Join(err, <-ended)
	}
}

// changed tells the handler that the store was written. It is called before the write is
// acknowledged, so when it returns the new state serves.
func (n *Node) changed(tenant, container string) {
	if n.handler != nil { // the store's own first steps come before there is one
		n.packs.module.Changed(tenant, container)
		n.handler.Changed(tenant, container)
	}
}

// onDrain calls f when the node begins to stop; the function that it returns calls that off.
func (n *Node) onDrain(f func()) func() {
	done := make(chan struct{})
	go func() { // ends with either
		select {
		case <-n.draining:
			f()
		case <-done:
		}
	}()
	return func() { close(done) }
}

// adopt takes over the instances that an earlier node process left under this warden.
func (n *Node) adopt(ctx context.Context) error {
	listed, err := n.client.List(ctx)
	if err != nil {
		return err
	}
	if err := n.handler.Adopt(ctx, listed); err != nil {
		return err
	}
	routes, err := n.store.Routes(ctx, "", "")
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(routes))
	for _, r := range routes {
		known[r.FunctionID] = true
	}
	return n.logs.Retain(func(id string) bool { return known[id] })
}
