package build

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"hearth"
	"hearth/internal/module/plan"
	"hearth/internal/module/unpack"
	"hearth/internal/store"
)

// Store is the truth.
type Store interface {
	ClaimContents(ctx context.Context, owner string, scripts bool, n int) ([]store.Job, error)
	HeartbeatContents(ctx context.Context, tokens map[string]string) (lost []string, err error)
	ReleaseContents(ctx context.Context, owner string) error
	PutArchive(ctx context.Context, content string, r io.Reader, digest string) (size int64, err error)
	FinishContents(ctx context.Context, all []store.Built) (lost []string, err error)
	FailContent(ctx context.Context, j store.Job, fault store.Fault, f hearth.Failure, after time.Duration) (retry time.Time, err error)
	RegistryBack(ctx context.Context, tenant string) error
	Tree(ctx context.Context, key string) (*plan.Tree, error)
	TreeState(ctx context.Context, key string) (store.TreeState, error)
}

// Fetcher is the registry of a tenant (its id; "" is the shared one). What it returns has the sha512 of
// the integrity already, or turns out not to have it while it is read. Its errors are *hearth.Error.
type Fetcher interface {
	Tarball(ctx context.Context, tenant, name, version, integrity string) (io.ReadCloser, error)
}

// Linked is a tree on this node's disk.
type Linked struct {
	Path    string // as an instance sees it
	Fetched int    // contents that had to come from the blob store
}

// Host is the package store of this node.
type Host interface {
	// Put takes in a content that was just unpacked, of a tenant (its id) or shared (""); digest is the sha256 of its archive in hex. It is a
	// matter of speed only: Ensure fetches what is not here.
	Put(ctx context.Context, content, tenant string, c *unpack.Content, digest string) error
	Ensure(ctx context.Context, t *plan.Tree) (Linked, error)
	Hold(key string)
	Release(key string)
}

// Sandboxes start build sandboxes whose registry is that of a tenant ("" is the shared one).
type Sandboxes interface {
	Start(ctx context.Context, runtime, tenant string) (Sandbox, error)
}

// Sandbox builds one package. Close ends whatever runs in it.
type Sandbox interface {
	Input(ctx context.Context, name string, tar io.Reader) error
	Build(ctx context.Context, spec Spec, out func(line string)) (code int, err error)
	Result(ctx context.Context) (io.ReadCloser, error)
	Close(ctx context.Context) error
}

// Spec says how a package that was put into a sandbox is built.
type Spec struct {
	Name  string            `json:"name"`
	Links map[string]string `json:"links"` // name of a dependency → its folder below /packages
	Bin   map[string]string `json:"bin"`   // command → file, relative to node_modules/.bin
	Env   map[string]string `json:"env"`
}

// Config is what a Builder works with.
type Config struct {
	Store     Store
	Fetcher   Fetcher
	Host      Host
	Sandboxes Sandboxes

	Queue    string        // path of River's database
	Dir      string        // for temporary files; default the system's
	Fetches  int           // contents without scripts that are made at once; default 16
	Builders int           // build sandboxes at once; default 2
	Time     time.Duration // of one build; default LimitBuildTime
	Limits   unpack.Limits
	Hooks    Hooks
	Log      *slog.Logger

	look time.Duration // how often the table is looked at unasked; default a lease\'s time
}

// Hooks are told what happens, for metrics. They must not block; each may be nil.
type Hooks struct {
	// Done says that a content was made or was not: outcome is built, failed, retry, away, lost.
	Done func(scripts bool, outcome string, took time.Duration)
}

// The defaults.
const (
	fetchesDefault  = 16
	buildersDefault = 2
)

// heartbeatEvery leaves room for two lost heartbeats within a lease.
const heartbeatEvery = 3 * time.Second

// Builder builds what the store has queued. It is made, Run once, and asked for progress by anybody.
type Builder struct {
	cfg      Config
	owner    string
	queue    *queue
	progress tracker
	commits  chan commit
	kicks    [2]chan struct{} // one of each class, size 1: look at the table

	mu      sync.Mutex
	held    map[string]*work     // by token
	away    map[string]absence   // by tenant, of its registry
	success map[string]time.Time // by tenant: its registry's last answer
}

// Classes of contents: those that our code unpacks, and those that are built in a sandbox.
const (
	pure = iota
	scripted
)

// work is one claimed content.
type work struct {
	job    store.Job
	cancel context.CancelCauseFunc
	began  time.Time
}

// New opens River's database, and makes it anew if it cannot be used.
func New(ctx context.Context, cfg Config) (*Builder, error) {
	if cfg.Fetches == 0 {
		cfg.Fetches = fetchesDefault
	}
	if cfg.Builders == 0 {
		cfg.Builders = buildersDefault
	}
	if cfg.Time == 0 {
		cfg.Time = hearth.LimitBuildTime.Duration()
	}
	if cfg.look == 0 {
		cfg.look = store.ContentLease
	}
	b := &Builder{cfg: cfg, owner: "b-" + rand.Text(), commits: make(chan commit),
		held: map[string]*work{}, away: map[string]absence{}, success: map[string]time.Time{}}
	b.progress.init()
	for i := range b.kicks {
		b.kicks[i] = make(chan struct{}, 1)
	}
	var err error
	b.queue, err = openQueue(ctx, cfg.Queue, cfg.Log, b.kick)
	return b, err
}

// Close closes River's database, after Run.
func (b *Builder) Close() error { return b.queue.close() }

