package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"hearth"
	"hearth/internal/problem"
)

type idKey struct{}

// ServeHTTP is the edge of every management request: it names the request, sets the headers that all
// answers have, stops what must not go further, and turns a panic into a 500.
func (a *api) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	began := time.Now()
	id := strings.ToLower(rand.Text())
	r = r.WithContext(context.WithValue(r.Context(), idKey{}, id))
	w := &recorder{ResponseWriter: rw}
	h := w.Header()
	h.Set("Hearth-Request-Id", id)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	defer func() {
		if p := recover(); p != nil {
			a.panicked(w, r, p)
		}
		a.Log.LogAttrs(r.Context(), slog.LevelDebug, "management request", slog.String("request", id), slog.String("method", r.Method),
			slog.String("path", clip(r.URL.Path, 300)), slog.Int("status", w.status), slog.Duration("took", time.Since(began)))
	}()
	if err := a.admit(r); err != nil {
		a.fail(w, r, err)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// admit refuses what no operation is asked about.
func (a *api) admit(r *http.Request) error {
	if int64(len(r.RequestURI)) > hearth.LimitURIBytes.Value {
		return hearth.Exceeded(hearth.CodeURITooLong, hearth.LimitURIBytes)
	}
	if a.CheckHost != nil {
		if err := a.CheckHost(r); err != nil {
			return err
		}
	}
	if r.URL.Path == "/v1" || strings.HasPrefix(r.URL.Path, "/v1/") {
		if err := a.Auth.Check(r); err != nil {
			return err
		}
	}
	// The mux would redirect a path that is not in its shortest form; nobody has a reason to send one.
	if r.URL.Path != path.Clean(r.URL.Path) {
		return errNoPath
	}
	return nil
}

// fail answers with a problem. It is where the errors of a request end: what is our own fault is
// logged here, in full, under the id that the answer carries.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	id, _ := r.Context().Value(idKey{}).(string)
	if problem.Status(err) == http.StatusInternalServerError && r.Context().Err() == nil {
		a.Log.Error("management request failed", "request", id, "method", r.Method, "path", clip(r.URL.Path, 300), "err", err)
	}
	problem.Write(w, id, err)
}

func (a *api) panicked(w *recorder, r *http.Request, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	if w.status == 0 {
		a.fail(w, r, fmt.Errorf("handle request: panic: %v\n%s", p, debug.Stack()))
		return
	}
	a.Log.Error("management request failed after its answer began", "request", w.Header().Get("Hearth-Request-Id"),
		"err", fmt.Errorf("handle request: panic: %v\n%s", p, debug.Stack()))
	panic(http.ErrAbortHandler) // the client sees a broken answer, not a short one
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
