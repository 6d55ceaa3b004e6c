package pool

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"hearth/internal/pool/instance"
	"hearth/internal/warden/wire"
)

const (
	// startTime bounds one start with its exercise: a loaded machine takes seconds, not minutes.
	startTime = 30 * time.Second
	// destroyTime bounds one try to end an instance; the warden kills and waits for the kernel.
	destroyTime = 30 * time.Second
	// destroyParallel is how many instances are ended at a time; each is mostly waiting.
	destroyParallel = 4
	// backoffLeast and backoffMost bound the wait after starts that failed, before jitter.
	backoffLeast = 100 * time.Millisecond
	backoffMost  = 30 * time.Second
)

// Starter starts and ends sandboxes. The warden's client is one.
type Starter interface {
	Start(ctx context.Context, runtime string, l wire.Limits) (*wire.Sandbox, error)
	Destroy(ctx context.Context, id string) error
	Mount(ctx context.Context, id string) error // shows the package store in an instance
	Freeze(ctx context.Context, id string, frozen bool) error
}

// Hooks tell of what happens; each may be nil. They must not block.
type Hooks struct {
	Started   func(runtime string, took time.Duration)  // an instance entered the shelf or went to a taker
	Failed    func(runtime string, err error)           // a start failed
	Sized     func(runtime string, ready int)           // the shelf grew or shrank
	Preloaded func(tree, id string, took time.Duration) // an instance has loaded a tree's packages
	Destroyed func(runtime string)                      // an instance and all that it had is gone
}

// Config says what a pool keeps.
type Config struct {
	Size     int         // instances of the default runtime kept ready; 0 starts each when it is asked for
	Runtimes []string    // the first is the default
	Parallel int         // starts at a time, at least 1
	Limits   wire.Limits // of an instance until it is assigned
	// Calm is how long nobody must have asked for an instance before those that wait are exercised
	// more, which takes as long as a refill; default 1 s.
	Calm    time.Duration
	Starter Starter
	// Attach takes over the output of an instance, whose pipes must be read. Nil closes them.
	Attach func(id string, stdout, stderr *os.File)
	Log    *slog.Logger
	Hooks  Hooks
	// Keep leaves assigned instances alone when Run ends, for the next process to adopt.
	Keep bool
}

// ErrStopped is returned to takers once the pool has stopped.
var ErrStopped = errors.New("the pool has stopped")

// Pool is the shelves and the loop that fills them. It is safe for concurrent use.
type Pool struct {
	cfg  Config
	wake chan struct{} // size 1: something changed
	news chan struct{} // size 1: see Changed

	mu      sync.Mutex
	shelves map[kind]*shelf
	refused map[string]string             // trees that cannot be preloaded, and why; bounded by mostRefused
	live    map[string]*instance.Instance // all that are not destroyed, by id; bounded by the warden
	ending  []*instance.Instance          // to be destroyed; bounded by live
	busy    time.Time                     // when somebody last asked for an instance
	stopped bool

	exercised    *instance.Instance // is being exercised on its shelf; nil: none is
	stopExercise context.CancelFunc // of it
}

// New makes a pool. Call Run.
func New(c Config) *Pool {
	c.Parallel = max(1, c.Parallel)
	if c.Calm == 0 {
		c.Calm = time.Second
	}
	p := &Pool{cfg: c, wake: make(chan struct{}, 1), news: make(chan struct{}, 1), busy: time.Now(),
		shelves: map[kind]*shelf{}, refused: map[string]string{}, live: map[string]*instance.Instance{}}
	for n, r := range c.Runtimes {
		s := &shelf{runtime: r, limits: c.Limits}
		if n == 0 {
			s.size = c.Size
		}
		p.shelves[kind{runtime: r, memoryMiB: c.Limits.MemoryMiB}] = s
	}
	return p
}

