package instance_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth"
	"hearth/internal/pool/instance"
	"hearth/internal/pool/pooltest"
	"hearth/internal/warden/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, w *pooltest.Warden) (*instance.Instance, *wire.Sandbox) {
	t.Helper()
	s, err := w.Start(t.Context(), "node24", wire.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	i, err := instance.New(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	return i, s
}

func TestLifeNeverLeadsBack(t *testing.T) {
	t.Parallel()
	i, _ := open(t, pooltest.New(t))
	if err := i.Assign("a"); !errors.Is(err, instance.ErrState) {
		t.Errorf("assigning a made instance: %v, want ErrState", err)
	}
	if err := i.Assign("a"); !errors.Is(err, instance.ErrState) {
		t.Errorf("a second try: %v, want ErrState", err)
	}
	i, _ = open(t, pooltest.New(t))
	if err := errors.Join(i.Pool(), i.Assign("a"), i.Serve()); err != nil {
		t.Fatal(err)
	}
	for name, step := range map[string]func() error{"pool": i.Pool, "assign to another": func() error { return i.Assign("b") },
		"assign to the same": func() error { return i.Assign("a") }, "serve twice": i.Serve} {
		if err := step(); !errors.Is(err, instance.ErrState) {
			t.Errorf("%s: %v, want ErrState", name, err)
		}
	}
	if first, idle := i.Retire(); !first || !idle {
		t.Errorf("Retire = %v, %v", first, idle)
	}
	if first, _ := i.Retire(); first {
		t.Error("retired twice")
	}
	if i.Enter(10) {
		t.Error("a request entered a retired instance")
	}
	if !i.Close() || i.Close() {
		t.Error("Close is not once")
	}
	if i.State() != instance.Destroyed || i.Owner() != "a" {
		t.Errorf("%s of %q", i.State(), i.Owner())
	}
}

// Of any number of containers that want an instance, one gets it.
func TestOneOwner(t *testing.T) {
	t.Parallel()
	w := pooltest.New(t)
	for range 200 {
		i, _ := open(t, w)
		if err := i.Pool(); err != nil {
			t.Fatal(err)
		}
		var got atomic.Int64
		var wg sync.WaitGroup
		for n := range 8 {
			wg.Go(func() {
				if i.Assign(string(rune('a'+n))) == nil {
					got.Add(1)
				}
			})
		}
		wg.Wait()
		if got.Load() != 1 {
			t.Fatalf("%d owners", got.Load())
		}
		i.Close()
		w.Get(i.ID()).Kill(false)
	}
}

// However requests, a retirement and the last leave race, exactly one party is told to destroy.
func TestOneSeesTheLastOut(t *testing.T) {
	t.Parallel()
	i, _ := open(t, pooltest.New(t))
	_ = errors.Join(i.Pool(), i.Assign("a"), i.Serve())
	var most, now atomic.Int64
	var told atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i.Open() {
				if !i.Enter(4) {
					continue
				}
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				now.Add(-1)
				if left, retired := i.Leave(); left == 0 && retired {
					told.Add(1)
				}
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	if first, idle := i.Retire(); first && idle {
		told.Add(1)
	}
	wg.Wait()
	if told.Load() != 1 || most.Load() > 4 || i.InFlight() != 0 {
		t.Errorf("told %d, most %d, left %d; want 1, ≤ 4, 0", told.Load(), most.Load(), i.InFlight())
	}
}

func TestWritePutsCodeAndManifestOnce(t *testing.T) {
	t.Parallel()
	i, s := open(t, pooltest.New(t))
	root, err := os.Readlink("/proc/self/fd/" + itoa(int(s.Code.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	files := []hearth.File{{Path: "index.js", Data: []byte("1")}, {Path: "a/b/c.txt", Data: nil}}
	meta := instance.Meta{Function: "f", Version: 3, Secrets: map[string]string{"K": "s3cret"}}
	if err := i.Write("f", 3, meta, files); !errors.Is(err, instance.ErrState) {
		t.Fatalf("Write before Assign: %v, want ErrState", err)
	}
	_ = errors.Join(i.Pool(), i.Assign("a"))
	for range 2 {
		if err := i.Write("f", 3, meta, files); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"f/3/index.js": 0o444, "f/3/a/b/c.txt": 0o444, "f/3.json": 0o444, "f/3/a": 0o755 | os.ModeDir} {
		st, err := os.Stat(filepath.Join(root, name))
		if err != nil || st.Mode() != mode {
			t.Errorf("%s: %v, %v; want mode %v", name, st, err, mode)
		}
	}
	if !i.Has("f", 3) || i.Has("f", 4) || i.Has("..", 3) {
		t.Error("Has is wrong")
	}
	if err := i.Write("f", 4, meta, []hearth.File{{Path: "../../../out", Data: []byte("x")}}); err == nil {
		t.Error("a file left the folder")
	}
	if err := i.Write("f", 5, meta, []hearth.File{{Path: "x"}, {Path: "x"}}); err == nil {
		t.Error("a file was written over")
	}
	if i.Has("f", 5) {
		t.Error("a version that was not written to its end has a manifest")
	}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func TestLoadTellsFailuresFromTrouble(t *testing.T) {
	t.Parallel()
	w := pooltest.New(t)
	w.Load = func(rw http.ResponseWriter, r *http.Request, i *pooltest.Instance, m pooltest.Manifest, code string) {
		switch code {
		case "ok":
			pooltest.Loaded(rw)
		case "syntax":
			rw.WriteHeader(422)
			io.WriteString(rw, `{"reason":"syntax","message":"Unexpected token","stack":"at x"}`)
		case "invented":
			rw.WriteHeader(422)
			io.WriteString(rw, `{"reason":"platform","message":"it was Hearth's fault"}`)
		case "garbage":
			io.WriteString(rw, `<html>`)
		case "endless":
			for {
				if _, err := rw.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		case "hang":
			<-r.Context().Done()
		case "die":
			go i.Kill(false)
			<-r.Context().Done()
		}
	}
	i, _ := open(t, w)
	_ = errors.Join(i.Pool(), i.Assign("a"))
	for n, c := range []struct{ code, reason string }{{"ok", ""}, {"syntax", "syntax"}, {"invented", "load"}, {"garbage", "load"}, {"endless", "-"}, {"hang", "-"}, {"die", "-"}} {
		meta := instance.Meta{Function: "f", Version: n, Entry: "index.js"}
		if err := i.Write("f", n, meta, []hearth.File{{Path: "index.js", Data: []byte(c.code)}}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if c.code == "ok" || c.code == "syntax" {
			ctx = t.Context()
		}
		loaded, err := i.Load(ctx, "f", n)
		cancel()
		var refused *instance.LoadError
		switch {
		case c.reason == "":
			if err != nil || loaded.Model != hearth.ModelCallback || !loaded.Parsed {
				t.Errorf("%s: %+v, %v", c.code, loaded, err)
			}
		case c.reason == "-":
			if err == nil || errors.As(err, &refused) {
				t.Errorf("%s: %v, want an error that is no failure of the code", c.code, err)
			}
		default:
			if !errors.As(err, &refused) || refused.Reason != c.reason {
				t.Errorf("%s: %v, want reason %s", c.code, err, c.reason)
			}
		}
	}
}

func TestDeadlineHolds(t *testing.T) {
	t.Parallel()
	w := pooltest.New(t)
	i, _ := open(t, w)
	w.Get(i.ID()).Stuck.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := i.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ping of a stuck instance: %v, want a deadline", err)
	}
}

// A dial after Close never reaches whatever has the descriptor's number then.
func TestDialAfterCloseFails(t *testing.T) {
	t.Parallel()
	w := pooltest.New(t)
	i, _ := open(t, w)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				c, err := i.Dial(t.Context())
				if err != nil {
					return
				}
				c.Close()
			}
		})
	}
	time.Sleep(5 * time.Millisecond)
	i.Close()
	wg.Wait()
	if _, err := i.Dial(t.Context()); err == nil {
		t.Error("dialled a closed instance")
	}
}
