package logs

import (
	"sync"
	"sync/atomic"
	"time"
)

// stream is one function's log: what waits for the disk, and its segments. It is made by whoever
// first names the function, and lives until Remove.
type stream struct {
	id     string
	names  atomic.Pointer[names] // nil until somebody says them
	failed bool                  // in Logs.failed; the writer's own

	disk   sync.Mutex // held over file system calls: by the writer, by the first reader, by Remove
	loaded bool       // the newest segment was looked at; guarded by disk, like the next five
	last   *output    // the newest segment, open for writing; nil: closed
	sealed bool       // the newest segment takes no more records
	jump   bool       // the next segment's numbers begin far above
	fresh  bool       // there was no segment, so what came before is unknown
	listed bool       // in Logs.outputs

	mu       sync.Mutex
	pending  []byte // unsealed records
	charged  int64  // bytes of Logs.queued that pending holds
	lost     [len(storedReasons)]Dropped
	dirty    bool // in Logs.dirty
	removed  bool
	calls    bucket        // of call records
	changed  chan struct{} // closed when entries are readable; nil while nobody waits
	segments []segment     // oldest first; replaced, never changed in place
	next     uint64        // number of the next entry
}

// storedReasons are the reasons of dropped entries that are written to the log.
var storedReasons = [...]string{ReasonRate, ReasonQueue, ReasonDisk, ReasonRestart}

const (
	rate = iota
	queue
	disk
	restart
)

// The bounds of what waits for the disk. A function's is above what a token bucket lets through at
// once; the node's is memory that a machine can spare while its disk hangs.
const (
	maxPending = 4 << 20
	maxQueued  = 64 << 20
	chargeStep = 4 << 10  // taken from maxQueued at once, so that calls don't share an atomic
	flushBytes = 64 << 10 // written without waiting for flushEvery
)

// add queues a record whose text has the given bytes, if the bucket (nil: none) has room.
func (l *Logs) add(s *stream, limit *bucket, now time.Time, record []byte, text int) {
	s.mu.Lock()
	if s.removed {
		s.mu.Unlock()
		return
	}
	switch {
	case limit != nil && !limit.take(now, len(record)):
		l.drop(s, rate, 1, int64(text))
	case !l.fits(s, len(record)):
		l.drop(s, queue, 1, int64(text))
	default:
		if s.pending == nil {
			s.pending = *l.buffers.Get().(*[]byte)
		}
		s.pending = append(s.pending, record...)
	}
	l.mark(s)
}

// fits charges n bytes of the node's queue to s.
func (l *Logs) fits(s *stream, n int) bool {
	size := int64(len(s.pending) + n)
	if size > maxPending {
		return false
	}
	if size > s.charged {
		step := (size - s.charged + chargeStep - 1) / chargeStep * chargeStep
		if l.queued.Add(step) > maxQueued {
			l.queued.Add(-step)
			return false
		}
		s.charged += step
	}
	return true
}

// drop counts lost lines; s.mu is held.
func (l *Logs) drop(s *stream, why int, lines, bytes int64) {
	s.lost[why].Lines += lines
	s.lost[why].Bytes += bytes
	l.droppedLines.Add(lines)
	l.droppedBytes.Add(bytes)
}

// mark puts s, which has something to write, on the writer's list, and unlocks it.
func (l *Logs) mark(s *stream) {
	first, full := !s.dirty, len(s.pending) >= flushBytes
	s.dirty = true
	s.mu.Unlock()
	if first {
		l.mu.Lock()
		l.dirty = append(l.dirty, s)
		l.mu.Unlock()
		poke(l.wake)
	}
	if full {
		poke(l.full)
	}
}

// refuse counts a line that is over its container's rate.
func (l *Logs) refuse(s *stream, why int, lines, bytes int64) {
	s.mu.Lock()
	if s.removed {
		s.mu.Unlock()
		return
	}
	l.drop(s, why, lines, bytes)
	l.mark(s)
}

// poke sends to a channel of size 1 on which one message says it all.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// wait returns the channel that is closed when there is more to read; ok is false once s is removed.
func (s *stream) wait() (more <-chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed, !s.removed
}

// tell wakes who waits; s.mu is held.
func (s *stream) tell() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// readable returns the segments as they are now, and the number of the next entry.
func (s *stream) readable() ([]segment, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.segments, s.next
}

// setSegments replaces the list; bytes on disk are counted.
func (l *Logs) setSegments(s *stream, segs []segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.onDisk.Add(total(segs) - total(s.segments))
	s.segments = segs
}

func total(segs []segment) (n int64) {
	for _, g := range segs {
		n += g.size
	}
	return n
}

// find returns a function's log, and makes it if the id is good and was not removed. who may be empty.
func (l *Logs) find(functionID string, who names) *stream {
	v, ok := l.streams.Load(functionID)
	if !ok {
		if v = l.create(functionID); v == nil {
			return nil
		}
	}
	s := v.(*stream)
	if who.tenant != "" && s.names.Load() == nil {
		s.names.Store(new(who))
	}
	return s
}

func (l *Logs) create(functionID string) any {
	if !validID(functionID) {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, gone := l.tombs[functionID]; gone {
		return nil
	}
	v, _ := l.streams.LoadOrStore(functionID, l.newStream(functionID))
	return v
}

func (s *stream) gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.removed
}

func (l *Logs) newStream(functionID string) *stream {
	return &stream{id: functionID, calls: newBucket(l.cfg.rate, l.cfg.burst, time.Now())}
}

func validID(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