// Run fills the shelves until ctx ends. Then it ends what is on them and whatever else was handed to
// Destroy, and returns when everything that it started has ended.
func (p *Pool) Run(ctx context.Context) error {
	var starts, ends sync.WaitGroup
	defer p.stop()
	starting, destroying, exercising := 0, 0, false
	started := make(chan *shelf)      // a start ended; the loop reads it
	destroyed := make(chan struct{})  // an end ended; the loop reads it
	exercised := make(chan struct{})  // an exercise ended; the loop reads it
	timer := time.NewTimer(time.Hour) // the next try after a failure
	defer timer.Stop()
	done := ctx.Done()
	for {
		var wait time.Duration
		for ctx.Err() == nil && starting < p.cfg.Parallel {
			s, later := p.next()
			if wait = later; s == nil {
				break
			}
			starting++
			starts.Go(func() { p.start(ctx, s); started <- s })
		}
		if ctx.Err() == nil && starting == 0 && !exercising {
			do, later := p.nextExercise(ctx)
			if do != nil {
				exercising = true
				starts.Go(func() { do(); exercised <- struct{}{} })
			} else if wait == 0 || later > 0 && later < wait {
				wait = later
			}
		}
		for destroying < destroyParallel {
			i := p.nextEnding()
			if i == nil {
				break
			}
			destroying++
			// An instance must end although the node stops: its own deadline bounds it.
			ends.Go(func() { p.end(context.WithoutCancel(ctx), i); destroyed <- struct{}{} })
		}
		if done == nil && starting == 0 && destroying == 0 && !exercising { // and so the shelves are empty
			break
		}
		if wait > 0 {
			timer.Reset(wait)
		}
		select {
		case <-done:
			done = nil
			p.empty()
		case <-p.wake:
		case <-timer.C:
		case <-started:
			starting--
		case <-destroyed:
			destroying--
		case <-exercised:
			exercising = false
		}
	}
	starts.Wait()
	ends.Wait()
	return nil
}

// Ready reports whether the default shelf has been full, and is not empty now because starts fail.
// An empty shelf alone is no reason to be sent no more requests: starts are under way.
func (p *Pool) Ready() bool {
	if p.cfg.Size == 0 {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shelves[p.defaultKind()]
	return s.full && (len(s.ready) > 0 || s.failures == 0)
}

// Stats is what the pool holds now.
type Stats struct {
	Size      int            // wanted of the default runtime
	Ready     map[string]int // on the shelf, by runtime
	Waiting   map[string]int // takers in line, by runtime
	Preloaded int            // with a tree's packages loaded, frozen
	Live      int            // instances that are not destroyed, assigned ones too
}

// Stats returns what the pool holds now.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := Stats{Size: p.cfg.Size, Ready: map[string]int{}, Waiting: map[string]int{}, Live: len(p.live)}
	for k, s := range p.shelves {
		if s.tree != nil {
			st.Preloaded += len(s.ready)
			continue
		}
		st.Ready[k.runtime] += len(s.ready)
		st.Waiting[k.runtime] += len(s.takers)
	}
	return st
}

// Limits returns the limits that an instance has until it is assigned.
func (p *Pool) Limits() wire.Limits { return p.cfg.Limits }

// Size returns how many instances of the default runtime are kept.
func (p *Pool) Size() int { return p.cfg.Size }

// Default returns the default runtime.
func (p *Pool) Default() string { return p.cfg.Runtimes[0] }

func (p *Pool) defaultKind() kind {
	return kind{runtime: p.cfg.Runtimes[0], memoryMiB: p.cfg.Limits.MemoryMiB}
}

// Shelved returns how many instances of the default runtime are ready.
func (p *Pool) Shelved() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.shelves[p.defaultKind()].ready)
}

// Changed is sent to, at most once until it is read, when a shelf has grown.
func (p *Pool) Changed() <-chan struct{} { return p.news }

// Exited takes the news that an instance ended by itself and returns the instance, nil when it is
// not known any more. One on the shelf is removed and replaced; ending the rest is the owner's task.
func (p *Pool) Exited(e wire.Exit) *instance.Instance {
	p.mu.Lock()
	i := p.live[e.ID]
	onShelf := false
	if i != nil {
		for _, s := range p.shelves {
			if n := slices.Index(s.ready, i); n >= 0 {
				s.ready = slices.Delete(s.ready, n, n+1)
				onShelf = true
			}
		}
	}
	p.mu.Unlock()
	if i == nil {
		return nil
	}
	i.Died(e)
	if onShelf {
		p.cfg.Log.Warn("instance died in the pool", "instance", e.ID, "status", e.Status, "oom", e.OOM)
		p.sized(i.Runtime())
		p.Destroy(i)
	}
	return i
}