// kick makes a loop look at the table.
func (b *Builder) kick(class int) {
	select {
	case b.kicks[class] <- struct{}{}:
	default:
	}
}

// Wake tells the builders that a deploy has queued contents. Where River cannot take it, this process
// looks at the table at once, and others do within a lease's time.
func (b *Builder) Wake(ctx context.Context) {
	if err := b.queue.wake(ctx, time.Time{}, pure, scripted); err != nil {
		if ctx.Err() == nil {
			b.cfg.Log.Warn("cannot queue a wake-up", "err", err)
		}
		b.kick(pure)
		b.kick(scripted)
	}
}

// Run builds until ctx is done, and gives back what it then holds.
func (b *Builder) Run(ctx context.Context) error {
	if err := b.queue.start(ctx); err != nil {
		return fmt.Errorf("start wake-ups: %w", err)
	}
	// Workers send to the committer, so it ends after them; heartbeats go on until both have ended.
	beat, stopBeat := context.WithCancel(context.WithoutCancel(ctx))
	var loops, rest sync.WaitGroup
	loops.Go(func() { b.loop(ctx, pure, b.cfg.Fetches, 2*b.cfg.Fetches, b.unpack) })
	loops.Go(func() { b.loop(ctx, scripted, b.cfg.Builders, b.cfg.Builders, b.compile) })
	rest.Go(func() { b.commitLoop() })
	rest.Go(func() { b.heartbeat(beat) })
	loops.Wait()
	close(b.commits)
	stopBeat()
	rest.Wait()
	b.queue.stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := b.cfg.Store.ReleaseContents(ctx, b.owner); err != nil {
		b.cfg.Log.Warn("cannot give back contents; others take them over when their leases end", "err", err)
	}
	return nil
}

// releaseTime bounds the last write of a builder that stops.
const releaseTime = 5 * time.Second

// loop claims contents of one class and makes them, slots at a time. It holds up to most, so that a
// commit claims for many.
func (b *Builder) loop(ctx context.Context, class, slots, most int, do func(ctx context.Context, w *work) error) {
	var workers sync.WaitGroup
	defer workers.Wait()
	free := make(chan struct{}, slots) // holds a value for each busy slot
	var todo []*work
	look := true
	tick := time.NewTicker(b.cfg.look)
	defer tick.Stop()
	for ctx.Err() == nil {
		if held := len(todo) + len(free); look && held <= max(most-slots, slots-1) {
			want := most - held
			jobs, err := b.cfg.Store.ClaimContents(ctx, b.owner, class == scripted, want)
			if err != nil && ctx.Err() == nil {
				b.cfg.Log.Error("cannot claim contents to build", "err", err)
			}
			look = len(jobs) == want
			for _, j := range jobs {
				todo = append(todo, b.hold(j))
			}
		}
		for len(todo) > 0 && len(free) < slots {
			w := todo[0]
			todo = todo[1:]
			free <- struct{}{}
			workers.Go(func() {
				defer func() { <-free; b.kick(class) }()
				b.one(ctx, w, do)
			})
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
			look = true
		case <-b.kicks[class]:
			look = true
		}
	}
	for _, w := range todo {
		b.drop(w)
	}
}

// hold begins to keep a job's lease alive.
func (b *Builder) hold(j store.Job) *work {
	w := &work{job: j, began: time.Now()}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held[j.Token] = w
	return w
}

func (b *Builder) drop(w *work) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.held, w.job.Token)
}

// one makes one content and says what became of it.
func (b *Builder) one(ctx context.Context, w *work, do func(ctx context.Context, w *work) error) {
	defer b.drop(w)
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b.mu.Lock()
	w.cancel = cancel
	lost := b.held[w.job.Token] == nil // while it waited for a slot
	b.mu.Unlock()
	err := store.ErrLeaseLost
	if !lost {
		err = do(work, w)
	}
	if cause := context.Cause(work); err != nil && errors.Is(cause, store.ErrLeaseLost) {
		err = cause
	}
	outcome := "built"
	switch {
	case err == nil:
		b.succeeded(ctx, w.job.Package.Tenant)
		b.progress.ready(w.job.Content)
		b.kick(scripted) // it may have waited for this one
	case ctx.Err() != nil:
		return // Run gives it back
	case errors.Is(err, store.ErrLeaseLost):
		outcome = "lost"
		b.cfg.Log.Warn("lost the lease of a content", "content", w.job.Content, "package", w.job.Package.Package)
	default:
		outcome = b.fail(ctx, w, err)
	}
	if f := b.cfg.Hooks.Done; f != nil {
		f(w.job.Package.Scripts, outcome, time.Since(w.began))
	}
}

// heartbeat prolongs all leases until ctx is done.
func (b *Builder) heartbeat(ctx context.Context) {
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		b.beat(ctx)
	}
}

func (b *Builder) beat(ctx context.Context) {
	tokens := map[string]string{}
	b.mu.Lock()
	for token, w := range b.held {
		tokens[token] = w.job.Content
	}
	b.mu.Unlock()
	lost, err := b.cfg.Store.HeartbeatContents(ctx, tokens)
	if err != nil {
		if ctx.Err() == nil {
			b.cfg.Log.Error("cannot prolong the leases of builds", "err", err)
		}
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, token := range lost {
		if w := b.held[token]; w != nil {
			delete(b.held, token)
			if w.cancel != nil {
				w.cancel(store.ErrLeaseLost)
			}
		}
	}
}
