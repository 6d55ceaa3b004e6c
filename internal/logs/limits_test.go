package logs

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// count sums a log: lines of the streams, and dropped ones by reason.
func count(all []Entry) (lines int64, dropped map[string]Dropped) {
	dropped = map[string]Dropped{}
	for _, e := range all {
		if e.Dropped == nil {
			lines++
			continue
		}
		d := dropped[e.Dropped.Reason]
		d.Lines += e.Dropped.Lines
		d.Bytes += e.Dropped.Bytes
		dropped[e.Dropped.Reason] = d
	}
	return lines, dropped
}

// settle waits until nothing waits for the disk.
func (l *Logs) settle(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); l.queued.Load() > 0 || l.waiting(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("lines still wait for the disk")
		}
	}
	time.Sleep(2 * flushEvery) // the flush that took the last ones
}

func (l *Logs) waiting() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.dirty) > 0
}

// Of a flood every line is kept or dropped, and the numbers are exact.
func TestFloodIsCounted(t *testing.T) {
	t.Parallel()
	for name, flood := range map[string]func(w *lines) (lines, text int64){
		"short lines": func(w *lines) (lines, text int64) {
			for i := range 500_000 / scale {
				s := fmt.Sprintf("line %d\n", i)
				w.print(s)
				text += int64(len(s) - 1)
			}
			return 500_000 / scale, text
		},
		"frames": func(w *lines) (lines, text int64) {
			for i := range 200_000 / scale {
				s := strconv.Itoa(i)
				w.print(frame("f", 1, "r", "log", s))
				text += int64(len(s))
			}
			return 200_000 / scale, text
		},
		"one endless line": func(w *lines) (lines, text int64) {
			part := strings.Repeat("x", 4096)
			for range 16_000 {
				w.print(part)
			}
			return -1, 16_000 * 4096 // the pieces depend on the pauses
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := generous(t)
			cfg.rate, cfg.burst = 0, 0 // the true ones
			l, _ := open(t, cfg)
			s := attach(t, l, "i1", "c")
			l.Serving("i1", "f", 1)
			started := time.Now()
			w := &lines{t: t, to: s.out}
			printed, text := flood(w)
			w.flush()
			s.close()
			l.gone(t, "i1")
			took := time.Since(started)
			l.settle(t)
			all := entries(t, l, "f")
			kept, dropped := count(all)
			var keptText int64
			for _, e := range all {
				if e.Dropped == nil {
					keptText += int64(len(e.Text))
				}
			}
			lost := dropped[ReasonRate]
			if (printed >= 0 && kept+lost.Lines != printed) || keptText+lost.Bytes != text {
				t.Errorf("printed %d lines of %d bytes; kept %d of %d, dropped %+v", printed, text, kept, keptText, dropped)
			}
			st := l.Stats()
			if st.DroppedLines != lost.Lines || st.DroppedBytes != lost.Bytes {
				t.Errorf("stats %+v, in the log %+v", st, lost)
			}
			if most := int64((took.Seconds() + 3) * (1 << 20)); st.DiskBytes > most || st.DiskBytes != diskBytes(t, cfg.Dir) {
				t.Errorf("%d bytes kept, want at most %d; on disk %d", st.DiskBytes, most, diskBytes(t, cfg.Dir))
			}
			t.Logf("%d lines in %v, %d kept, %d dropped", printed, took, kept, lost.Lines)
		})
	}
}

// A function keeps its newest bytes; a reader who comes late is told how many entries are gone.
func TestFunctionIsTrimmed(t *testing.T) {
	t.Parallel()
	cfg := generous(t)
	cfg.functionBytes, cfg.segmentBytes = 1<<20, 0 // a quarter
	l, _ := open(t, cfg)
	const n = 20_000
	var first string
	for i := range n {
		l.Record("f", "t", "c", "f", "r", Call{Status: i, Reason: strings.Repeat("x", 100)})
		if i == 0 {
			first = eventually(t, l, "f", 1)[0].Cursor
		}
		if i%2000 == 0 {
			l.settle(t)
		}
	}
	l.settle(t)
	if b := diskBytes(t, cfg.Dir); b > cfg.functionBytes || b < cfg.functionBytes*2/3 || b != l.Stats().DiskBytes {
		t.Errorf("%d bytes on disk, %d counted, of %d", b, l.Stats().DiskBytes, cfg.functionBytes)
	}
	all := entries(t, l, "f")
	kept := len(all)
	if all[kept-1].Call.Status != n-1 || all[0].Call.Status != n-kept {
		t.Errorf("kept %d entries, from %d", kept, all[0].Call.Status)
	}
	late, _, err := l.Read(t.Context(), "f", first, 2)
	if err != nil || len(late) != 2 || late[0].Dropped == nil || *late[0].Dropped != (Dropped{Lines: int64(n - 1 - kept), Reason: ReasonTrimmed}) ||
		late[1].Call == nil || late[1].Call.Status != n-kept {
		t.Errorf("a late reader: got %+v, %v; kept %d", late, err, kept)
	}
}

