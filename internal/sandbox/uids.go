package sandbox

import (
	"errors"
	"sync"
)

// UIDsPerInstance is how many host uids and gids one instance is given: what its user namespace
// maps as 0–65535.
const UIDsPerInstance = 1 << 16

// uidRanges hands out ranges of host uids. A range that came back is used again as late as possible.
type uidRanges struct {
	mu    sync.Mutex
	first uint32
	inUse []bool
	next  int
}

func newUIDRanges(first uint32, n int) *uidRanges {
	return &uidRanges{first: first, inUse: make([]bool, n)}
}

var errNoUIDs = errors.New("every range of host uids is in use")

// take returns the first uid of a range that nobody has.
func (u *uidRanges) take() (uint32, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range u.inUse {
		slot := (u.next + i) % len(u.inUse)
		if !u.inUse[slot] {
			u.inUse[slot] = true
			u.next = slot + 1
			return u.first + uint32(slot)*UIDsPerInstance, nil
		}
	}
	return 0, errNoUIDs
}

// release gives a range back, once nothing of its owner is left.
func (u *uidRanges) release(first uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.inUse[(first-u.first)/UIDsPerInstance] = false
}
