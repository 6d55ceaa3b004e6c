package logs

import (
	"fmt"
	"hash/crc32"
	"strconv"

	"hearth"
)

// place is where to go on reading: the number of the next entry wanted and where it is likely to
// be in its segment. Numbers only grow, also across trimming and restarts, so a place stays good.
type place struct {
	seq uint64
	off uint32
}

// cursor prints the place for clients: 32 hex digits that sort like the entries of a function. The
// last eight bind it to the function, so that one function's cursor is refused by another.
func (p place) cursor(functionID string) string {
	s := fmt.Sprintf("%016x%08x", p.seq, p.off)
	return s + fmt.Sprintf("%08x", tag(functionID, s))
}

func tag(functionID, s string) uint32 {
	return crc32.Update(crc32.Checksum([]byte(functionID), castagnoli), castagnoli, []byte(s))
}

// parseCursor reads a cursor of this function; "" is the beginning.
func parseCursor(functionID, s string) (place, error) {
	if s == "" {
		return place{}, nil
	}
	if len(s) == 32 {
		seq, err1 := strconv.ParseUint(s[:16], 16, 64)
		off, err2 := strconv.ParseUint(s[16:24], 16, 32)
		p := place{seq, uint32(off)}
		if err1 == nil && err2 == nil && p.cursor(functionID) == s {
			return p, nil
		}
	}
	return place{}, hearth.Invalid("since", "is not a cursor of this function's log")
}
