package handler

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hearth"
	"hearth/internal/pool/instance"
	"hearth/internal/warden/wire"
)

// container is what the handler knows of one container.
type container struct {
	key
	tenant  *tenant
	view    atomic.Pointer[view]
	waiting atomic.Int32 // len(line), for the warm path

	refreshing chan struct{} // a semaphore of one; holds across calls
	asked      atomic.Int64  // refreshes asked for
	refreshed  int64         // of them, how many the last refresh covers; guarded by refreshing

	mu       sync.Mutex
	removed  bool
	line     []*waiter      // requests that wait, in their order; at most Config.Queue
	starting map[string]int // flights under way, by runtime
	pressing bool           // a task watches the line
	spares   []*serving     // successors that wait for their switch
	backoff  backoff
	calm     time.Time // since when fewer instances would do; zero while all are needed
	trouble  error     // of the last flight that failed, nil after one that did not
}

// view is an immutable snapshot of a container. Its maps and slices are never changed.
type view struct {
	routes map[string]*hearth.Route
	fleet  []*serving
}

func newContainer(k key, t *tenant) *container {
	c := &container{key: k, tenant: t, refreshing: make(chan struct{}, 1), starting: map[string]int{}}
	c.view.Store(&view{})
	return c
}

// loaded is what an instance holds of a function. Two are the same code exactly if function and
// version are equal; secrets only grow.
type loaded struct {
	function string // the function's id: one deleted and made again is another
	version  int
	secrets  int64
}

// serves reports whether what is loaded answers for r. Secrets newer than the route are those that
// the next route will name.
func (l loaded) serves(r *hearth.Route) bool {
	return l.version == r.Active && l.function == r.FunctionID && l.secrets >= r.SecretsRevision
}

// serving is an instance that belongs to a container.
type serving struct {
	inst   *instance.Instance
	c      *container
	owner  string // container id
	limits atomic.Pointer[wire.Limits]
	took   Waits // what bringing it into service took, but for Queue

	loaded   atomic.Pointer[map[string]loaded] // by function name; copied on change, under c.mu
	adding   bool                              // guarded by c.mu
	shown    bool                              // the package store; written by whoever writes code, one at a time
	trees    []string                          // held until it is destroyed; guarded by registry.mu
	spare    bool                              // made by a trial, which destroys it if it is not needed; guarded by c.mu
	counted  bool                              // in the tenant's count; guarded by c.mu
	checking atomic.Bool                       // a task asks whether it lives
	broken   atomic.Int32                      // requests in a row whose connection ended without an answer
	last     atomic.Int64                      // when it was last used, Unix nanoseconds
	memory   atomic.Int64                      // bytes, as the warden said last
	failed   atomic.Bool                       // its end was counted as a crash
	since    time.Time

	retired time.Time // guarded by registry.mu
}

// holds returns what is loaded, not to be changed.
func (s *serving) holds() map[string]loaded { return *s.loaded.Load() }

// stale reports whether the instance has loaded something that routes no longer say.
func (s *serving) stale(routes map[string]*hearth.Route) bool {
	for name, l := range s.holds() {
		r := routes[name]
		if r == nil || !l.serves(r) || r.ContainerID != s.owner || r.Manifest.Runtime != s.inst.Runtime() {
			return true
		}
	}
	return false
}

// pick counts a request into the instance that serves r and has the fewest; nil if none has room.
func (v *view) pick(r *hearth.Route) *serving {
	for range 4 { // others may fill the best meanwhile; a waiter's place in line is as good then
		var best *serving
		least := r.Limits.Concurrency
		for _, s := range v.fleet {
			l, ok := s.holds()[r.Function]
			if !ok || !l.serves(r) || s.owner != r.ContainerID || !s.inst.Open() {
				continue
			}
			if n := s.inst.InFlight(); n < least {
				best, least = s, n
			}
		}
		if best == nil {
			return nil
		}
		if best.inst.Enter(r.Limits.Concurrency) {
			return best
		}
	}
	return nil
}

// addable returns the instance with the fewest requests into which r's function can be written in
// place: it has room and has not loaded the function. Call it with c.mu.
func (v *view) addable(r *hearth.Route) *serving {
	var best *serving
	for _, s := range v.fleet {
		if _, has := s.holds()[r.Function]; has || s.inst.Runtime() != r.Manifest.Runtime ||
			s.owner != r.ContainerID || !s.inst.Open() || s.inst.InFlight() >= r.Limits.Concurrency {
			continue
		}
		if best == nil || s.inst.InFlight() < best.inst.InFlight() {
			best = s
		}
	}
	return best
}

// open counts the instances of a runtime that take requests.
func (v *view) open(runtime string) int {
	n := 0
	for _, s := range v.fleet {
		if s.inst.Runtime() == runtime && s.inst.Open() {
			n++
		}
	}
	return n
}

// setFleet publishes a view with other instances. Call it with c.mu.
func (c *container) setFleet(fleet []*serving) {
	c.view.Store(&view{routes: c.view.Load().routes, fleet: fleet})
}

// drop removes s from the view. Call it with c.mu.
func (c *container) drop(s *serving) {
	if n := slices.Index(c.view.Load().fleet, s); n >= 0 {
		c.setFleet(slices.Delete(slices.Clone(c.view.Load().fleet), n, n+1))
	}
	if n := slices.Index(c.spares, s); n >= 0 {
		c.spares = slices.Delete(c.spares, n, n+1)
	}
}