// Adopt takes a sandbox that an earlier process left, already assigned. attach takes over its output;
// nil does as for a new one.
func (p *Pool) Adopt(s *wire.Sandbox, containerID string, attach func()) (*instance.Instance, error) {
	if attach == nil {
		attach = func() { p.attach(s) }
	}
	i, err := p.open(s, attach)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(i.Pool(), i.Assign(containerID)); err != nil {
		p.Destroy(i)
		return nil, err
	}
	return i, nil
}

// open makes an instance of a sandbox and attaches its output.
func (p *Pool) open(s *wire.Sandbox, attach func()) (*instance.Instance, error) {
	i, err := instance.New(s)
	if err != nil {
		s.Close()
		return nil, err
	}
	attach()
	p.mu.Lock()
	p.live[s.ID] = i
	p.mu.Unlock()
	return i, nil
}

func (p *Pool) attach(s *wire.Sandbox) {
	if p.cfg.Attach != nil {
		p.cfg.Attach(s.ID, s.Stdout, s.Stderr)
	} else {
		wire.CloseAll([]*os.File{s.Stdout, s.Stderr})
	}
}

// Destroy ends an instance, once, however often it is called: nothing new enters, its connections
// close, and the loop asks the warden to remove it.
func (p *Pool) Destroy(i *instance.Instance) {
	if !i.Close() {
		return
	}
	p.mu.Lock()
	p.ending = append(p.ending, i)
	p.mu.Unlock()
	signal(p.wake)
}

func (p *Pool) nextEnding() *instance.Instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ending) == 0 {
		return nil
	}
	i := p.ending[0]
	p.ending = p.ending[1:]
	return i
}

// end asks the warden to remove an instance, and again when that fails: what cannot be ended still
// holds memory, and the warden's end is the last resort.
func (p *Pool) end(ctx context.Context, i *instance.Instance) {
	for try := range 3 {
		ctx, cancel := context.WithTimeout(ctx, destroyTime)
		err := p.cfg.Starter.Destroy(ctx, i.ID())
		cancel()
		if err == nil {
			break
		}
		p.cfg.Log.Error("cannot destroy instance", "instance", i.ID(), "try", try+1, "err", err)
		if errors.Is(err, wire.ErrClosed) {
			break
		}
	}
	p.mu.Lock()
	delete(p.live, i.ID())
	p.mu.Unlock()
	if h := p.cfg.Hooks.Destroyed; h != nil {
		h(i.Runtime())
	}
}

// empty ends what waits on the shelves and tells the takers.
func (p *Pool) empty() {
	p.mu.Lock()
	p.stopped = true
	var all []*instance.Instance
	for _, s := range p.shelves {
		all = append(all, s.ready...)
		s.ready, s.full = nil, false
		for _, t := range s.takers {
			close(t)
		}
		s.takers = nil
	}
	if !p.cfg.Keep {
		for _, i := range p.live {
			if !slices.Contains(all, i) {
				all = append(all, i)
			}
		}
	}
	p.mu.Unlock()
	for _, i := range all {
		p.Destroy(i)
	}
}

// stop closes the descriptors of what lives on in the warden's care.
func (p *Pool) stop() {
	p.mu.Lock()
	rest := make([]*instance.Instance, 0, len(p.live))
	for _, i := range p.live {
		rest = append(rest, i)
	}
	clear(p.live)
	p.mu.Unlock()
	for _, i := range rest {
		i.Close()
	}
}

func (p *Pool) sized(runtime string) {
	if h := p.cfg.Hooks.Sized; h != nil {
		p.mu.Lock()
		n := len(p.shelves[kind{runtime: runtime, memoryMiB: p.cfg.Limits.MemoryMiB}].ready)
		p.mu.Unlock()
		h(runtime, n)
	}
}

// signal tells a loop that something changed; it looks for itself what.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// jitter spreads a wait over half to all of it, so that nodes that failed together don't try together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
