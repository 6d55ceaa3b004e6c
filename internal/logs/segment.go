package logs

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// A function's log is a folder of segments, each named for the number of its first entry, sixteen hex
// digits. A segment is a header and records (record.go), only ever appended to, and deleted whole.
//
// What a crash leaves is found by reading: a record counts only with its marker and checksum. When
// the process is killed between two parts of a write, the torn tail is cut off before the next one.
// A machine that lost power may have lost whole records that a reader saw; then a new
// segment begins far above their numbers, so that no cursor ever means two entries. The header tells
// the two apart by the kernel's boot id. Records after a damaged one are found again by the marker,
// which is random, so that nobody can print one; how many are missing follows from the numbers.
type segment struct {
	first uint64 // number of its first entry
	size  int64  // bytes that are readable
	at    time.Time
}

func (s segment) name() string { return fmt.Sprintf("%016x.log", s.first) }

// parseSegmentName is the other direction.
func parseSegmentName(name string) (first uint64, ok bool) {
	digits, found := strings.CutSuffix(name, ".log")
	if !found || len(digits) != 16 || strings.ToLower(digits) != digits {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 16, 64)
	return first, err == nil
}

// names are whose log it is, for the node's cap and for people who look into the folder.
type names struct{ tenant, container, function string }

// segmentHeader is the beginning of a segment: magic, length of the rest, crc32c of the rest, then
// boot, marker, prev and the three names.
type segmentHeader struct {
	boot   [16]byte // the kernel's boot under which it was begun
	marker [4]byte
	prev   uint64 // number after the last entry that was there when this segment began
	names  names
	size   int64 // bytes of the header; not stored
}

const (
	segmentMagic  = "hearthlog1\n"
	headerFixed   = len(segmentMagic) + 8
	maxHeaderRest = 16 + 4 + 8 + 3*(2+maxWord)
)

func newMarker() (m [4]byte) {
	_, _ = rand.Read(m[:]) // never fails
	return m
}

// bootID is random where the kernel doesn't tell; then every start counts as a boot.
func bootID() (id [16]byte) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	digits := bytes.ReplaceAll(bytes.TrimSpace(text), []byte("-"), nil)
	if err == nil && hex.DecodedLen(len(digits)) == len(id) {
		if _, err := hex.Decode(id[:], digits); err == nil {
			return id
		}
	}
	_, _ = rand.Read(id[:]) // never fails
	return id
}

func (h segmentHeader) append(b []byte) []byte {
	rest := append(append([]byte(nil), h.boot[:]...), h.marker[:]...)
	rest = binary.LittleEndian.AppendUint64(rest, h.prev)
	for _, s := range []string{h.names.tenant, h.names.container, h.names.function} {
		rest = appendWord(rest, s)
	}
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(rest)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(rest, castagnoli))
	return append(b, rest...)
}

var errSegment = errors.New("log segment's header is damaged")

func readSegmentHeader(r io.Reader) (h segmentHeader, err error) {
	var fixed [headerFixed]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return h, errSegment
	}
	n := binary.LittleEndian.Uint32(fixed[len(segmentMagic):])
	if string(fixed[:len(segmentMagic)]) != segmentMagic || n < 28 || n > maxHeaderRest {
		return h, errSegment
	}
	rest := make([]byte, n)
	if _, err := io.ReadFull(r, rest); err != nil || crc32.Checksum(rest, castagnoli) != binary.LittleEndian.Uint32(fixed[len(segmentMagic)+4:]) {
		return h, errSegment
	}
	copy(h.boot[:], rest)
	copy(h.marker[:], rest[16:])
	h.prev = binary.LittleEndian.Uint64(rest[20:])
	f := reader{b: rest[28:]}
	h.names = names{f.str(), f.str(), f.str()}
	h.size = int64(headerFixed) + int64(n)
	if f.bad {
		return h, errSegment
	}
	return h, nil
}

// records reads the good records of a segment one by one.
type records struct {
	br     *bufio.Reader
	off    int64 // of the next byte to look at
	marker [4]byte
	record int // bytes of the record that next returned last
}

// next returns the next good record, which lives until the following call, or io.EOF. Damage and a
// torn tail are passed over. An error of the disk is returned as it is.
func (r *records) next() ([]byte, error) {
	r.discard(r.record)
	r.record = 0
	for {
		head, err := r.br.Peek(recordHead)
		if len(head) < recordHead {
			return nil, endOr(err)
		}
		n := recordHead + int64(binary.LittleEndian.Uint32(head[4:]))
		if bytes.Equal(head[:4], r.marker[:]) && n >= recordHead+leastBody && n <= maxRecord {
			record, err := r.br.Peek(int(n))
			if len(record) == int(n) && binary.LittleEndian.Uint32(record[8:]) == checksum(record) {
				r.record = int(n)
				return record, nil
			}
			if err != nil && err != io.EOF {
				return nil, err
			}
		}
		if err := r.search(); err != nil {
			return nil, err
		}
	}
}

// search goes on to the next marker after the present byte.
func (r *records) search() error {
	r.discard(1)
	for {
		b, err := r.br.Peek(max(len(r.marker), r.br.Buffered()))
		if len(b) < len(r.marker) {
			return endOr(err)
		}
		if i := bytes.Index(b, r.marker[:]); i >= 0 {
			r.discard(i)
			return nil
		}
		r.discard(len(b) - len(r.marker) + 1)
	}
}

// discard drops n bytes that were peeked.
func (r *records) discard(n int) {
	n, _ = r.br.Discard(n)
	r.off += int64(n)
}

// end is the offset after the record that next returned last.
func (r *records) end() int64 { return r.off + int64(r.record) }

func endOr(err error) error {
	if err == nil || err == io.ErrUnexpectedEOF {
		return io.EOF
	}
	return err
}

// opened is a segment that is open for reading.
type opened struct {
	segmentHeader
	file *os.File
	size int64
	br   *bufio.Reader
}

// openSegment opens the readable part of a segment. The caller closes it. errSegment: it is damaged.
func (l *Logs) openSegment(functionID string, s segment) (*opened, error) {
	f, err := l.root.Open(functionID + "/" + s.name())
	if err != nil {
		return nil, err
	}
	h, err := readSegmentHeader(io.NewSectionReader(f, 0, s.size))
	if err != nil {
		_ = f.Close() // opened for reading
		return nil, fmt.Errorf("read log segment %s/%s: %w", functionID, s.name(), err)
	}
	return &opened{segmentHeader: h, file: f, size: s.size, br: l.readers.Get().(*bufio.Reader)}, nil
}

// from reads on at off, which may be any number.
func (o *opened) from(off int64) *records {
	if off < o.segmentHeader.size || off > o.size {
		off = o.segmentHeader.size
	}
	o.br.Reset(io.NewSectionReader(o.file, off, o.size-off))
	return &records{br: o.br, off: off, marker: o.marker}
}

func (o *opened) close(l *Logs) {
	o.br.Reset(nil)
	l.readers.Put(o.br)
	_ = o.file.Close() // opened for reading
}
