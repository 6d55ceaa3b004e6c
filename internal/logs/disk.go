package logs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"
)

// output is a segment that is open for writing.
type output struct {
	file   *os.File
	marker [4]byte
}

const (
	segmentsOfFunction = 4  // a function keeps between 3/4 and all of its bytes
	maxSegments        = 64 // of a function, should many restarts leave small ones
	maxOutputs         = 256
	numbersOfBoot      = 1 << 20 // more entries than a power loss can take back from one function
)

// scanDir finds the functions and their segments that an earlier process left.
func (l *Logs) scanDir() error {
	dirs, err := fsReadDir(l.root, ".")
	if err != nil {
		return fmt.Errorf("list logs: %w", err)
	}
	for _, d := range dirs {
		if !d.IsDir() || !validID(d.Name()) {
			continue
		}
		files, err := fsReadDir(l.root, d.Name())
		if err != nil {
			return fmt.Errorf("list log of function %s: %w", d.Name(), err)
		}
		s := l.newStream(d.Name())
		for _, f := range files {
			first, ok := parseSegmentName(f.Name())
			if !ok || !f.Type().IsRegular() {
				continue
			}
			info, err := f.Info()
			if err != nil {
				return fmt.Errorf("read log of function %s: %w", d.Name(), err)
			}
			if info.Size() > math.MaxUint32 { // not ours; cursors could not name its places
				continue
			}
			s.segments = append(s.segments, segment{first, info.Size(), info.ModTime()})
		}
		slices.SortFunc(s.segments, func(a, b segment) int { return strings.Compare(a.name(), b.name()) })
		l.onDisk.Add(total(s.segments))
		l.streams.Store(s.id, s)
	}
	return nil
}

func fsReadDir(root *os.Root, name string) ([]os.DirEntry, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// load looks at the newest segment, once, before the first read or write: where its good records
// end, what number comes next, and whether it may be written on. s.disk is held.
func (l *Logs) load(s *stream) error {
	if s.loaded {
		return nil
	}
	segs, _ := s.readable()
	if len(segs) == 0 {
		// Numbers begin at the time in µs, so that a log which was trimmed to nothing, or whose
		// folder is gone, never uses a number twice. No function logs an entry a µs.
		s.mu.Lock()
		s.next = uint64(time.Now().UnixMicro())
		s.mu.Unlock()
		s.loaded, s.fresh = true, true
		return nil
	}
	newest := segs[len(segs)-1]
	next, end := newest.first, int64(0)
	o, err := l.openSegment(s.id, newest)
	switch {
	case errors.Is(err, errSegment), errors.Is(err, os.ErrNotExist):
		s.sealed, s.jump = true, true
		end = newest.size
	case err != nil:
		return err
	default:
		defer o.close(l)
		end = o.segmentHeader.size
		for r := o.from(0); ; {
			record, err := r.next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return fmt.Errorf("read log segment %s/%s: %w", s.id, newest.name(), err)
			}
			if n := recordSeq(record); n >= next && n < math.MaxUint64-numbersOfBoot {
				next = n + 1
			}
			end = r.end()
		}
		if s.names.Load() == nil {
			s.names.Store(&o.names)
		}
		s.sealed, s.jump = o.boot != l.boot, o.boot != l.boot
	}
	segs = slices.Clone(segs)
	segs[len(segs)-1].size = end // the torn tail is cut off when the segment is opened for writing
	l.setSegments(s, segs)
	s.mu.Lock()
	s.next = next
	s.mu.Unlock()
	s.loaded = true
	return nil
}

