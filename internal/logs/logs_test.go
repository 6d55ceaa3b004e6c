package logs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth"
)

func TestLinesReachTheirFunction(t *testing.T) {
	t.Parallel()
	l, _ := open(t, generous(t))
	s := attach(t, l, "i1", "c")
	l.Serving("i1", "first", 1)
	write(t, s.out, "plain\n")
	eventually(t, l, "first", 1)
	write(t, s.out, frame("second", 4, "r-9", "info", "framed\ntwice"))
	eventually(t, l, "second", 1)
	write(t, s.err, "crash\n") // no frame: the function that was served last
	got := eventually(t, l, "second", 2)
	if got[0].Text != "framed\ntwice" || got[0].Request != "r-9" || got[0].Version != 4 || got[0].Level != "info" ||
		got[0].Stream != StreamStdout || got[0].Instance != "i1" || time.Since(got[0].Time) > time.Minute {
		t.Errorf("framed: got %+v", got[0])
	}
	if got[1].Text != "crash" || got[1].Request != "" || got[1].Stream != StreamStderr || got[1].Version != 4 {
		t.Errorf("plain: got %+v", got[1])
	}
	write(t, s.err, "\x1e\x1f\x1f\x1ferror\x1f12\nunhandled\nat\n") // outside of a request
	if e := eventually(t, l, "second", 3)[2]; e.Text != "unhandled\nat" || e.Level != "error" || e.Request != "" || e.Version != 4 {
		t.Errorf("outside of a request: got %+v", e)
	}
	if first := entries(t, l, "first"); len(first) != 1 || first[0].Text != "plain" || first[0].Version != 1 {
		t.Errorf("first: got %+v", first)
	}
}

func TestFrameOfAnUnknownFunctionIsNotBelieved(t *testing.T) {
	t.Parallel()
	l, _ := open(t, generous(t))
	s, out, err := pipes(t)
	l.Attach("i1", out, err)
	l.Assign("i1", "t", "c", "cid", func(f string) (string, bool) { return "mine", f == "mine" })
	write(t, s.out, "before anything is served\n")
	for end := time.Now().Add(5 * time.Second); l.Stats().Unattributed != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a line without a function is not counted")
		}
	}
	l.Serving("i1", "mine", 2)
	l.Serving("i1", "other", 9)
	write(t, s.out, frame("other", 3, "r", "log", "spoofed"))
	got := eventually(t, l, "mine", 1)
	if e := got[0]; e.Text != "spoofed" || e.Request != "" || e.Version != 2 {
		t.Errorf("got %+v", e)
	}
	if n := len(entries(t, l, "other")); n != 0 {
		t.Errorf("the other function has %d entries", n)
	}
}

func TestOutputOfThePoolIsThrownAway(t *testing.T) {
	t.Parallel()
	l, _ := open(t, generous(t))
	s, out, err := pipes(t)
	write(t, s.out, strings.Repeat("pool\n", 1000))
	l.Attach("i1", out, err)
	write(t, s.err, "pool, a partial line")
	write(t, s.out, frame("f", 1, "r", "log", "pool")) // perhaps still in the pipe at Assign
	l.Assign("i1", "t", "c", "cid", all)
	l.Serving("i1", "f", 1)
	write(t, s.out, "mine\n")
	s.close()
	l.gone(t, "i1")
	if got := texts(eventually(t, l, "f", 1)); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("got %q", got)
	}
	if st := l.Stats(); st.DroppedLines != 0 {
		t.Errorf("the pool's lines count as dropped: %+v", st)
	}
}

func TestPartialLines(t *testing.T) {
	t.Parallel()
	l, _ := open(t, generous(t))
	s := attach(t, l, "i1", "c")
	l.Serving("i1", "f", 1)
	write(t, s.out, "no newline")
	if got := texts(eventually(t, l, "f", 1)); got[0] != "no newline" {
		t.Errorf("after a pause: got %q", got)
	}
	write(t, s.out, "the end")
	write(t, s.err, "\x1ef\x1f2\x1fr\x1ferror\x1f1000\nkilled here")
	s.close()
	got := texts(eventually(t, l, "f", 3))
	slices.Sort(got)
	if !slices.Equal(got, []string{"killed here", "no newline", "the end"}) {
		t.Errorf("got %q", got)
	}
}