func diskBytes(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		n += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A container's instances share one bucket, another container has its own, and a crash buys none.
func TestRateIsTheContainers(t *testing.T) {
	t.Parallel()
	cfg := generous(t)
	cfg.rate, cfg.burst = 1, 10_000 // practically no refill
	l, _ := open(t, cfg)
	line := strings.Repeat("x", 999-100) + "\n"
	for i := range 3 {
		id := fmt.Sprint("i", i)
		s := attach(t, l, id, "c")
		l.Serving(id, "f", 1)
		write(t, s.out, strings.Repeat(line, 8))
		s.close()
		l.gone(t, id)
	}
	s := attach(t, l, "j", "d")
	l.Serving("j", "g", 1)
	write(t, s.out, strings.Repeat(line, 8))
	s.close()
	l.gone(t, "j")
	l.settle(t)
	if kept, dropped := count(entries(t, l, "f")); kept != 10 || dropped[ReasonRate].Lines != 14 {
		t.Errorf("the flooding container: kept %d, dropped %+v", kept, dropped)
	}
	if kept, _ := count(entries(t, l, "g")); kept != 8 {
		t.Errorf("the other container: kept %d of 8", kept)
	}
}

func TestCallRecordsAreBoundedAndCounted(t *testing.T) {
	t.Parallel()
	cfg := generous(t)
	cfg.rate, cfg.burst = 1, 10_000
	l, _ := open(t, cfg)
	for range 1000 {
		l.Record("f", "t", "c", "f", "r", Call{Status: 200})
	}
	l.settle(t)
	kept, dropped := count(entries(t, l, "f"))
	if kept+dropped[ReasonRate].Lines != 1000 || kept < 100 {
		t.Errorf("kept %d, dropped %+v", kept, dropped)
	}
}

// Two tenants' containers, two functions each, print a million lines in all, framed and plain, with
// spoofed frames of the other's functions: none crosses, none is lost.
func TestLinesNeverCross(t *testing.T) {
	t.Parallel()
	l, _ := open(t, generous(t))
	total := 1_000_000 / scale
	if testing.Short() {
		total = 100_000
	}
	var wg sync.WaitGroup
	for _, tenant := range []string{"a", "b"} {
		s, out, errs := pipes(t)
		l.Attach(tenant, out, errs)
		l.Assign(tenant, tenant, "c", tenant+"c", func(f string) (string, bool) { return tenant + f, f == "f" || f == "g" })
		l.Serving(tenant, "f", 1)
		for i, file := range []*os.File{s.out, s.err} {
			wg.Go(func() {
				w := &lines{t: t, to: file}
				for n := range total / 4 {
					text := fmt.Sprintf("%s %d %d", tenant, i, n)
					switch n % 3 {
					case 0:
						w.print(frame("f", 1, "r", "log", text))
					case 1:
						w.print(frame("h", 1, "r", "log", text)) // nobody's
					default:
						w.print(text + "\n")
					}
				}
				w.flush()
			})
		}
	}
	wg.Wait()
	// Reading goes on behind the writers.
	for end := time.Now().Add(30 * time.Second); l.Stats().Lines+l.Stats().DroppedLines < int64(total) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	l.settle(t)
	for _, tenant := range []string{"a", "b"} {
		seen := map[string]bool{}
		var lost int64
		for _, id := range []string{tenant + "f", tenant + "g"} {
			for _, e := range entries(t, l, id) {
				if e.Dropped != nil { // only where the disk of the machine is slow
					lost += e.Dropped.Lines
					continue
				}
				if e.Text[:2] != tenant+" " || e.Instance != tenant || seen[e.Text] {
					t.Fatalf("in the log of %s: %+v", id, e)
				}
				seen[e.Text] = true
			}
		}
		if len(seen)+int(lost) != total/2 {
			t.Errorf("tenant %s: %d lines and %d dropped, want %d", tenant, len(seen), lost, total/2)
		}
	}
}

// A thousand followers that stopped reading cost no memory to speak of, delay nobody, and are told
// exactly what they missed when they go on.
func TestSlowFollowers(t *testing.T) { // alone: it looks at the heap
	cfg := generous(t)
	cfg.functionBytes, cfg.segmentBytes = 4<<20, 1<<20
	l, _ := open(t, cfg)
	l.Record("f", "t", "c", "f", "r", Call{Status: 1})
	eventually(t, l, "f", 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const followers = 1000
	var wg sync.WaitGroup
	var arrived sync.WaitGroup
	arrived.Add(followers)
	goOn := make(chan struct{})
	results := make(chan string, followers)
	for i := range followers {
		wg.Go(func() {
			var got, lost int64
			for e, err := range l.Follow(ctx, "f", "") {
				if err != nil {
					results <- err.Error()
					return
				}
				if got == 0 {
					arrived.Done()
					<-goOn
					if i >= 3 { // most are gone by then
						return
					}
				}
				if e.Dropped != nil {
					lost += e.Dropped.Lines
				} else {
					got++
				}
				if e.Call != nil && e.Call.Status == 2 {
					results <- fmt.Sprint(got + lost)
					return
				}
			}
		})
	}
	arrived.Wait()
	before := heap()
	s := attach(t, l, "i1", "c")
	l.Serving("i1", "f", 1)
	w := &lines{t: t, to: s.out}
	const printed = 100_000
	for range printed {
		w.print("a line of a hundred bytes, more or less, so that the log is trimmed under them several times over\n")
	}
	w.flush()
	s.close()
	l.gone(t, "i1")
	l.Record("f", "t", "c", "f", "r", Call{Status: 2})
	l.settle(t)
	if grown := heap() - before; grown > 32<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	close(goOn)
	_, dropped := count(entries(t, l, "f"))
	if dropped[ReasonQueue].Lines > 0 {
		t.Logf("the disk was slow: %+v", dropped)
	}
	for range 3 {
		select {
		case r := <-results:
			if want := fmt.Sprint(printed + 2); r != want && len(dropped) == 0 {
				t.Errorf("a follower saw %s entries, want %s", r, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a follower does not go on")
		}
	}
	cancel()
	wg.Wait()
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The node's cap takes from the tenant that holds the most, its oldest first; the cap holds.
func TestNodeCapIsFair(t *testing.T) {
	t.Parallel()
	cfg := generous(t)
	cfg.functionBytes, cfg.segmentBytes, cfg.NodeBytes = 1<<20, 64<<10, 1<<20
	l, stop := open(t, cfg)
	l.Record("quiet", "small", "c", "quiet", "r", Call{Status: 200})
	l.settle(t)
	print := func(f int, n int) {
		for range n {
			l.Record(fmt.Sprint("f", f), "big", "c", "f", "r", Call{Status: 200, Error: strings.Repeat("x", 1000)})
		}
		l.settle(t)
	}
	for f := range 5 {
		print(f, 400)
	}
	check := func(l *Logs) {
		t.Helper()
		if n := diskBytes(t, cfg.Dir); n > cfg.NodeBytes || n != l.Stats().DiskBytes {
			t.Errorf("%d bytes on disk, %d counted, the cap is %d", n, l.Stats().DiskBytes, cfg.NodeBytes)
		}
		if n := len(entries(t, l, "quiet")); n != 1 {
			t.Errorf("the small tenant has %d entries", n)
		}
	}
	check(l)
	if n := len(entries(t, l, "f0")); n != 0 {
		t.Errorf("the oldest log has %d entries", n)
	}
	if n, lost := count(entries(t, l, "f4")); n != 400 || len(lost) != 0 {
		t.Errorf("the newest log has %d entries", n)
	}
	// A log that was trimmed to nothing goes on under higher numbers, also after a restart.
	stop()
	l, _ = open(t, cfg)
	for f := range 5 {
		for range 400 {
			l.Record(fmt.Sprint("f", f), "big", "c", "f", "r", Call{Status: 200, Error: strings.Repeat("x", 1000)})
		}
		l.settle(t)
	}
	check(l)
}

func TestShare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		held      []int64
		sum, want int64
	}{{[]int64{10, 20, 30}, 60, 0}, {[]int64{100, 1, 1}, 50, 48}, {[]int64{100, 100}, 50, 25}, {[]int64{5, 100, 100}, 65, 30}, {nil, 5, 5}} {
		if got := share(c.held, c.sum); got != c.want {
			t.Errorf("share(%v, %d) = %d, want %d", c.held, c.sum, got, c.want)
		}
	}
}

// A full disk: nobody waits, what is lost is counted, and it recovers by itself.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small tmpfs")
	}
	for name, options := range map[string]string{"bytes": "size=256k", "inodes": "size=64m,nr_inodes=4"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := generous(t)
			cfg.Dir = filepath.Join(t.TempDir(), "small")
			if err := os.Mkdir(cfg.Dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("hearth-test", cfg.Dir, "tmpfs", 0, options); err != nil {
				t.Skipf("cannot mount a tmpfs: %v", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(cfg.Dir, unix.MNT_DETACH) })
			l, stop := open(t, cfg)
			defer stop()
			ballast := cfg.Dir + "/ballast"
			if err := os.WriteFile(ballast, make([]byte, 150<<10), 0o600); err != nil {
				t.Fatal(err)
			}
			for n := 0; name == "inodes"; n++ {
				if os.WriteFile(fmt.Sprint(ballast, n), nil, 0o600) != nil {
					break
				}
			}
			s := attach(t, l, "i1", "c")
			l.Serving("i1", "f", 1)
			const lines = 5000
			started := time.Now()
			write(t, s.out, strings.Repeat(strings.Repeat("x", 99)+"\n", lines))
			for range 100 {
				l.Record("f", "t", "c", "f", "r", Call{Status: 200})
			}
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("the writer waited %v", took)
			}
			for end := time.Now().Add(10 * time.Second); l.Stats().DroppedLines == 0; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("nothing is dropped")
				}
			}
			l.settle(t)
			left, err := filepath.Glob(ballast + "*")
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range left {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
			write(t, s.out, "after\n")
			var kept int64
			var dropped map[string]Dropped
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				all := entries(t, l, "f")
				kept, dropped = count(all)
				if len(all) > 0 && strings.Contains(strings.Join(texts(all), "\n"), "after") && kept+dropped[ReasonDisk].Lines >= lines+101 {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("does not recover: kept %d, dropped %+v", kept, dropped)
				}
			}
			if st := l.Stats(); kept+dropped[ReasonDisk].Lines != lines+101 || dropped[ReasonDisk].Lines != st.DroppedLines || dropped[ReasonDisk].Lines == 0 {
				t.Errorf("kept %d, dropped %+v, stats %+v", kept, dropped, st)
			}
		})
	}
}

