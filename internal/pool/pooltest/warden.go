// Package pooltest is a warden for tests: its instances are two real unix sockets and a real folder,
// served by a few lines of Go that speak the shim's protocol. It starts no process and isolates
// nothing; what it does isolate is time, so that thousands of instances come and go in seconds.
package pooltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/warden/wire"
)

// Warden starts fake instances. Its fields may be set before it is used.
type Warden struct {
	// OnStart, OnLabel and OnDestroy run before the call; an error fails it.
	OnStart   func(n int64) error
	OnLabel   func(id, label string) error
	OnDestroy func(id string) error
	// Serve answers requests after the shim's own part.
	Serve func(w http.ResponseWriter, r *http.Request, i *Instance, m Manifest)
	// Load answers /load, with the version's entry file; nil loads everything. It may Kill.
	Load func(w http.ResponseWriter, r *http.Request, i *Instance, m Manifest, code string)
	// Exercise is the list of requests to send before an instance enters the pool, More the list of
	// those to send when the pool is calm.
	Exercise, More string
	// Preload answers /preload; nil says that all was loaded.
	Preload func(i *Instance, modules string, names []string) string
	// Holding, if set, holds each exercise's answer until it is closed or the host goes away.
	Holding chan struct{}
	// Strip answers /strip, with the file; nil can strip nothing. It may Kill.
	Strip func(w http.ResponseWriter, r *http.Request, i *Instance, code string)

	dir    string
	exits  chan wire.Exit
	starts atomic.Int64

	mu    sync.Mutex
	live  map[string]*Instance
	stats []wire.Stats
	log   []*Instance // all that ever were
}

// Manifest is what the shim reads of a version's manifest.
type Manifest struct {
	Tenant, Container, Function string
	Version                     int
	Entry                       string
	Secrets                     map[string]string
	Stripped                    bool
}

// Instance is one fake instance.
type Instance struct {
	ID, Runtime string
	Exercised   atomic.Int64
	Mounted     atomic.Bool
	Frozen      atomic.Bool
	Stuck       atomic.Bool // /ping is not answered

	w       *Warden
	dir     string
	servers []*http.Server
	serving sync.WaitGroup

	mu         sync.Mutex
	label      string
	limits     wire.Limits
	containers map[string]bool // whose code was in a request or a load
	dead       bool
}

// New makes a warden that ends with the test.
func New(t testing.TB) *Warden {
	base := "/dev/shm" // in memory, as what it stands for is
	if _, err := os.Stat(base); err != nil {
		base = ""
	}
	dir, err := os.MkdirTemp(base, "h") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	w := &Warden{dir: dir, exits: make(chan wire.Exit, 100_000), live: map[string]*Instance{}, Exercise: "[]", More: "[]"}
	t.Cleanup(func() {
		for _, i := range w.Live() {
			i.end()
		}
		os.RemoveAll(dir)
	})
	return w
}

// Start makes an instance.
func (w *Warden) Start(ctx context.Context, runtime string, l wire.Limits) (*wire.Sandbox, error) {
	n := w.starts.Add(1)
	if w.OnStart != nil {
		if err := w.OnStart(n); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i := &Instance{ID: fmt.Sprintf("%032x", n), Runtime: runtime, w: w, limits: l,
		dir: filepath.Join(w.dir, strconv.FormatInt(n, 10)), containers: map[string]bool{}}
	if err := os.MkdirAll(filepath.Join(i.dir, "fn"), 0o755); err != nil {
		return nil, err
	}
	if err := errors.Join(i.listen("r", i.request), i.listen("c", i.control)); err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.live[i.ID] = i
	w.log = append(w.log, i)
	w.mu.Unlock()
	return i.sandbox()
}

// Mount shows the package store, of which there is none here.
func (w *Warden) Mount(_ context.Context, id string) error {
	i := w.Get(id)
	if i == nil {
		return errors.New("no such instance")
	}
	i.Mounted.Store(true)
	return nil
}

// Freeze only notes it: what is frozen here would answer all the same.
func (w *Warden) Freeze(_ context.Context, id string, frozen bool) error {
	i := w.Get(id)
	if i == nil {
		return errors.New("no such instance")
	}
	i.Frozen.Store(frozen)
	return nil
}

func (i *Instance) sandbox() (*wire.Sandbox, error) {
	s := &wire.Sandbox{ID: i.ID, Runtime: i.Runtime, Label: i.Label()}
	var err error
	open := func(name string, flags int) *os.File {
		fd, e := unix.Open(filepath.Join(i.dir, name), flags|unix.O_CLOEXEC, 0)
		if e != nil {
			err = errors.Join(err, e)
			return nil
		}
		return os.NewFile(uintptr(fd), name)
	}
	s.Code = open("fn", unix.O_RDONLY|unix.O_DIRECTORY)
	s.Requests, s.Control = open("r", unix.O_PATH), open("c", unix.O_PATH)
	return s, err
}

func (i *Instance) listen(name string, h http.HandlerFunc) error {
	l, err := net.Listen("unix", filepath.Join(i.dir, name))
	if err != nil {
		return err
	}
	s := &http.Server{Handler: h}
	i.servers = append(i.servers, s)
	i.serving.Go(func() { s.Serve(l) })
	return nil
}

func (i *Instance) control(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ping":
		for i.Stuck.Load() && r.Context().Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		w.Write([]byte(`{"loaded":[]}`))
	case "/exercise":
		w.Write([]byte(i.w.Exercise))
	case "/exercise/second":
		w.Write([]byte(i.w.More))
	case "/preload":
		var ask struct {
			Modules string
			Names   []string
		}
		json.NewDecoder(r.Body).Decode(&ask)
		if i.w.Preload != nil {
			w.Write([]byte(i.w.Preload(i, ask.Modules, ask.Names)))
			return
		}
		fmt.Fprintf(w, `{"loaded":%d,"took":40,"left":[]}`, len(ask.Names))
	case "/strip":
		code, _ := io.ReadAll(r.Body)
		if i.w.Strip == nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		i.w.Strip(w, r, i, string(code))
	case "/load":
		var ask struct {
			Function string
			Version  int
		}
		json.NewDecoder(r.Body).Decode(&ask)
		m, err := i.manifest(ask.Function, ask.Version)
		if err != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			json.NewEncoder(w).Encode(map[string]string{"reason": "load", "message": err.Error()})
			return
		}
		if i.w.Load != nil {
			code, _ := os.ReadFile(filepath.Join(i.dir, "fn", ask.Function, strconv.Itoa(ask.Version), m.Entry))
			i.w.Load(w, r, i, m, string(code))
			return
		}
		Loaded(w)
	}
}

