package logs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"time"
	"unicode/utf8"

	"hearth"
)

// A record on disk, little endian:
//
//	marker  4  random for each segment, so that a tenant cannot print a record
//	length  4  of the payload
//	crc32c  4  of length and payload
//	payload    kind 1, seq 8, time in µs 8, version, request, instance, then by kind
//
// Numbers without a width are uvarints, strings have their length in front. While a record waits in
// memory marker, crc and seq are zero: the writer seals it when it knows the segment.
const (
	recordHead = 12
	maxRecord  = 256 << 10 // a line of LimitLogLine can grow threefold when bad UTF-8 is replaced
	seqAt      = recordHead + 1
	leastBody  = 1 + 8 + 8
	maxError   = 1 << 10 // bytes kept of a call's error
	maxWord    = 128     // bytes kept of ids and other words
)

const (
	kindStdout = 1 + iota
	kindStderr
	kindCall
	kindDropped
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// begin appends a record's head and what all kinds share.
func begin(b []byte, kind byte, at time.Time, version int, request, instance string) []byte {
	var head [recordHead + leastBody]byte
	head[recordHead] = kind
	binary.LittleEndian.PutUint64(head[recordHead+9:], uint64(at.UnixMicro()))
	b = append(b, head[:]...)
	b = binary.AppendUvarint(b, uint64(max(version, 0)))
	b = appendWord(b, request)
	return appendWord(b, instance)
}

// end sets the length of the record that fills b.
func end(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-recordHead))
	return b
}

func appendWord(b []byte, s string) []byte {
	if len(s) > maxWord {
		s = s[:maxWord]
	}
	return appendString(b, s)
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

var replacement = []byte("\uFFFD")

// appendLine appends the record of one printed line to the empty b.
func appendLine(b []byte, kind byte, at time.Time, version int, request, instance, level string, text []byte) []byte {
	b = begin(b, kind, at, version, request, instance)
	b = appendWord(b, level)
	if !utf8.Valid(text) {
		text = bytes.ToValidUTF8(text, replacement)
	}
	return end(append(b, text...))
}

// appendCall appends the record of one call to the empty b.
func appendCall(b []byte, at time.Time, request string, c *Call) []byte {
	b = begin(b, kindCall, at, c.Version, request, c.Instance)
	b = binary.AppendUvarint(b, uint64(max(c.Status, 0)))
	b = appendWord(b, string(c.Start))
	for _, ms := range [...]float64{c.QueueMS, c.AssignMS, c.FetchMS, c.LinkMS, c.LoadMS, c.RunMS, c.TotalMS} {
		b = binary.AppendUvarint(b, micros(ms))
	}
	b = binary.AppendUvarint(b, uint64(max(c.MemoryBytes, 0)))
	msg := c.Error
	if len(msg) > maxError {
		msg = msg[:maxError]
	}
	b = appendString(b, msg)
	b = appendWord(b, c.Component)
	b = appendWord(b, c.Reason)
	return end(b)
}

func micros(ms float64) uint64 {
	if !(ms > 0) || ms > 1e12 { // NaN too
		return 0
	}
	return uint64(math.Round(ms * 1000))
}

// appendDropped appends the record of lost lines to the empty b.
func appendDropped(b []byte, at time.Time, d Dropped) []byte {
	b = begin(b, kindDropped, at, 0, "", "")
	b = binary.AppendUvarint(b, uint64(d.Lines))
	b = binary.AppendUvarint(b, uint64(d.Bytes))
	return end(appendWord(b, d.Reason))
}

// seal makes the first record of b ready for the disk and returns its length.
func seal(b []byte, marker [4]byte, seq uint64) int {
	n := recordLen(b)
	copy(b, marker[:])
	binary.LittleEndian.PutUint64(b[seqAt:], seq)
	binary.LittleEndian.PutUint32(b[8:], checksum(b[:n]))
	return n
}

// recordLen is the length of the first record of b, which the host made itself.
func recordLen(b []byte) int { return recordHead + int(binary.LittleEndian.Uint32(b[4:])) }

func checksum(record []byte) uint32 {
	return crc32.Update(crc32.Checksum(record[4:8], castagnoli), castagnoli, record[recordHead:])
}

func recordSeq(record []byte) uint64 { return binary.LittleEndian.Uint64(record[seqAt:]) }

var errRecord = errors.New("log record is malformed")

// decode reads a record's payload. The bytes may be anything.
func decode(payload []byte) (Entry, error) {
	if len(payload) < leastBody {
		return Entry{}, errRecord
	}
	r := reader{b: payload[leastBody:]}
	e := Entry{Time: time.UnixMicro(int64(binary.LittleEndian.Uint64(payload[9:]))).UTC(),
		Version: int(r.number(math.MaxInt32)), Request: r.str(), Instance: r.str()}
	switch payload[0] {
	case kindStdout, kindStderr:
		e.Stream = StreamStdout
		if payload[0] == kindStderr {
			e.Stream = StreamStderr
		}
		e.Level = r.str()
		e.Text = string(r.b)
		r.b = nil
	case kindCall:
		e.Stream = StreamCall
		c := &Call{Version: e.Version, Instance: e.Instance}
		c.Status = int(r.number(math.MaxInt32))
		c.Start = hearth.Start(r.str())
		for _, p := range [...]*float64{&c.QueueMS, &c.AssignMS, &c.FetchMS, &c.LinkMS, &c.LoadMS, &c.RunMS, &c.TotalMS} {
			*p = float64(r.number(math.MaxInt64)) / 1000
		}
		c.MemoryBytes = int64(r.number(math.MaxInt64))
		c.Error, c.Component, c.Reason = r.str(), r.str(), r.str()
		e.Call, e.Text = c, c.Text()
	case kindDropped:
		e.Stream = StreamDropped
		e.Dropped = &Dropped{Lines: int64(r.number(math.MaxInt64)), Bytes: int64(r.number(math.MaxInt64)), Reason: r.str()}
		e.Text = e.Dropped.Text()
	default:
		return Entry{}, errRecord
	}
	if r.bad || len(r.b) > 0 {
		return Entry{}, errRecord
	}
	return e, nil
}

// reader takes fields off b; after the first that is not there everything is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) str() string {
	n := r.number(maxRecord)
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}
