package lock

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"hearth/internal/module/builder"
	"hearth/internal/module/registry"
	"hearth/internal/module/registry/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// box is a Sandbox whose npm is the machine's, in a network namespace of its own: what it reaches is
// the listener in there and nothing else. The files of the machine it could read; that this cannot
// happen in a build sandbox is shown where those are made.
type box struct {
	t        *testing.T
	listener net.Listener
	control  net.Listener
	server   *http.Server
	jobs     chan func() // run by the thread that is in the namespace
	done     sync.WaitGroup
	open     sync.WaitGroup // connections
	once     sync.Once
	answer   http.HandlerFunc // instead of npm

	*builder.Driver
}

func newBox(t *testing.T) *box {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a network namespace takes root")
	}
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed")
	}
	b := &box{t: t, jobs: make(chan func())}
	ready := make(chan error)
	b.done.Go(func() {
		// Never unlocked: the thread ends with the goroutine, and its namespace with its last process.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = loopback()
		}
		if err == nil {
			b.listener, err = net.Listen("tcp", strings.TrimPrefix(registry.SandboxOrigin, "http://"))
		}
		ready <- err
		for job := range b.jobs {
			job()
		}
	})
	if err := <-ready; err != nil {
		close(b.jobs)
		t.Fatal(err)
	}
	var err error
	if b.control, err = net.Listen("unix", filepath.Join(t.TempDir(), "control")); err != nil {
		t.Fatal(err)
	}
	b.Driver = builder.NewDriver("box", func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", b.control.Addr().String())
	})
	b.server = &http.Server{Handler: http.HandlerFunc(b.serve), ReadHeaderTimeout: time.Minute, ConnState: func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			b.open.Add(1)
		case http.StateClosed:
			b.open.Done()
		}
	}}
	b.done.Go(func() { _ = b.server.Serve(b.control) })
	t.Cleanup(func() { b.Close(context.Background()) })
	return b
}

func loopback() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

func (b *box) Registry() net.Listener { return b.listener }

func (b *box) Close(context.Context) error {
	b.once.Do(func() {
		b.server.Close()
		b.open.Wait()
		b.listener.Close()
		close(b.jobs)
		b.done.Wait()
	})
	return nil
}

// serve is the driver's part, spoken by the npm of this machine.
func (b *box) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body) // net/http sees that a client went only behind its body
	if err != nil {
		b.t.Error(err)
		return
	}
	if b.answer != nil {
		b.answer(w, r)
		return
	}
	var doc struct{ Package, Lock json.RawMessage }
	if err := json.Unmarshal(body, &doc); err != nil {
		b.t.Error(err)
		return
	}
	dir := b.t.TempDir()
	write := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			b.t.Error(err)
		}
	}
	write("package.json", doc.Package)
	if doc.Lock != nil {
		write("package-lock.json", doc.Lock)
	}
	cmd := exec.CommandContext(r.Context(), "npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier",
		"--registry="+registry.SandboxOrigin, "--fetch-retries=0", "--logs-max=0", "--loglevel=silent", "--json")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "npm_config_cache=" + filepath.Join(dir, "cache"), "npm_config_userconfig=/dev/null"}
	var out strings.Builder
	cmd.Stdout = &out
	cmd.WaitDelay = time.Second
	started := make(chan error)
	b.jobs <- func() { started <- cmd.Start() } // a process is in the namespace of the thread that made it
	if err = <-started; err == nil {
		err = cmd.Wait()
	}
	if r.Context().Err() != nil {
		return
	}
	if err != nil {
		var said struct {
			Error struct{ Code, Summary, Detail string }
		}
		if err := json.Unmarshal([]byte(out.String()), &said); err != nil {
			b.t.Logf("npm: %v: %s", err, out.String())
		}
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(w).Encode(map[string]string{"code": said.Error.Code, "message": said.Error.Summary + "\n" + said.Error.Detail})
		return
	}
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		b.t.Error(err)
	}
	_ = json.NewEncoder(w).Encode(map[string]json.RawMessage{"lock": lock})
}

// room is what a test resolves in: a registry, and boxes.
type room struct {
	t      *testing.T
	server *registrytest.Registry
	o      Options
}

func newRoom(t *testing.T) *room {
	t.Helper()
	server := registrytest.New(t)
	r := &room{t: t, server: server}
	def := client(t, server.URL())
	// Time is far above what any case takes on a machine that has nothing else to do.
	r.o = Options{Time: 5 * time.Minute, Registries: &registry.Registries{Default: def}, Log: slog.New(slog.DiscardHandler), Open: func(context.Context) (Sandbox, error) { return newBox(t), nil }}
	return r
}

func client(t *testing.T, raw string) *registry.Registry {
	t.Helper()
	access, err := json.Marshal(map[string]string{"url": raw})
	if err != nil {
		t.Fatal(err)
	}
	def, err := registry.Open(access)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := registry.OpenCache(filepath.Join(t.TempDir(), "registry"), 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	out, err := def.With(registry.Options{Cache: cache, Header: 10 * time.Second, Stall: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.Close)
	return out
}

// lock is what a test reads of a Result.
type lock map[string]struct {
	Name, Version, Resolved, Integrity string

	Dependencies           map[string]string
	Optional, Peer, Bundle bool
	InBundle               bool
	HasInstallScript       bool
}

func (r *room) resolve(req Request) (lock, *Result, error) {
	r.t.Helper()
	res, err := Resolve(r.t.Context(), req, r.o)
	if err != nil {
		return nil, nil, err
	}
	var doc struct {
		LockfileVersion int
		Packages        lock
	}
	if err := json.Unmarshal(res.Lock, &doc); err != nil || doc.LockfileVersion != 3 {
		r.t.Fatalf("lock %.300s: %v", res.Lock, err)
	}
	return doc.Packages, res, nil
}

// want resolves and compares the packages, as "path version".
func (r *room) want(req Request, want ...string) lock {
	r.t.Helper()
	got, _, err := r.resolve(req)
	if err != nil {
		r.t.Fatalf("Resolve: %v", err)
	}
	var list []string
	for at, e := range got {
		if at != "" {
			list = append(list, strings.TrimPrefix(at, "node_modules/")+" "+e.Version)
		}
	}
	if !sameSet(list, want) {
		r.t.Fatalf("packages %q, want %q", list, want)
	}
	return got
}

func sameSet(a, b []string) bool {
	count := map[string]int{}
	for _, s := range a {
		count[s]++
	}
	for _, s := range b {
		count[s]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// refused resolves and returns the words.
func (r *room) refused(req Request, code string, words ...string) string {
	r.t.Helper()
	_, _, err := r.resolve(req)
	e, ok := err.(*Error)
	if !ok || e.Code != code || e.Failure.Reason != Reason {
		r.t.Fatalf("Resolve: %v, want code %s", err, code)
	}
	for _, w := range words {
		if !strings.Contains(e.Failure.Message, w) {
			r.t.Errorf("%q has no %q", e.Failure.Message, w)
		}
	}
	for _, secret := range []string{"127.0.0.1", "/tmp", "_logs", "\x1b", "--force", r.server.Host()} {
		if strings.Contains(e.Failure.Message, secret) {
			r.t.Errorf("%q says %s", e.Failure.Message, secret)
		}
	}
	return e.Failure.Message
}

func deps(pairs ...string) map[string]string {
	m := map[string]string{}
	for _, p := range pairs {
		name, spec := cutName(p)
		m[name] = spec
	}
	return m
}