// Loaded answers that a version loads.
func Loaded(w http.ResponseWriter) { w.Write([]byte(`{"model":"callback","parsed":true}`)) }

func (i *Instance) request(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Hearth-Function") == ".exercise" {
		i.Exercised.Add(1)
		if i.w.Holding != nil {
			select {
			case <-i.w.Holding:
			case <-r.Context().Done():
			}
		}
		return
	}
	version, _ := strconv.Atoi(r.Header.Get("Hearth-Version"))
	m, err := i.manifest(r.Header.Get("Hearth-Function"), version)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if i.w.Serve != nil {
		i.w.Serve(w, r, i, m)
		return
	}
	fmt.Fprintf(w, "%s/%s/%s/%d", m.Tenant, m.Container, m.Function, m.Version)
}

// manifest reads what the host wrote, and remembers whose it is.
func (i *Instance) manifest(function string, version int) (Manifest, error) {
	var m Manifest
	b, err := os.ReadFile(filepath.Join(i.dir, "fn", function, strconv.Itoa(version)+".json"))
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return m, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.containers[m.Tenant+"/"+m.Container] = true
	return m, nil
}

// Dir returns the folder that the instance sees as /fn.
func (i *Instance) Dir() string { return filepath.Join(i.dir, "fn") }

// Label returns the label.
func (i *Instance) Label() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.label
}

// Limits returns the limits in force.
func (i *Instance) Limits() wire.Limits {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.limits
}

// Containers returns whose code the instance has run, and Written whose lies in its folder.
func (i *Instance) Containers() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var all []string
	for c := range i.containers {
		all = append(all, c)
	}
	return all
}

// Kill ends the instance as a crash does, and tells.
func (i *Instance) Kill(oom bool) {
	if i.end() {
		i.w.exits <- wire.Exit{ID: i.ID, OOM: oom, Status: 137}
	}
}

func (i *Instance) end() bool {
	i.mu.Lock()
	dead := i.dead
	i.dead = true
	i.mu.Unlock()
	if dead {
		return false
	}
	for _, s := range i.servers {
		s.Close()
	}
	i.serving.Wait()
	os.RemoveAll(i.dir)
	i.w.mu.Lock()
	delete(i.w.live, i.ID)
	i.w.mu.Unlock()
	return true
}

// Destroy ends an instance; one that is gone already is no error.
func (w *Warden) Destroy(ctx context.Context, id string) error {
	if w.OnDestroy != nil {
		if err := w.OnDestroy(id); err != nil {
			return err
		}
	}
	if i := w.Get(id); i != nil {
		i.end()
	}
	return nil
}

// Label sets a label.
func (w *Warden) Label(ctx context.Context, id, label string) error {
	if w.OnLabel != nil {
		if err := w.OnLabel(id, label); err != nil {
			return err
		}
	}
	i := w.Get(id)
	if i == nil {
		return fmt.Errorf("label instance %s: there is none", id)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.label = label
	return nil
}

// Limit sets limits.
func (w *Warden) Limit(ctx context.Context, id string, l wire.Limits) error {
	i := w.Get(id)
	if i == nil {
		return fmt.Errorf("limit instance %s: there is none", id)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.limits = l
	return nil
}

// Adopt hands an instance over again.
func (w *Warden) Adopt(ctx context.Context, l wire.Listed) (*wire.Sandbox, error) {
	i := w.Get(l.ID)
	if i == nil {
		return nil, fmt.Errorf("adopt instance %s: there is none", l.ID)
	}
	return i.sandbox()
}

// List lists the live instances.
func (w *Warden) List() []wire.Listed {
	var all []wire.Listed
	for _, i := range w.Live() {
		all = append(all, wire.Listed{ID: i.ID, Runtime: i.Runtime, Label: i.Label()})
	}
	return all
}

// SetStats sets what Stats returns.
func (w *Warden) SetStats(s []wire.Stats) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats = s
}

// Stats returns what was set.
func (w *Warden) Stats(ctx context.Context) ([]wire.Stats, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats, nil
}

// Exits tells of kills.
func (w *Warden) Exits() <-chan wire.Exit { return w.exits }

// Starts returns how many starts were asked for.
func (w *Warden) Starts() int { return int(w.starts.Load()) }

// Get returns a live instance.
func (w *Warden) Get(id string) *Instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.live[id]
}

// Live returns the live instances.
func (w *Warden) Live() []*Instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*Instance
	for _, i := range w.live {
		all = append(all, i)
	}
	return all
}

// All returns all instances that ever were.
func (w *Warden) All() []*Instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*Instance(nil), w.log...)
}

// Assigned returns the live instances with a label.
func (w *Warden) Assigned() []*Instance {
	var all []*Instance
	for _, i := range w.Live() {
		if strings.TrimSpace(i.Label()) != "" {
			all = append(all, i)
		}
	}
	return all
}
