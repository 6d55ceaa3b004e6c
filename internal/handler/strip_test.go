package handler_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hearth"
	"hearth/internal/handler"
	"hearth/internal/pool/pooltest"
)

// A version's TypeScript is stripped once, before its trial loads it, and every instance gets what is
// left: the trial's, and each later one.
func TestTypesAreStrippedOnce(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 4})
	var strips atomic.Int64
	x.w.Strip = func(w http.ResponseWriter, r *http.Request, i *pooltest.Instance, code string) {
		strips.Add(1)
		if len(i.Containers()) != 0 {
			t.Error("it was asked after code of the tenant's ran")
		}
		fmt.Fprint(w, strings.Replace(code, "typed", "     ", 1))
	}
	seen := func(w http.ResponseWriter, i *pooltest.Instance, m pooltest.Manifest) string {
		text := fmt.Sprint(m.Stripped)
		for _, name := range []string{"index.js", "a.d.ts", "node_modules/a/a.ts", "lib/b.mts"} {
			b, _ := os.ReadFile(filepath.Join(i.Dir(), m.Function, fmt.Sprint(m.Version), name))
			text += "|" + string(b)
		}
		return text
	}
	tried := make(chan string, 10)
	x.w.Load = func(w http.ResponseWriter, r *http.Request, i *pooltest.Instance, m pooltest.Manifest, code string) {
		tried <- seen(w, i, m)
		pooltest.Loaded(w)
	}
	x.w.Serve = func(w http.ResponseWriter, r *http.Request, i *pooltest.Instance, m pooltest.Manifest) {
		fmt.Fprint(w, seen(w, i, m))
	}
	v := x.deploy("t", "c", "f", "typed code")
	const want = "true|js|typed|typed|      code"
	if got := <-tried; v.Status != hearth.StatusReady || v.Stripped == "" || got != want {
		t.Fatalf("%s, %q; the trial saw %q, want %q", v.Status, v.Stripped, got, want)
	}
	if got, _, err := x.call(t.Context(), "t", "c", "f"); got != want || err != nil {
		t.Errorf("a call got %q, %v; want %q", got, err, want)
	}
	// Without the archive it serves as it came.
	x.st.mu.Lock()
	clear(x.st.stripped)
	x.st.mu.Unlock()
	for _, i := range x.w.Live() {
		if len(i.Containers()) > 0 {
			i.Kill(false)
		}
	}
	x.until("an answer by the code as it came", func() bool {
		got, _, _ := x.call(t.Context(), "t", "c", "f")
		return got == "false|js|typed|typed|typed code"
	})
	if n := strips.Load(); n != 1 {
		t.Errorf("%d files were stripped, want 1", n)
	}
	// The same code of somebody else is stripped by an instance of theirs.
	if v := x.deploy("other", "c", "f", "typed code"); v.Stripped == "" || strips.Load() != 2 {
		t.Errorf("another tenant's version: %q after %d strips", v.Stripped, strips.Load())
	}
}

// Whatever becomes of the stripping, the version is tried: as it came.
func TestTypesThatStay(t *testing.T) {
	t.Parallel()
	x := newWorld(t, options{size: 4, config: handler.Config{Load: 3 * time.Second}})
	x.st.fail = func(what string) error {
		if what == "keep" {
			return errors.New("no space")
		}
		return nil
	}
	x.w.Strip = func(w http.ResponseWriter, r *http.Request, i *pooltest.Instance, code string) {
		switch strings.Fields(code)[1] {
		case "refused":
			w.WriteHeader(http.StatusUnprocessableEntity)
		case "longer":
			fmt.Fprint(w, code, " ")
		case "endless":
			for {
				if _, err := fmt.Fprint(w, code); err != nil {
					return
				}
			}
		case "lines":
			fmt.Fprint(w, strings.Replace(code, " ", "\n", 1))
		case "hangs":
			<-r.Context().Done()
		default:
			fmt.Fprint(w, code)
		}
	}
	var stripped atomic.Bool
	x.w.Load = func(w http.ResponseWriter, r *http.Request, i *pooltest.Instance, m pooltest.Manifest, code string) {
		stripped.Store(m.Stripped)
		pooltest.Loaded(w)
	}
	for n, kind := range []string{"refused", "longer", "endless", "lines", "hangs", "unkept"} {
		v := x.deploy("t", fmt.Sprintf("c%d", n), "f", "typed "+kind)
		if v.Status != hearth.StatusReady || v.Stripped != "" || stripped.Load() != (kind == "unkept") {
			t.Errorf("%s: %s, %q, tried stripped: %v", kind, v.Status, v.Stripped, stripped.Load())
		}
	}
}
