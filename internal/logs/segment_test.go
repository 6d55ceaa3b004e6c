package logs

import (
	"bufio"
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hearth"
)

func TestRecordComesBack(t *testing.T) {
	t.Parallel()
	at := time.UnixMicro(1_700_000_000_123_456).UTC()
	call := Call{Status: 503, Start: hearth.StartColdLocal, Version: 7, QueueMS: 1.5, AssignMS: .25, FetchMS: 3, LinkMS: 4,
		LoadMS: 5.125, RunMS: 6, TotalMS: 20, MemoryBytes: 1 << 33, Instance: "i1", Error: "it broke", Component: "code", Reason: "oom"}
	dropped := Dropped{Lines: 12, Bytes: 345, Reason: ReasonRate}
	for _, c := range []struct {
		record []byte
		want   Entry
	}{
		{appendLine(nil, kindStderr, at, 3, "r1", "i1", "warn", []byte("a\x00\x1b[31m\n\u202e")),
			Entry{Time: at, Stream: StreamStderr, Text: "a\x00\x1b[31m\n\u202e", Version: 3, Request: "r1", Instance: "i1", Level: "warn"}},
		{appendLine(nil, kindStdout, at, 3, "", "i1", "", []byte("\xff\xfea\xc3")),
			Entry{Time: at, Stream: StreamStdout, Text: "\uFFFDa\uFFFD", Version: 3, Instance: "i1"}},
		{appendCall(nil, at, "r1", &call),
			Entry{Time: at, Stream: StreamCall, Text: call.Text(), Version: 7, Request: "r1", Instance: "i1", Call: &call}},
		{appendDropped(nil, at, dropped),
			Entry{Time: at, Stream: StreamDropped, Text: dropped.Text(), Dropped: &dropped}},
	} {
		if n := seal(c.record, [4]byte{1}, 9); n != len(c.record) {
			t.Errorf("seal took %d of %d bytes", n, len(c.record))
		}
		got, err := decode(c.record[recordHead:])
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("got %+v, %v, want %+v", got, err, c.want)
		}
	}
}

func TestCallKeepsNoNonsense(t *testing.T) {
	t.Parallel()
	nan := 0.0
	nan /= nan
	c := Call{Status: -1, Version: -1, QueueMS: nan, RunMS: -5, TotalMS: 1e300, MemoryBytes: -1, Error: strings.Repeat("x", 1<<20)}
	e, err := decode(appendCall(nil, time.Now(), strings.Repeat("r", 1000), &c)[recordHead:])
	if err != nil || len(e.Call.Error) != maxError || len(e.Request) != maxWord || e.Call.QueueMS != 0 || e.Call.TotalMS != 0 || e.Call.MemoryBytes != 0 {
		t.Errorf("got %+v, %v", e.Call, err)
	}
}

// segmentOf makes a segment of records with these texts, numbered from 1.
func segmentOf(marker [4]byte, texts ...string) []byte {
	b := segmentHeader{marker: marker, names: names{"t", "c", "f"}}.append(nil)
	for i, text := range texts {
		r := appendLine(nil, kindStdout, time.UnixMicro(1), 1, "", "i", "", []byte(text))
		seal(r, marker, uint64(i)+1)
		b = append(b, r...)
	}
	return b
}

func readAll(b []byte) (seqs []uint64, err error) {
	h, err := readSegmentHeader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	r := &records{br: bufio.NewReaderSize(bytes.NewReader(b[h.size:]), maxRecord), off: h.size, marker: h.marker}
	for {
		record, err := r.next()
		if err == io.EOF {
			return seqs, nil
		}
		if err != nil {
			return seqs, err
		}
		if !bytes.Equal(b[r.off:r.end()], record) {
			return nil, io.ErrShortBuffer
		}
		seqs = append(seqs, recordSeq(record))
	}
}