// flush writes what waits in s; false means that the disk refused some of it.
func (l *Logs) flush(s *stream) (ok bool) {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.mu.Lock()
	buf, charged, lost := s.pending, s.charged, s.lost
	s.pending, s.charged, s.lost, s.dirty = nil, 0, [len(storedReasons)]Dropped{}, false
	removed := s.removed
	s.mu.Unlock()
	defer func() {
		l.queued.Add(-charged)
		if cap(buf) > 0 && cap(buf) <= 1<<20 {
			buf = buf[:0]
			l.buffers.Put(&buf)
		}
	}()
	if removed {
		return true
	}
	all := buf
	for why, d := range lost {
		if d.Lines > 0 || d.Bytes > 0 {
			d.Reason = storedReasons[why]
			all = append(all, appendDropped(nil, time.Now(), d)...)
		}
	}
	if len(all) == 0 {
		return true
	}
	rest, err := l.write(s, all)
	if err == nil {
		return true
	}
	l.complain(s, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	l.loseOnDisk(s, rest)
	return false
}

// loseOnDisk counts records that the disk refused; s.mu is held.
func (l *Logs) loseOnDisk(s *stream, records []byte) {
	for len(records) > 0 {
		n := recordLen(records)
		e, err := decode(records[recordHead:n])
		switch {
		case err == nil && e.Dropped != nil: // they were counted once already
			for why, reason := range storedReasons {
				if reason == e.Dropped.Reason {
					s.lost[why].Lines += e.Dropped.Lines
					s.lost[why].Bytes += e.Dropped.Bytes
				}
			}
		case e.Call != nil:
			l.drop(s, disk, 1, int64(n))
		default:
			l.drop(s, disk, 1, int64(len(e.Text)))
		}
		records = records[n:]
	}
}

// complain logs at most one line in ten seconds about the disk; called by the writer only.
func (l *Logs) complain(s *stream, err error) {
	if now := time.Now(); now.Sub(l.complained) > 10*time.Second {
		l.complained = now
		l.cfg.Log.Warn("log lines could not be written and are dropped", "function", s.id, "err", err)
	}
}

// write appends records to the newest segment, or to new ones; what is not on disk comes back with
// the error. s.disk is held.
func (l *Logs) write(s *stream, records []byte) (rest []byte, err error) {
	if err := l.load(s); err != nil {
		return records, err
	}
	for len(records) > 0 {
		if err := l.openOutput(s); err != nil {
			return records, err
		}
		segs, next := s.readable()
		newest := segs[len(segs)-1]
		room := l.cfg.segmentBytes - newest.size
		n, seq := 0, next
		for n < len(records) && (n == 0 || int64(n+recordLen(records[n:])) <= room) {
			n += seal(records[n:], s.last.marker, seq)
			seq++
		}
		if _, err := s.last.file.WriteAt(records[:n], newest.size); err != nil {
			// What was written in part must not be there when the next batch is shorter.
			if s.last.file.Truncate(newest.size) != nil {
				s.sealed = true
			}
			return records, fmt.Errorf("write log segment %s/%s: %w", s.id, newest.name(), err)
		}
		newest.size += int64(n)
		newest.at = time.Now()
		segs = append(segs[:len(segs)-1:len(segs)-1], newest)
		l.setSegments(s, segs)
		s.mu.Lock()
		s.next = seq
		s.tell()
		s.mu.Unlock()
		l.lines.Add(int64(seq - next))
		l.bytes.Add(int64(n))
		if newest.size >= l.cfg.segmentBytes {
			s.sealed = true
		}
		records = records[n:]
		if len(records) > 0 { // the next one did not fit
			s.sealed = true
		}
	}
	return nil, nil
}

// openOutput makes s.last a segment that takes records. s.disk is held.
func (l *Logs) openOutput(s *stream) error {
	segs, next := s.readable()
	if len(segs) == 0 || s.sealed {
		return l.beginSegment(s, segs, next)
	}
	if s.last != nil {
		return nil
	}
	newest := segs[len(segs)-1]
	o, err := l.openSegment(s.id, newest)
	if err != nil {
		s.sealed = true
		return err
	}
	defer o.close(l)
	f, err := l.root.OpenFile(s.id+"/"+newest.name(), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open log segment %s/%s: %w", s.id, newest.name(), err)
	}
	if err := f.Truncate(newest.size); err != nil {
		_ = f.Close() // nothing was written
		return fmt.Errorf("cut log segment %s/%s: %w", s.id, newest.name(), err)
	}
	s.last = &output{f, o.marker}
	l.list(s)
	return nil
}

// beginSegment makes room for one more segment and opens it. s.disk is held.
func (l *Logs) beginSegment(s *stream, segs []segment, next uint64) error {
	l.closeOutput(s)
	for len(segs) > 0 && (total(segs)+l.cfg.segmentBytes > l.cfg.functionBytes || len(segs) >= maxSegments) {
		if err := l.removeOldest(s); err != nil {
			return err
		}
		segs, _ = s.readable()
	}
	h := segmentHeader{boot: l.boot, marker: newMarker(), prev: next}
	if n := s.names.Load(); n != nil {
		h.names = *n
	}
	if s.fresh {
		h.prev = 0 // unknown: nothing before it counts as lost
	}
	g := segment{first: next, at: time.Now()}
	if s.jump {
		g.first += numbersOfBoot
	}
	if n := len(segs); n > 0 && segs[n-1].first == g.first { // it never got a record
		segs = segs[:n-1]
	}
	if err := l.root.Mkdir(s.id, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make log folder of function %s: %w", s.id, err)
	}
	name := s.id + "/" + g.name()
	f, err := l.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("make log segment %s: %w", name, err)
	}
	head := h.append(nil)
	if _, err := f.Write(head); err != nil {
		return errors.Join(fmt.Errorf("write log segment %s: %w", name, err), f.Close(), l.root.Remove(name))
	}
	g.size = int64(len(head))
	l.setSegments(s, append(slices.Clip(segs), g))
	s.mu.Lock()
	s.next = g.first
	s.mu.Unlock()
	s.last, s.sealed, s.jump, s.fresh = &output{f, h.marker}, false, false, false
	l.list(s)
	return nil
}

// removeOldest deletes the oldest segment of s. s.disk is held.
func (l *Logs) removeOldest(s *stream) error {
	segs, _ := s.readable()
	if err := l.root.Remove(s.id + "/" + segs[0].name()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove log segment %s/%s: %w", s.id, segs[0].name(), err)
	}
	if len(segs) == 1 {
		l.closeOutput(s)
	}
	l.setSegments(s, slices.Clone(segs[1:]))
	return nil
}

// closeOutput closes the newest segment; it can be opened again. s.disk is held.
func (l *Logs) closeOutput(s *stream) {
	if s.last != nil {
		_ = s.last.file.Close() // nothing is buffered in it
		s.last = nil
	}
}

// list notes that s has an open segment. s.disk is held.
func (l *Logs) list(s *stream) {
	if !s.listed {
		s.listed = true
		l.outputs = append(l.outputs, s)
	}
}

// closeIdle keeps at most that many segments open; called by the writer only. outputs is in the
// order of opening, and a busy function's is opened again at its next flush.
func (l *Logs) closeIdle(most int) {
	for len(l.outputs) > most {
		s := l.outputs[0]
		l.outputs = slices.Delete(l.outputs, 0, 1)
		s.disk.Lock()
		s.listed = false
		l.closeOutput(s)
		s.disk.Unlock()
	}
}

// newReader makes what openSegment reads through; a record always fits.
func newReader() any { return bufio.NewReaderSize(nil, maxRecord) }
