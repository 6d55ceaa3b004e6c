package logs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// generous lets everything through; tests about limits set their own.
func generous(t *testing.T) Config {
	return Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(t.Output(), nil)), rate: 1 << 40, burst: 1 << 40,
		functionBytes: 1 << 30, segmentBytes: 1 << 28}
}

// open runs logs until stop, or the end of the test.
func open(t *testing.T, cfg Config) (l *Logs, stop func()) {
	t.Helper()
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); wg.Wait(); _ = l.root.Close() })
	t.Cleanup(stop)
	return l, stop
}

// stdio is the writing side of an instance's pipes.
type stdio struct{ out, err *os.File }

func (s stdio) close() { _ = s.out.Close(); _ = s.err.Close() }

func pipes(t *testing.T) (stdio, *os.File, *os.File) {
	t.Helper()
	r1, w1, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r2, w2, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := stdio{w1, w2}
	t.Cleanup(s.close)
	return s, r1, r2
}

// all finds every function as its own id.
func all(function string) (string, bool) { return strings.ReplaceAll(function, "-", ""), true }

func attach(t *testing.T, l *Logs, instance, container string) stdio {
	t.Helper()
	s, out, err := pipes(t)
	l.Attach(instance, out, err)
	l.Assign(instance, "t", container, container+"id", all)
	return s
}

func frame(function string, version int, request, level, text string) string {
	return fmt.Sprintf("\x1e%s\x1f%d\x1f%s\x1f%s\x1f%d\n%s\n", function, version, request, level, len(text), text)
}

func write(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Error(err)
	}
}

// lines writes whole lines in writes that a pipe takes at once, so that no pause of the test's own
// process looks like the end of a line.
type lines struct {
	t   *testing.T
	to  io.Writer
	buf []byte
}

func (w *lines) print(s string) {
	if len(w.buf)+len(s) > 4096 { // PIPE_BUF
		w.flush()
	}
	w.buf = append(w.buf, s...)
}

func (w *lines) flush() {
	if _, err := w.to.Write(w.buf); err != nil {
		w.t.Error(err)
	}
	w.buf = w.buf[:0]
}

// entries reads the whole log.
func entries(t *testing.T, l *Logs, id string) []Entry {
	t.Helper()
	var found []Entry
	since := ""
	for {
		part, next, err := l.Read(t.Context(), id, since, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(part) == 0 {
			return found
		}
		found = append(found, part...)
		since = next
	}
}

// eventually waits until the log has n entries.
func eventually(t *testing.T, l *Logs, id string, n int) []Entry {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		found := entries(t, l, id)
		if len(found) >= n {
			return found
		}
		if time.Now().After(end) {
			t.Fatalf("%d entries, want %d: %+v", len(found), n, found)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// gone waits until the instance's pipes were read to their end.
func (l *Logs) gone(t *testing.T, instance string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); l.instance(instance) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("instance %s is not gone", instance)
		}
	}
}

func texts(all []Entry) (s []string) {
	for _, e := range all {
		s = append(s, e.Text)
	}
	return s
}

// pipeBytes is how much waits in a pipe.
func pipeBytes(t *testing.T, f *os.File) int {
	t.Helper()
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