func TestCallIsRecordedThoughNoCodeRan(t *testing.T) {
	t.Parallel()
	l, _ := open(t, generous(t))
	c := Call{Status: 503, Version: 2, QueueMS: 10_000, TotalMS: 10_000, Component: "limit", Reason: "queue"}
	l.Record("f", "t", "c", "f", "r-1", c)
	got := eventually(t, l, "f", 1)[0]
	if got.Stream != StreamCall || got.Request != "r-1" || *got.Call != c || got.Text != "503 in 10000.0 ms, queue" {
		t.Errorf("got %+v %+v", got, got.Call)
	}
}

func TestHostilePayloadIsOneEntryAsItWas(t *testing.T) {
	t.Parallel()
	l, _ := open(t, generous(t))
	s := attach(t, l, "i1", "c")
	var want []string
	for _, text := range []string{
		"\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "\r overwritten", "a\rb", "\u202eevil", "\u2066\u2069", "\x00", "\x7f\x80",
		"<script>alert(1)</script>", `{"time":"2000-01-01T00:00:00Z","stream":"call","text":"forged"}`, "data: x\n\nevent: call\ndata: {}",
		"\n\n\n", "id: 5", "\xff\xfe\xfd", "é\xc3", "\u0085\u2028\u2029", strings.Repeat("\u0301", 1000), "'; DROP TABLE logs; --",
		"\x1ef\x1f1\x1fr\x1flog\x1f3\nabc", "\x1f\x1f\x1f", "%s%n%x", "${jndi:ldap://x}", "\\u0000\\", "\"", "</pre>", "\x9b31m",
		"=cmd|' /C calc'!A0", "\ufeff", "\ud7ff", "a\tb\vc\fd",
	} {
		write(t, s.out, frame("f", 1, "r", "log", text))
		want = append(want, strings.TrimSuffix(strings.ToValidUTF8(text, "\uFFFD"), "\n"))
	}
	if got := texts(eventually(t, l, "f", len(want))); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadPagesAndFinds(t *testing.T) {
	t.Parallel()
	l, _ := open(t, generous(t))
	for i := range 2500 {
		l.Record("f", "t", "c", "f", fmt.Sprint("r", i%5), Call{Status: 200 + i})
	}
	if n := len(eventually(t, l, "f", 2500)); n != 2500 {
		t.Fatalf("%d entries", n)
	}
	page, next, err := l.Read(t.Context(), "f", "", 5000)
	if err != nil || len(page) != maxEntries {
		t.Fatalf("%d entries, %v", len(page), err)
	}
	page, next2, err := l.Read(t.Context(), "f", next, 10)
	if err != nil || len(page) != 10 || page[0].Call.Status != 1200 || page[9].Cursor != next2 {
		t.Errorf("%d entries from %d, %v", len(page), page[0].Call.Status, err)
	}
	var found int
	for since := ""; ; since = next {
		var part []Entry
		if part, next, err = l.Find(t.Context(), "f", "r3", since, 300); err != nil {
			t.Fatal(err)
		}
		if len(part) == 0 {
			break
		}
		found += len(part)
	}
	if found != 500 {
		t.Errorf("found %d of 500 entries of a request", found)
	}
	back, err := l.Back("f", 3)
	if err != nil {
		t.Fatal(err)
	}
	if part, end, err := l.Read(t.Context(), "f", back, 10); err != nil || len(part) != 3 || part[2].Call.Status != 2699 {
		t.Errorf("the last three: got %d, %v", len(part), err)
	} else if part, again, err := l.Read(t.Context(), "f", end, 10); err != nil || len(part) != 0 || again != end {
		t.Errorf("after the end: %d entries, cursor %s, %v", len(part), again, err)
	}
	if _, _, err := l.Read(t.Context(), "g", next, 10); hearth.CodeOf(err) != hearth.CodeInvalid {
		t.Errorf("another function's cursor: got %v", err)
	}
	if part, next, err := l.Read(t.Context(), "g", "", 10); err != nil || len(part) != 0 || next == "" {
		t.Errorf("an empty log: got %d entries, %q, %v", len(part), next, err)
	}
	if _, _, err := l.Read(t.Context(), "../f", "", 10); hearth.CodeOf(err) != hearth.CodeNotFound {
		t.Errorf("a bad id: got %v", err)
	}
}

// Segments of equal sizes are where a place in one could be taken for a place in the next.
func TestEveryCursorGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	cfg := generous(t)
	cfg.segmentBytes = 1000
	l, _ := open(t, cfg)
	const n = 200
	for i := range n {
		l.Record("f", "t", "c", "f", "r", Call{Status: 200 + i})
	}
	found := eventually(t, l, "f", n)
	if segs, _ := l.streamOf("f").readable(); len(segs) < 10 {
		t.Fatalf("%d segments", len(segs))
	}
	for i, e := range found {
		if e.Call == nil || e.Call.Status != 200+i {
			t.Fatalf("entry %d: got %+v", i, e)
		}
		p, err := parseCursor("f", e.Cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, off := range []uint32{p.off, 0, 1, 500, 1000, math.MaxUint32} {
			c := place{p.seq, off}.cursor("f")
			rest, _, err := l.Read(t.Context(), "f", c, 0)
			if err != nil || len(rest) != n-1-i || (len(rest) > 0 && (rest[0].Call == nil || rest[0].Call.Status != 201+i)) {
				t.Fatalf("after entry %d with offset %d: %d entries, %v", i, off, len(rest), err)
			}
		}
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	l, _ := open(t, generous(t))
	l.Record("f", "t", "c", "f", "r", Call{Status: 200})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 200
	for e, err := range l.Follow(ctx, "f", "") {
		if err != nil || e.Call.Status != n {
			t.Fatalf("got %+v, %v, want status %d", e, err, n)
		}
		if n++; n == 220 {
			cancel()
		} else {
			l.Record("f", "t", "c", "f", "r", Call{Status: n})
		}
	}
	if n != 220 {
		t.Errorf("followed to %d", n)
	}
}

func TestRemoveLeavesNothing(t *testing.T) {
	t.Parallel()
	cfg := generous(t)
	l, _ := open(t, cfg)
	s := attach(t, l, "i1", "c")
	write(t, s.out, frame("f", 1, "r", "log", "x"))
	eventually(t, l, "f", 1)
	ended := make(chan error, 1)
	go func() { // ends with the log
		for _, err := range l.Follow(context.Background(), "f", "") {
			if err != nil {
				ended <- err
			}
		}
	}()
	time.Sleep(20 * time.Millisecond)
	if err := l.Remove("f"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; hearth.CodeOf(err) != hearth.CodeNotFound {
		t.Errorf("the follower got %v", err)
	}
	write(t, s.out, frame("f", 1, "r", "log", "late")) // an in-flight request
	l.Record("f", "t", "c", "f", "r", Call{Status: 200})
	time.Sleep(3 * flushEvery)
	if left, _ := os.ReadDir(cfg.Dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, _, err := l.Read(t.Context(), "f", "", 1); hearth.CodeOf(err) != hearth.CodeNotFound {
		t.Errorf("read: got %v", err)
	}
	if st := l.Stats(); st.DiskBytes != 0 || l.queued.Load() != 0 {
		t.Errorf("got %+v, %d bytes queued", st, l.queued.Load())
	}
	if err := l.Remove("../x"); err == nil {
		t.Error("a bad id is removed")
	}
}

func TestRestartGoesOn(t *testing.T) {
	t.Parallel()
	cfg := generous(t)
	l, stop := open(t, cfg)
	l.Record("f", "t", "c", "f", "r", Call{Status: 201})
	l.Record("g", "t", "c", "g", "r", Call{Status: 201})
	stop() // what waits is written
	l, stop = open(t, cfg)
	l.Record("f", "t", "c", "f", "r", Call{Status: 202})
	got := eventually(t, l, "f", 2)
	if got[0].Call.Status != 201 || got[1].Call.Status != 202 {
		t.Errorf("got %+v", got)
	}
	if segs, _ := l.streamOf("f").readable(); len(segs) != 1 {
		t.Errorf("%d segments, want one", len(segs))
	}
	stop()
	l, _ = open(t, cfg)
	part, _, err := l.Read(t.Context(), "f", got[0].Cursor, 10)
	if err != nil || len(part) != 1 || part[0].Call.Status != 202 {
		t.Errorf("an old cursor: got %+v, %v", part, err)
	}
	if err := l.Retain(func(id string) bool { return id == "f" }); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(cfg.Dir); len(left) != 1 || left[0].Name() != "f" {
		t.Errorf("left: %v", left)
	}
}

func (l *Logs) streamOf(id string) *stream { return l.find(id, names{}) }

// After a loss of power the numbers of entries that were lost are not used again.
func TestPowerLossBreaksNoCursor(t *testing.T) {
	t.Parallel()
	cfg := generous(t)
	l, stop := open(t, cfg)
	for i := range 10 {
		l.Record("f", "t", "c", "f", "r", Call{Status: i})
	}
	seen := eventually(t, l, "f", 10)
	segs, _ := l.streamOf("f").readable()
	stop()
	path := cfg.Dir + "/f/" + segs[0].name()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	l, err = New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.boot[0]++ // the machine started again
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	for i := range 20 {
		l.Record("f", "t", "c", "f", "r", Call{Status: 100 + i})
	}
	kept := len(entries(t, l, "f"))
	for end := time.Now().Add(5 * time.Second); kept < 22 && time.Now().Before(end); kept = len(entries(t, l, "f")) {
		time.Sleep(time.Millisecond)
	}
	part, _, err := l.Read(t.Context(), "f", seen[9].Cursor, 100)
	if err != nil || len(part) != 20 || part[0].Call == nil || part[0].Call.Status != 100 {
		t.Errorf("after the loss: got %d entries, %v", len(part), err)
	}
	part, _, err = l.Read(t.Context(), "f", seen[0].Cursor, 100)
	if err != nil || len(part) != kept-1 {
		t.Errorf("from before the loss: got %d entries, want %d, %v", len(part), kept-1, err)
	}
}

// The process dies in the middle of a write: at every byte of the last record the log opens, has
// all other entries and takes new ones.
func TestTornTailAtEveryByte(t *testing.T) {
	t.Parallel()
	cfg := generous(t)
	l, stop := open(t, cfg)
	for i := range 3 {
		l.Record("f", "t", "c", "f", "r", Call{Status: i})
	}
	found := eventually(t, l, "f", 3)
	segs, _ := l.streamOf("f").readable()
	stop()
	name := "/f/" + segs[0].name()
	whole, err := os.ReadFile(cfg.Dir + name)
	if err != nil {
		t.Fatal(err)
	}
	from, err := parseCursor("f", found[1].Cursor) // the place after the second entry
	if err != nil {
		t.Fatal(err)
	}
	for cut := int(from.off); cut < len(whole); cut++ {
		torn := cfg
		torn.Dir = t.TempDir()
		if err := errors.Join(os.Mkdir(torn.Dir+"/f", 0o700), os.WriteFile(torn.Dir+name, whole[:cut], 0o600)); err != nil {
			t.Fatal(err)
		}
		l, err := New(torn)
		if err != nil {
			t.Fatal(err)
		}
		l.Record("f", "t", "c", "f", "r", Call{Status: 9})
		l.flushAll()
		got := entries(t, l, "f")
		if len(got) != 3 || got[0].Call.Status != 0 || got[1].Call.Status != 1 || got[2].Call == nil || got[2].Call.Status != 9 {
			t.Fatalf("cut at %d of %d: got %+v", cut, len(whole), got)
		}
		if data, _ := os.ReadFile(torn.Dir + name); int64(len(data)) != l.onDisk.Load() {
			t.Fatalf("cut at %d: %d bytes on disk, counted %d", cut, len(data), l.onDisk.Load())
		}
		l.closeIdle(0)
		_ = l.root.Close()
	}
}

// A damaged record in the middle is one dropped entry with its number; the others are there.
func TestDamageIsCounted(t *testing.T) {
	t.Parallel()
	cfg := generous(t)
	l, stop := open(t, cfg)
	for i := range 5 {
		l.Record("f", "t", "c", "f", "r", Call{Status: i})
	}
	found := eventually(t, l, "f", 5)
	segs, _ := l.streamOf("f").readable()
	stop()
	path := cfg.Dir + "/f/" + segs[0].name()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := parseCursor("f", found[1].Cursor)
	data[at.off+20] ^= 4
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	l, _ = open(t, cfg)
	got := entries(t, l, "f")
	if len(got) != 5 || got[2].Stream != StreamDropped || *got[2].Dropped != (Dropped{Lines: 1, Reason: ReasonDamaged}) || got[3].Call.Status != 3 {
		t.Errorf("got %+v", got)
	}
	if part, _, err := l.Read(t.Context(), "f", got[2].Cursor, 1); err != nil || len(part) != 1 || part[0].Call == nil || part[0].Call.Status != 3 {
		t.Errorf("after the dropped entry: got %+v, %v", part, err)
	}
}

// The whole newest segment is unreadable: the log goes on behind it.
func TestDamagedHeader(t *testing.T) {
	t.Parallel()
	cfg := generous(t)
	l, stop := open(t, cfg)
	l.Record("f", "t", "c", "f", "r", Call{Status: 1})
	eventually(t, l, "f", 1)
	segs, _ := l.streamOf("f").readable()
	stop()
	for i, data := range []string{"", "garbage", strings.Repeat("x", 1000)} {
		if err := os.WriteFile(cfg.Dir+"/f/"+segs[0].name(), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		l, stop := open(t, cfg)
		l.Record("f", "t", "c", "f", "r", Call{Status: 2})
		if got := eventually(t, l, "f", i+1); got[len(got)-1].Call.Status != 2 {
			t.Errorf("%.10q: got %+v", data, got)
		}
		stop()
	}
}

func TestAdoptedOutputBelongsToTheOwner(t *testing.T) {
	t.Parallel()
	l, _ := open(t, generous(t))
	s, out, errs := pipes(t)
	write(t, s.out, "printed while nobody read\n")
	l.Adopt("i1", out, errs, 4096, Owner{Tenant: "t", Container: "c", ContainerID: "cid", FunctionID: all, Function: "f", Version: 3})
	got := eventually(t, l, "f", 2)
	slices.SortFunc(got, func(a, b Entry) int { return strings.Compare(a.Stream, b.Stream) })
	if *got[0].Dropped != (Dropped{Bytes: 4096, Reason: ReasonRestart}) || got[1].Text != "printed while nobody read" || got[1].Version != 3 {
		t.Errorf("got %+v", got)
	}
}

// At a stop what was read is written, and what was not read stays in the pipe for the next process.
func TestStopLeavesPipesToTheNextProcess(t *testing.T) {
	t.Parallel()
	cfg := generous(t)
	l, stop := open(t, cfg)
	s, out, errs := pipes(t)
	kept, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", out.Fd()), os.O_RDONLY, 0) // as the warden does
	if err != nil {
		t.Fatal(err)
	}
	l.Attach("i1", out, errs)
	l.Assign("i1", "t", "c", "cid", all)
	l.Serving("i1", "f", 1)
	write(t, s.out, "one\nhalf")
	eventually(t, l, "f", 1)
	stop()
	write(t, s.out, "two\n")
	if n := pipeBytes(t, kept); n != 4 {
		t.Errorf("%d bytes are left in the pipe", n)
	}
	l, _ = open(t, cfg)
	_, _, errs2 := pipes(t)
	l.Adopt("i1", kept, errs2, 0, Owner{Tenant: "t", Container: "c", ContainerID: "cid", FunctionID: all, Function: "f", Version: 1})
	if got := texts(eventually(t, l, "f", 3)); !slices.Equal(got, []string{"one", "half", "two"}) {
		t.Errorf("got %q", got)
	}
}
