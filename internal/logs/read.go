package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"time"

	"hearth"
)

// The bounds of one answer, and of what a follower holds while its reader is slow: with a thousand
// of them their memory is what matters, so they take small bites and keep no buffer in between.
const (
	maxEntries  = 1000
	maxText     = 1 << 20
	followBite  = 16 << 10
	maxFollower = 4096
)

// Read returns the entries after the cursor since ("" is the oldest kept), at most limit (0 or more
// than 1,000: 1,000) and about 1 MiB of text, and the cursor from which to go on. What was trimmed or damaged since
// the cursor is an entry of stream dropped. A bad cursor is invalid, a removed function not_found.
func (l *Logs) Read(ctx context.Context, functionID, since string, limit int) ([]Entry, string, error) {
	return l.Find(ctx, functionID, "", since, limit)
}

// Find is Read for the entries of one request; "" is all.
func (l *Logs) Find(ctx context.Context, functionID, request, since string, limit int) ([]Entry, string, error) {
	at, err := parseCursor(functionID, since)
	if err != nil {
		return nil, "", err
	}
	if limit <= 0 || limit > maxEntries {
		limit = maxEntries
	}
	s := l.find(functionID, names{})
	if s == nil {
		return nil, "", errRemoved
	}
	var entries []Entry
	text := 0
	end, err := l.scan(ctx, s, at, func(e Entry) bool {
		if request == "" || e.Request == request {
			entries = append(entries, e)
			text += len(e.Text)
		}
		return len(entries) < limit && text < maxText
	})
	if err != nil {
		return nil, "", fmt.Errorf("read log of function %s: %w", functionID, err)
	}
	return entries, end.cursor(functionID), nil
}

var errRemoved = hearth.Errorf(hearth.CodeNotFound, "there is no such function")

// Back returns the cursor before about the last n entries; 0 is the end.
func (l *Logs) Back(functionID string, n int) (string, error) {
	s := l.find(functionID, names{})
	if s == nil {
		return "", errRemoved
	}
	segs, next, err := l.look(s)
	if err != nil {
		return "", err
	}
	seq := next
	if n > 0 {
		seq -= min(next, uint64(n))
		if len(segs) > 0 {
			seq = max(seq, segs[0].first)
		} else {
			seq = next
		}
	}
	return place{seq: seq}.cursor(functionID), nil
}

// Follow yields the entries after since ("" is the oldest kept), then those that come, until ctx
// ends. It ends with an error if since is bad, the function is removed (not_found) or there are too
// many followers (unavailable). A follower reads from the disk, so a slow one costs no memory and
// loses nothing until the log is trimmed under it; then it gets an entry of stream dropped with the
// exact number.
func (l *Logs) Follow(ctx context.Context, functionID, since string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := l.follow(ctx, functionID, since, func(e Entry) bool { return yield(e, nil) }); err != nil {
			yield(Entry{}, err)
		}
	}
}

func (l *Logs) follow(ctx context.Context, functionID, since string, yield func(Entry) bool) error {
	at, err := parseCursor(functionID, since)
	if err != nil {
		return err
	}
	defer l.followers.Add(-1)
	if l.followers.Add(1) > maxFollower {
		return &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "followers",
			Message: "too many clients follow logs on this node", RetryAfter: 10 * time.Second}
	}
	s := l.find(functionID, names{})
	if s == nil {
		return errRemoved
	}
	for ctx.Err() == nil {
		more, ok := s.wait() // before reading, so that nothing falls between
		if !ok {
			return errRemoved
		}
		var bite []Entry
		text := 0
		at, err = l.scan(ctx, s, at, func(e Entry) bool {
			bite = append(bite, e)
			text += 128 + len(e.Text)
			return text < followBite
		})
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("follow log of function %s: %w", functionID, err)
		}
		for _, e := range bite {
			if !yield(e) {
				return nil
			}
		}
		if len(bite) == 0 {
			select {
			case <-more:
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// look returns what is readable of s, after having looked at what an earlier process left.
func (l *Logs) look(s *stream) ([]segment, uint64, error) {
	s.disk.Lock()
	err := l.load(s)
	s.disk.Unlock()
	segs, next := s.readable()
	return segs, next, err
}

// scan visits the entries from at on until visit wants no more or there are none, and returns where
// it stopped. What is missing before an entry is visited as an entry of stream dropped.
func (l *Logs) scan(ctx context.Context, s *stream, at place, visit func(Entry) bool) (place, error) {
	segs, next, err := l.look(s)
	if err != nil {
		return at, err
	}
	if at.seq == 0 { // the beginning
		at.seq = next
		if len(segs) > 0 {
			at.seq = segs[0].first
		}
	}
	for len(segs) > 1 && segs[1].first <= at.seq {
		segs = segs[1:]
	}
	v := visitor{s: s, at: at, reason: ReasonTrimmed, visit: visit}
	for i, g := range segs {
		last := uint64(math.MaxUint64)
		if i+1 < len(segs) {
			last = segs[i+1].first - 1
		}
		if more, err := l.scanSegment(ctx, &v, g, last); err != nil || !more {
			return v.at, err
		}
	}
	return v.at, nil
}

// visitor is a scan's state.
type visitor struct {
	s      *stream
	at     place
	reason string // why the next missing entries are missing, if they are
	visit  func(Entry) bool
}

// scanSegment visits what is wanted of one segment; more is false when visit wants no more.
func (l *Logs) scanSegment(ctx context.Context, v *visitor, g segment, last uint64) (more bool, err error) {
	o, err := l.openSegment(v.s.id, g)
	switch { // the next segment tells how many entries are missing
	case errors.Is(err, errSegment):
		v.reason = ReasonDamaged
		return true, nil
	case errors.Is(err, os.ErrNotExist): // trimmed meanwhile
		return true, nil
	case err != nil:
		return false, err
	}
	defer o.close(l)
	if g.first >= v.at.seq {
		v.at.off = 0 // it was a place in the segment before
	}
	if g.first > v.at.seq {
		if !v.missing(o.prev, place{seq: g.first}, g.at) {
			return false, nil
		}
		v.at = place{seq: g.first}
	}
	v.reason = ReasonDamaged
	r := o.from(int64(v.at.off))
	start := r.off
	for n := 0; ; n++ {
		if n%256 == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		record, err := r.next()
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("read log segment %s/%s: %w", v.s.id, g.name(), err)
		}
		seq := recordSeq(record)
		if n == 0 && seq != v.at.seq && start != o.segmentHeader.size {
			r = o.from(0) // the place's offset was only likely
			start = r.off
			n = -1
			continue
		}
		if seq < v.at.seq || seq > last {
			continue
		}
		e, err := decode(record[recordHead:])
		if err != nil {
			continue // a later version's, or damage that the checksum did not see: missing
		}
		here := place{seq, uint32(r.off)}
		if seq > v.at.seq && !v.missing(seq, here, e.Time) {
			return false, nil
		}
		v.at = place{seq + 1, uint32(r.end())}
		e.Cursor = v.at.cursor(v.s.id)
		if !v.visit(e) {
			return false, nil
		}
	}
}

// missing visits a dropped entry if entries before the number next are missing, and goes on to place.
func (v *visitor) missing(next uint64, to place, at time.Time) bool {
	if next <= v.at.seq {
		return true
	}
	d := Dropped{Lines: int64(next - v.at.seq), Reason: v.reason}
	v.at = to
	return v.visit(Entry{Cursor: to.cursor(v.s.id), Time: at.UTC(), Stream: StreamDropped, Text: d.Text(), Dropped: &d})
}
