package instance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"hearth"
)

// The control socket, as a ladder:
//
//	GET  /ping      → 200            the event loop turns
//	GET  /exercise  → 200 [request]  what to send before the instance enters the pool
//	GET  /exercise/second → 200 [request]  and what when the pool is calm
//	POST /load      → 200 loaded | 422 failure
//	POST /preload   → 200 {loaded, took, left}
//	POST /strip     → 200 code   | 422 why not
//
// Silence is the caller's to bound, by its context. Each call has a connection of its own: control
// is rare, and a connection kept is one more thing that a tenant could leave bytes in.

// maxExercise bounds the list of exercise requests: more would be a mistake in the shim.
const maxExercise = 10_000

// Bounds of what a tenant's failure may say, in bytes.
const (
	maxMessage = 8 << 10
	maxStack   = 16 << 10
)

// LoadError is why a version does not load, in the words of Node.js.
type LoadError struct{ hearth.Failure }

// Error returns the failure's reason and message.
func (e *LoadError) Error() string { return e.Reason + ": " + e.Message }

// Ping asks whether the event loop turns.
func (i *Instance) Ping(ctx context.Context) error {
	status, _, err := i.ask(ctx, http.MethodGet, "/ping", nil, maxControl)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err != nil {
		return fmt.Errorf("ping instance %s: %w", i.id, err)
	}
	return nil
}

// exercise is one request of the shim's own list.
type exercise struct {
	Version string `json:"version"`
	Method  string `json:"method"`
	Path    string `json:"path"`
	Body    string `json:"body"`
	Type    string `json:"type"` // of the body
}

// Exercise runs the shim's own path until it is compiled: the requests that the shim lists, one
// after another, over a connection that requests will use. The instance is not yet anybody's.
func (i *Instance) Exercise(ctx context.Context) error { return i.exercise(ctx, "/exercise") }

// ExerciseMore loads what is not needed by all functions, and makes the heap small. It takes as long
// as Exercise, so it waits until nobody needs the processor. The instance is not yet anybody's.
func (i *Instance) ExerciseMore(ctx context.Context) error {
	i.more.Store(true)
	return i.exercise(ctx, "/exercise/second")
}

// ExercisedMore reports whether ExerciseMore was called.
func (i *Instance) ExercisedMore() bool { return i.more.Load() }

func (i *Instance) exercise(ctx context.Context, path string) error {
	status, body, err := i.ask(ctx, http.MethodGet, path, nil, maxControl)
	var list []exercise
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err == nil {
		err = json.Unmarshal(body, &list)
	}
	if err == nil && len(list) > maxExercise {
		err = fmt.Errorf("a list of %d requests", len(list))
	}
	if err == nil && len(list) > 0 {
		err = i.send(ctx, list)
	}
	if err != nil {
		return fmt.Errorf("exercise instance %s: %w", i.id, err)
	}
	return nil
}

// send makes the requests on one connection, which then waits for the first request of all: its
// socket, its parser and the path to both are there and warm.
func (i *Instance) send(ctx context.Context, list []exercise) (err error) {
	conn, err := i.Dial(ctx)
	if err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	defer func() {
		if err != nil || r.Buffered() > 0 || !i.conns.Add(conn) {
			conn.Close()
		}
	}()
	for n, e := range list {
		var body io.Reader
		if e.Body != "" {
			body = strings.NewReader(e.Body)
		}
		req, err := http.NewRequestWithContext(ctx, e.Method, "http://instance"+e.Path, body)
		if err != nil {
			return err
		}
		if e.Body != "" {
			req.Header.Set("Content-Type", e.Type)
		}
		req.Header.Set("Hearth-Function", ".exercise")
		req.Header.Set("Hearth-Version", e.Version)
		req.Header.Set("Hearth-Request-Id", fmt.Sprintf("exercise-%d", n))
		req.Header.Set("Hearth-Timeout-Ms", "10000")
		req.Header.Set("Hearth-Prefix", "/run/hearth/exercise/"+e.Version)
		// Any answer will do: one of the exercises is a function that fails.
		if _, _, err := exchange(ctx, conn, r, req, maxControl); err != nil {
			return fmt.Errorf("send %s: %w", e.Version, err)
		}
	}
	return nil
}