func TestReaderFindsTheRecordsAroundDamage(t *testing.T) {
	t.Parallel()
	marker := [4]byte{0xde, 0xad, 0xbe, 0xef}
	whole := segmentOf(marker, "one", "two", "three")
	ends := []int{len(segmentOf(marker)), len(segmentOf(marker, "one")), len(segmentOf(marker, "one", "two")), len(whole)}
	for at := ends[0]; at < len(whole); at++ {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[at] ^= 1 << bit
			var want []uint64
			for i := range 3 {
				if at < ends[i] || at >= ends[i+1] {
					want = append(want, uint64(i)+1)
				}
			}
			if got, err := readAll(b); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("bit %d of byte %d: got %v, %v, want %v", bit, at, got, err, want)
			}
		}
	}
	for at := range ends[0] {
		b := bytes.Clone(whole)
		b[at] ^= 1
		if _, err := readAll(b); err == nil {
			t.Fatalf("byte %d of the header: no error", at)
		}
	}
}

func FuzzSegment(f *testing.F) {
	marker := [4]byte{1, 2, 3, 4}
	f.Add(segmentOf(marker, "one", "two"))
	f.Add(segmentOf(marker, "one", "two")[:60])
	f.Add(append(segmentOf(marker, "one"), segmentOf(marker, "x")[40:]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			return
		}
		_, _ = readAll(b)
		// Any bytes after a good header: records before them are found, and nothing else is believed
		// unless its checksum is right.
		seqs, err := readAll(append(segmentOf(marker, "one", "two"), b...))
		if err != nil || len(seqs) < 2 || seqs[0] != 1 || seqs[1] != 2 {
			t.Fatalf("got %v, %v", seqs, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add(appendLine(nil, kindStdout, time.UnixMicro(1), 1, "r", "i", "log", []byte("x"))[recordHead:])
	f.Add(appendCall(nil, time.UnixMicro(1), "r", &Call{Status: 200})[recordHead:])
	f.Add(appendDropped(nil, time.UnixMicro(1), Dropped{1, 2, ReasonDisk})[recordHead:])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decode(b)
		if err == nil && e.Stream == "" {
			t.Fatalf("no stream: %+v", e)
		}
	})
}

func FuzzLine(f *testing.F) {
	f.Add([]byte("\xff\xfe"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > hearth.LimitLogLine.Int() {
			return
		}
		r := appendLine(nil, kindStdout, time.UnixMicro(1), 1, "r", "i", "log", b)
		e, err := decode(r[recordHead:])
		if err != nil || !utf8.ValidString(e.Text) || len(r) > maxRecord || (utf8.Valid(b) && e.Text != string(b)) {
			t.Fatalf("got %+v, %v", e, err)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add("abc", place{1, 2}.cursor("abc"))
	f.Add("abc", "")
	f.Add("abc", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz")
	f.Fuzz(func(t *testing.T, id, s string) {
		p, err := parseCursor(id, s)
		if err != nil {
			if hearth.CodeOf(err) != hearth.CodeInvalid {
				t.Fatalf("got %v", err)
			}
			return
		}
		if s != "" && p.cursor(id) != s {
			t.Fatalf("%q comes back as %q", s, p.cursor(id))
		}
	})
}

func TestCursorIsBoundToItsFunctionAndSorts(t *testing.T) {
	t.Parallel()
	a, b := place{1 << 40, 500}.cursor("aaa"), place{1<<40 + 1, 20}.cursor("aaa")
	if a >= b {
		t.Errorf("%s does not sort before %s", a, b)
	}
	if _, err := parseCursor("bbb", a); hearth.CodeOf(err) != hearth.CodeInvalid {
		t.Errorf("another function's cursor: got %v", err)
	}
	if _, err := parseCursor("aaa", strings.ToUpper(b)); err == nil && strings.ToUpper(b) != b {
		t.Error("an upper case cursor is taken")
	}
}

func TestBucket(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	b := newBucket(100, 200, now)
	if !b.take(now, 200) || b.take(now, 1) {
		t.Error("a full bucket holds its size")
	}
	for range 1000 { // many short steps add up
		now = now.Add(time.Millisecond)
		b.fill(now)
	}
	if b.tokens < 90 || b.tokens > 100 {
		t.Errorf("after a second: %d tokens", b.tokens)
	}
	if b.take(now.Add(-time.Hour), 200) || !b.take(now.Add(1000*time.Hour), 200) {
		t.Error("clock steps")
	}
}
