package instance

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/pool/upstream"
	"hearth/internal/warden/wire"
)

// State is where an instance stands in its life.
type State int32

// The states, in order; none leads back.
const (
	Made State = iota
	Pooled
	Assigned
	Retired
	Destroyed
)

var stateNames = [...]string{"made", "pooled", "assigned", "retired", "destroyed"}

// String returns the state's name.
func (s State) String() string { return stateNames[s] }

// ErrState is returned for a step that the instance's state forbids.
var ErrState = errors.New("the instance's state forbids it")

// shut is the bit of the gate that keeps new requests out. It is larger than any limit, so that a
// shut gate fails the comparison with the limit too.
const shut = int64(1) << 62

// Instance is one running sandbox. It is safe for concurrent use.
type Instance struct {
	id      string
	runtime string
	made    time.Time

	state atomic.Int32
	owner atomic.Pointer[string] // container id, set once
	gate  atomic.Int64           // requests in flight, plus shut
	more  atomic.Bool            // ExerciseMore was called

	code, requests, control *os.File
	conns                   *upstream.Pool
	closing                 sync.Once

	writing sync.Mutex          // one Write at a time; guards written
	written map[versionKey]bool // bounded by the functions of a container

	dying sync.Once
	gone  chan struct{}
	exit  wire.Exit // readable once gone is closed
}

// New takes over the folder and the sockets of s. Its stdout and stderr stay the caller's.
func New(s *wire.Sandbox) (*Instance, error) {
	if s.ID == "" || s.Code == nil || s.Requests == nil || s.Control == nil {
		return nil, fmt.Errorf("open instance %q: a descriptor is missing", s.ID)
	}
	i := &Instance{id: s.ID, runtime: s.Runtime, made: time.Now(),
		code: s.Code, requests: s.Requests, control: s.Control,
		written: map[versionKey]bool{}, gone: make(chan struct{})}
	i.gate.Store(shut)
	i.conns = upstream.NewPool(i.Dial)
	return i, nil
}

// ID returns the instance's id, 128 random bits that are never used again.
func (i *Instance) ID() string { return i.id }

// Runtime returns the runtime that it runs, for example node24.
func (i *Instance) Runtime() string { return i.runtime }

// Age returns how long ago the node process got it.
func (i *Instance) Age() time.Duration { return time.Since(i.made) }

// Conns returns the connections to its request socket. They close with it.
func (i *Instance) Conns() *upstream.Pool { return i.conns }

// State returns where it stands.
func (i *Instance) State() State { return State(i.state.Load()) }

// Owner returns the id of the container that it belongs to, "" before it is assigned.
func (i *Instance) Owner() string {
	if p := i.owner.Load(); p != nil {
		return *p
	}
	return ""
}

// Pool marks a made instance as ready for assignment.
func (i *Instance) Pool() error { return i.step(Made, Pooled) }

// Assign gives the instance to a container, once for life. Every later call fails, for the same
// container too.
func (i *Instance) Assign(containerID string) error {
	if containerID == "" {
		return fmt.Errorf("assign instance %s: no container", i.id)
	}
	if !i.owner.CompareAndSwap(nil, &containerID) {
		return fmt.Errorf("assign instance %s: it has a container: %w", i.id, ErrState)
	}
	return i.step(Pooled, Assigned)
}

// Serve opens the gate of an assigned instance. Call it once, when the first code is in.
func (i *Instance) Serve() error {
	if i.State() != Assigned || !i.gate.CompareAndSwap(shut, 0) {
		return fmt.Errorf("serve from instance %s, which is %s: %w", i.id, i.State(), ErrState)
	}
	if i.State() != Assigned { // retired in between, and Retire shut a shut gate
		i.gate.Or(shut)
	}
	return nil
}

// Enter counts a request in, unless the gate is shut or limit requests are in flight.
func (i *Instance) Enter(limit int) bool {
	for {
		n := i.gate.Load()
		if n >= int64(limit) {
			return false
		}
		if i.gate.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Leave counts a request out and returns how many are left, and whether the gate is shut: the caller
// who is told (0, true) has seen the last request of a retired instance out.
func (i *Instance) Leave() (left int, retired bool) {
	n := i.gate.Add(-1)
	return int(n &^ shut), n&shut != 0
}

// InFlight returns the number of requests in the instance.
func (i *Instance) InFlight() int { return int(i.gate.Load() &^ shut) }

// Open reports whether it takes new requests.
func (i *Instance) Open() bool { return i.gate.Load()&shut == 0 }

// Retire shuts the gate for good. It reports whether this call did it, and whether nothing is in
// flight: then nobody will call Leave any more, and the caller destroys.
func (i *Instance) Retire() (first, idle bool) {
	for {
		s := i.State()
		if s >= Retired {
			return false, i.InFlight() == 0
		}
		if i.state.CompareAndSwap(int32(s), int32(Retired)) {
			break
		}
	}
	return true, i.gate.Or(shut)&^shut == 0
}

// Died records that the instance ended by itself. Only the first call counts.
func (i *Instance) Died(e wire.Exit) {
	i.dying.Do(func() {
		i.exit = e
		close(i.gone)
	})
}

// Gone is closed when the instance has ended.
func (i *Instance) Gone() <-chan struct{} { return i.gone }

// Exit returns how it ended by itself, false while it has not.
func (i *Instance) Exit() (wire.Exit, bool) {
	select {
	case <-i.gone:
		return i.exit, i.exit.ID != ""
	default:
		return wire.Exit{}, false
	}
}

// Close makes the instance destroyed: the gate shuts and connections and descriptors close. It
// reports whether this call did it; the caller who is told true also ends the sandbox.
func (i *Instance) Close() bool {
	first := false
	i.closing.Do(func() {
		first = true
		i.state.Store(int32(Destroyed))
		i.gate.Or(shut)
		i.conns.Close()
		wire.CloseAll([]*os.File{i.code, i.requests, i.control})
		i.Died(wire.Exit{})
	})
	return first
}

func (i *Instance) step(from, to State) error {
	if !i.state.CompareAndSwap(int32(from), int32(to)) {
		return fmt.Errorf("make instance %s %s, which is %s: %w", i.id, to, i.State(), ErrState)
	}
	return nil
}