// Load loads a version that was written, through the same path as a request would, so that the first
// request is quick. A version that does not load is a *LoadError; any other error says nothing about
// the code: the instance died, or ctx ended.
func (i *Instance) Load(ctx context.Context, function string, version int) (hearth.Loaded, error) {
	ask, err := json.Marshal(map[string]any{"function": function, "version": version})
	if err != nil {
		return hearth.Loaded{}, fmt.Errorf("load %s/%d: %w", function, version, err)
	}
	status, body, err := i.ask(ctx, http.MethodPost, "/load", ask, maxControl)
	if err != nil {
		return hearth.Loaded{}, fmt.Errorf("load %s/%d in instance %s: %w", function, version, i.id, err)
	}
	var answer struct {
		hearth.Loaded
		hearth.Failure
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return hearth.Loaded{}, &LoadError{hearth.Failure{Reason: "load", Message: "The instance gave no sensible answer while the function loaded."}}
	}
	if status != http.StatusOK {
		f := answer.Failure
		if f.Reason != "syntax" && f.Reason != "shape" {
			f.Reason = "load"
		}
		f.Message, f.Stack = clip(f.Message, maxMessage), clip(ownFrames(f), maxStack)
		return hearth.Loaded{}, &LoadError{f}
	}
	switch answer.Model {
	case hearth.ModelCallback, hearth.ModelPromise, hearth.ModelFetch, hearth.ModelServer:
		return answer.Loaded, nil
	}
	return hearth.Loaded{}, &LoadError{hearth.Failure{Reason: "shape", Message: "The function has no shape that Hearth knows."}}
}

// Preloaded is what an instance says of the packages that it has loaded.
type Preloaded struct {
	Loaded int           // packages
	Took   time.Duration // to load them: what an assignment saves
	Left   []string      // what cannot be frozen, by Node.js's names: timers, sockets, processes
}

// Preload loads the packages called names from the tree whose node_modules the instance sees at
// modules. The instance is not yet anybody's, and may be given only to one that uses the tree.
func (i *Instance) Preload(ctx context.Context, modules string, names []string) (Preloaded, error) {
	ask, err := json.Marshal(map[string]any{"modules": modules, "names": names})
	if err != nil {
		return Preloaded{}, fmt.Errorf("preload instance %s: %w", i.id, err)
	}
	status, body, err := i.ask(ctx, http.MethodPost, "/preload", ask, maxControl)
	var answer struct {
		Loaded int      `json:"loaded"`
		Took   float64  `json:"took"` // ms
		Left   []string `json:"left"`
	}
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil {
		return Preloaded{}, fmt.Errorf("preload instance %s: %w", i.id, err)
	}
	p := Preloaded{Loaded: answer.Loaded, Took: time.Duration(min(max(answer.Took, 0), 60_000) * float64(time.Millisecond))}
	for _, left := range answer.Left[:min(len(answer.Left), 8)] {
		p.Left = append(p.Left, clip(left, 64))
	}
	return p, nil
}

// ErrNotStripped is returned for TypeScript that Node.js cannot strip of its types.
var ErrNotStripped = errors.New("the types cannot be stripped")

// Strip returns TypeScript without its types: as many bytes on as many lines, with blanks for types.
// Ask before any code of the tenant's has run here, so that it is the shim's answer.
func (i *Instance) Strip(ctx context.Context, code []byte) ([]byte, error) {
	status, answer, err := i.ask(ctx, http.MethodPost, "/strip", code, max(maxControl, int64(len(code))))
	if err != nil {
		return nil, fmt.Errorf("strip code in instance %s: %w", i.id, err)
	}
	if status != http.StatusOK || len(answer) != len(code) || bytes.Count(answer, newline) != bytes.Count(code, newline) {
		return nil, ErrNotStripped
	}
	return answer, nil
}

var newline = []byte{'\n'}

// ask makes one exchange on a connection of its own; the answer's body has most bytes at most.
func (i *Instance) ask(ctx context.Context, method, path string, body []byte, most int64) (int, []byte, error) {
	conn, err := i.dial(ctx, i.control)
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close()
	req, err := http.NewRequestWithContext(ctx, method, "http://instance"+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Close = true
	res, answer, err := exchange(ctx, conn, bufio.NewReader(io.LimitReader(conn, most+maxControl)), req, most)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return 0, nil, fmt.Errorf("the connection ended: %w", err)
	}
	if err != nil {
		return 0, nil, err
	}
	return res.StatusCode, answer, nil
}

// ownFrames is the stack without the frames of the shim and of Node.js itself, which help nobody to
// mend a function. A wrong shape is thrown by the shim and has no other.
func ownFrames(f hearth.Failure) string {
	if f.Reason == "shape" {
		return ""
	}
	var kept strings.Builder
	for line := range strings.Lines(f.Stack) {
		frame := strings.HasPrefix(line, "    at ")
		if !frame || !strings.Contains(line, "/hearth/shim/") && !strings.Contains(line, "node:internal/") {
			kept.WriteString(line)
		}
	}
	return strings.TrimRight(kept.String(), "\n")
}

// clip bounds a tenant's text and makes it UTF-8.
func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		s += "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
