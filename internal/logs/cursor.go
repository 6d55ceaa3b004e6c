package logs

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"

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
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], p.seq)
	binary.BigEndian.PutUint32(b[8:], p.off)
	binary.BigEndian.PutUint32(b[12:], tag(functionID, b[:12]))
	return hex.EncodeToString(b[:])
}

func tag(functionID string, b []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(functionID), castagnoli), castagnoli, b)
}

// parseCursor reads a cursor of this function; "" is the beginning.
func parseCursor(functionID, s string) (place, error) {
	if s == "" {
		return place{}, nil
	}
	if b, err := hex.DecodeString(s); err == nil && len(b) == 16 {
		p := place{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])}
		if p.cursor(functionID) == s {
			return p, nil
		}
	}
	return place{}, hearth.Invalid("since", "is not a cursor of this function's log")
}