// When nobody writes, memory is bounded and the rest is counted.
func TestQueueIsBounded(t *testing.T) { // alone: it looks at the heap
	l, err := New(generous(t)) // not running
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	for f := range 40 {
		id := fmt.Sprint("f", f)
		for range 4000 {
			l.Record(id, "t", "c", id, "r", Call{Status: 200, Error: strings.Repeat("x", 1000)})
		}
	}
	if q := l.queued.Load(); q > maxQueued || q < maxQueued-maxPending {
		t.Errorf("%d bytes are queued", q)
	}
	if grown := heap() - before; grown > 2*maxQueued {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	l.flushAll()
	if q := l.queued.Load(); q != 0 {
		t.Errorf("%d bytes are queued after the flush", q)
	}
	var kept, lost int64
	for f := range 40 {
		k, d := count(entries(t, l, fmt.Sprint("f", f)))
		kept += k
		lost += d[ReasonQueue].Lines
	}
	if kept+lost != 40*4000 || lost != l.Stats().DroppedLines || lost == 0 {
		t.Errorf("kept %d, dropped %d, stats %+v", kept, lost, l.Stats())
	}
	l.closeIdle(0)
	_ = l.root.Close()
}

// Ten thousand functions don't keep ten thousand files open.
func TestManyFunctions(t *testing.T) {
	t.Parallel()
	cfg := generous(t)
	l, stop := open(t, cfg)
	const functions = 1000
	for round := range 2 {
		for f := range functions {
			l.Record(fmt.Sprint("f", f), "t", "c", "f", "r", Call{Status: round})
		}
		l.settle(t)
	}
	stop()
	l, stop = open(t, cfg)
	defer stop()
	for f := range functions {
		if n := len(entries(t, l, fmt.Sprint("f", f))); n != 2 {
			t.Fatalf("function %d has %d entries", f, n)
		}
	}
	if n := len(l.outputs); n > maxOutputs {
		t.Errorf("%d segments are open", n)
	}
}

func TestRecordAllocatesAtMostOnce(t *testing.T) {
	l, err := New(generous(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.root.Close()
	id, c := string(binary.AppendUvarint([]byte("f"), 'x')), Call{Status: 200}
	l.Record(id, "t", "c", "f", "r", c)
	if n := testing.AllocsPerRun(1000, func() { l.Record(id, "t", "c", "f", "r", c) }); n > 1 {
		t.Errorf("%v allocations a call", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	l, err := New(Config{Dir: b.TempDir(), rate: 1 << 40, burst: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.Run(ctx) })
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Record("f", "t", "c", "f", "0123456789abcdef", Call{Status: 200, Start: "warm", RunMS: 1.5, TotalMS: 2})
		}
	})
	cancel()
	wg.Wait()
}
