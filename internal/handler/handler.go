package handler

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"hearth"
	"hearth/internal/pool"
	"hearth/internal/warden/wire"
)

// Store is what the handler reads of the durable state, and what it writes: what trials found out.
type Store interface {
	// Routes returns the routes of a container, of a tenant if container is "", of all if both are "".
	Routes(ctx context.Context, tenant, container string) ([]hearth.Route, error)
	Code(ctx context.Context, digest string) ([]hearth.File, error)
	// KeepStripped keeps what a version's files are without types, for StrippedCode.
	KeepStripped(ctx context.Context, functionID string, number int, files []hearth.File) (digest string, err error)
	StrippedCode(ctx context.Context, functionID string, number int, digest string) ([]hearth.File, error)
	SecretValues(ctx context.Context, tenant, container, function string) (map[string]string, int64, error)
	Building(ctx context.Context) ([]hearth.Version, error)
	Settle(ctx context.Context, v hearth.Version) error
}

// Trees is the packages of versions, as they are on this node's disk.
type Trees interface {
	// Tree brings a tree onto the disk and returns where instances see its node_modules; fetched tells
	// that packages had to come from the blob store.
	Tree(ctx context.Context, key string) (path string, fetched bool, err error)
	// Hold keeps a tree on the disk until Release was called as often.
	Hold(key string)
	Release(key string)
	// Names are the packages that a version of this tree depends on itself.
	Names(ctx context.Context, key string) ([]string, error)
}

// Warden is what the handler asks of the warden beside the pool's starts and ends.
type Warden interface {
	Label(ctx context.Context, id, label string) error
	Limit(ctx context.Context, id string, l wire.Limits) error
	Mount(ctx context.Context, id string) error // shows the package store in an instance
	Adopt(ctx context.Context, l wire.Listed) (*wire.Sandbox, error)
	Destroy(ctx context.Context, id string) error
	Stats(ctx context.Context) ([]wire.Stats, error)
	Exits() <-chan wire.Exit
}

// Logs is told whose output an instance's is, before the code that prints can run.
type Logs interface {
	Assign(instanceID, tenant, container, containerID string, functionID func(function string) (id string, ok bool))
	Serving(instanceID, function string, version int)
}

// Hooks tell of what happens; each may be nil. They must not block.
type Hooks struct {
	Trial func(status hearth.Status, took time.Duration) // a version was settled
	Cold  func(took time.Duration)                       // a container got an instance for waiting requests
	// Removed is called when a function is no more, after its last route: no new request goes there.
	Removed func(functionID string)
}

// Config says what a handler works with. Store, Pool, Warden and Log are required.
type Config struct {
	Store  Store
	Pool   *pool.Pool
	Warden Warden
	Trees  Trees // nil: no version has packages
	Logs   Logs  // nil: output belongs to nobody
	// AdoptLogs attaches the output of an adopted instance, which had loaded r at least. Nil: the
	// pool's Attach is called.
	AdoptLogs func(s *wire.Sandbox, r *hearth.Route, functionID func(function string) (string, bool))
	Log       *slog.Logger
	Hooks     Hooks

	PreloadBytes int64 // memory for instances that have loaded a tree's packages; 0: none

	Idle   time.Duration // an instance without requests for this long is destroyed; default 10 m
	Calm   time.Duration // an extra instance that has not been needed for this long is; default 1 m
	Trials int           // versions tried at a time, of one tenant at most half as many; default 4
	Queue  int           // requests of one container that wait; default LimitQueue
	Wait   time.Duration // how long a request waits; default LimitQueueTime
	Load   time.Duration // how long a version may take to load; default LimitTrialTime

	// Keep leaves serving instances to the next process when Run ends; the pool has the same field.
	Keep bool
}

// Handler is the routes and the instances of all containers. It is safe for concurrent use.
type Handler struct {
	cfg      Config
	routes   table
	registry registry
	turns    *turns
	builds   builds
	demand   demand
	tasks    tasks
}

// New makes a handler. Call Adopt once, then Run.
func New(c Config) *Handler {
	c.Idle = or(c.Idle, 10*time.Minute)
	c.Calm = or(c.Calm, time.Minute)
	c.Trials = or(c.Trials, 4)
	c.Queue = or(c.Queue, hearth.LimitQueue.Int())
	c.Wait = or(c.Wait, hearth.LimitQueueTime.Duration())
	c.Load = or(c.Load, hearth.LimitTrialTime.Duration())
	h := &Handler{cfg: c}
	h.routes.init()
	h.registry.init()
	h.builds.init()
	h.demand.init()
	h.turns = newTurns(c.Pool)
	return h
}

func or[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// Run serves cold requests, reaps, and tries versions until ctx ends. It returns when all that it
// started has ended; then every instance is in the pool's hands for destruction or, with Keep, left
// alone. Stop the proxy before, since requests in flight lose their instances.
func (h *Handler) Run(ctx context.Context) error {
	h.tasks.open(ctx)
	for c := range h.routes.all() { // what was adopted
		h.relimit(c)
	}
	var loops sync.WaitGroup
	loops.Go(func() { h.watchExits(ctx) })
	loops.Go(func() { h.reapLoop(ctx) })
	loops.Go(func() { h.buildLoop(ctx) })
	loops.Go(func() { h.turns.pumpLoop(ctx) })
	loops.Go(func() { h.preloadLoop(ctx) })
	loops.Wait()
	h.tasks.close()
	h.end()
	return nil
}

// end answers who still waits, and lets go of the instances.
func (h *Handler) end() {
	for c := range h.routes.all() {
		c.mu.Lock()
		c.failAll(draining())
		c.mu.Unlock()
	}
	for _, s := range h.registry.all() {
		if !h.cfg.Keep || s.inst.Owner() == "" || !s.inst.Open() {
			h.cfg.Pool.Destroy(s.inst)
		}
	}
}

// tasks owns the goroutines that outlive the request for which they began.
type tasks struct {
	mu  sync.Mutex
	ctx context.Context // Run's: a task ends with the handler, not with its request
	on  bool
	wg  sync.WaitGroup
}

func (t *tasks) open(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ctx, t.on = ctx, true
}

// run starts f, and reports false when Run has not begun or has ended.
func (t *tasks) run(f func(ctx context.Context)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.on || t.ctx.Err() != nil {
		return false
	}
	ctx := t.ctx
	t.wg.Go(func() { f(ctx) })
	return true
}

func (t *tasks) close() {
	t.mu.Lock()
	t.on = false
	t.mu.Unlock()
	t.wg.Wait()
}
