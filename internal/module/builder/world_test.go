//go:build !race

// The race detector makes unpacking 200 MB take a minute instead of seconds; `make test` runs these without.

package builder_test

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"hearth"
	"hearth/internal/module/builder"
	"hearth/internal/module/registry"
	"hearth/internal/sandbox"
	"hearth/internal/sandbox/image"
	initbin "hearth/internal/sandbox/init"
	"hearth/internal/warden/wire"
	driver "hearth/runtime/build"
)

// firstUID is a block that no hearth claims: warden.claimBlock takes them from below.
const firstUID = 1<<30 + 46<<26

// world is what the tests share: the image that packages are built in, that which they are used in, with
// a program in the shim's place that requires what it is asked to, and a package store.
type world struct {
	dir, store   string
	build, usual sandbox.Image
	maker        *sandbox.Maker

	mu    sync.Mutex
	boxes map[string]*sandbox.Sandbox
}

var (
	shared  *world
	lacking string // why there is none
)

const loader = `
require('http').createServer((req, res) => {
	let answer
	try { answer = require(decodeURIComponent(req.url))() } catch (err) { answer = err.stack }
	res.end(String(answer))
}).listen({ fd: 3 })`

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Geteuid() != 0 {
			lacking = "a sandbox needs root"
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "hearth-builder-test-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		shared = &world{dir: dir, store: filepath.Join(dir, "store"), boxes: map[string]*sandbox.Sandbox{}}
		if err := shared.make(); err != nil {
			fmt.Println(err)
			return 1
		}
		before, fds := leftovers()
		code := m.Run()
		if shared.maker != nil {
			if err := shared.maker.Close(); err != nil {
				fmt.Println(err)
				return 1
			}
		}
		// A connection that was kept when the tests began may be closed by now, so fewer descriptors are fine.
		if after, now := leftovers(); code == 0 && (after != before || now > fds) {
			fmt.Printf("left behind:\nbefore %s, %d descriptors\nafter  %s, %d descriptors\n", before, fds, after, now)
			return 1
		}
		return code
	}())
}

// leftovers counts what a sandbox may leave on the host.
func leftovers() (what string, descriptors int) {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	fds, _ := os.ReadDir("/proc/self/fd")
	kids, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	return fmt.Sprintf("mounts %d children %q", strings.Count(string(mounts), "hearth"), kids), len(fds)
}

func (w *world) make() error {
	ctx := context.Background()
	r, err := registry.Detect(ctx, registry.Sources{})
	if err != nil {
		lacking = "this machine names no npm registry: " + err.Error()
		return nil
	}
	defer r.Close()
	pid1, err := initbin.Bytes(runtime.GOARCH)
	if err != nil {
		return err
	}
	runc, err := filepath.Abs("../../../bin/runc")
	if err != nil {
		return err
	}
	if _, err := os.Stat(runc); err != nil {
		return fmt.Errorf("no pinned runc: run make build: %w", err)
	}
	for _, dir := range []string{"images", "root", "empty", "store", "store/p"} {
		if err := os.Mkdir(filepath.Join(w.dir, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(w.dir, 0o711); err != nil {
		return err
	}
	spec := image.Spec{Dir: filepath.Join(w.dir, "images"), Runtime: hearth.DefaultRuntime, Build: true, Shim: driver.Files, Init: pid1}
	fetch := func(p image.Package, to **os.File) error {
		f, err := os.CreateTemp(w.dir, "package-")
		if err != nil {
			return err
		}
		*to = f
		return r.Fetch(ctx, p.Name, p.Version, p.Integrity, f, nil)
	}
	packs, err := image.Missing(spec)
	if err != nil {
		return err
	}
	if err := fetch(packs[0], &spec.Package); err != nil {
		return err
	}
	defer spec.Package.Close()
	if err := fetch(packs[1], &spec.Npm); err != nil {
		return err
	}
	defer spec.Npm.Close()
	for _, build := range []bool{true, false} {
		img := &w.build
		spec.Build = build
		if !build {
			img, spec.Shim = &w.usual, fstest.MapFS{"main.js": {Data: []byte(loader)}}
		}
		made, err := image.Build(ctx, spec)
		if err != nil {
			return err
		}
		*img = sandbox.Image{Runtime: spec.Runtime, Rootfs: made.Path, Build: build}
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	w.maker, err = sandbox.New(sandbox.Config{Root: filepath.Join(w.dir, "root"), Runtime: runc, Packages: w.store, Empty: filepath.Join(w.dir, "empty"),
		Cgroup: "/hearth-test-" + filepath.Base(w.dir), FirstUID: firstUID, Ranges: 64, Env: []string{"HOME=/tmp"},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	return err
}

// StartBuild and Destroy stand for the warden, whose own part is to pass on.
func (w *world) StartBuild(ctx context.Context, _ string, l wire.Limits) (*wire.Sandbox, error) {
	s, err := w.maker.Start(ctx, w.build, sandbox.Limits(l))
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.boxes[s.ID] = s
	f := s.Files()
	return &wire.Sandbox{ID: s.ID, Stdout: f.Stdout, Stderr: f.Stderr, Code: f.Code, Requests: f.Requests, Control: f.Control, Registry: f.Registry}, nil
}

func (w *world) Destroy(ctx context.Context, id string) error {
	return w.sandbox(id).Destroy(ctx)
}

func (w *world) sandbox(id string) *sandbox.Sandbox {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.boxes[id]
}

// start makes a build sandbox that ends with the test, with a registry that serves what handler does.
func start(t *testing.T, handler http.Handler) *builder.Sandbox {
	t.Helper()
	if lacking != "" {
		t.Skip(lacking)
	}
	begun := time.Now()
	s, err := builder.Start(t.Context(), shared, hearth.DefaultRuntime)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %s", time.Since(begun).Round(time.Millisecond))
	server := &http.Server{Handler: handler}
	served := make(chan struct{})
	go func() { server.Serve(s.Registry()); close(served) }()
	t.Cleanup(func() {
		server.Close()
		<-served
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if _, err := shared.sandbox(s.ID).Stats(); err == nil {
			t.Error("the cgroup of a build is still there")
		}
	})
	return s
}

// shop is a registry of packuments, without the tarballs: a lock needs none.
type shop map[string]map[string]map[string]any // name → version → manifest

func (s shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	versions, ok := s[name]
	if !ok {
		w.Header().Set("content-type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"error":"Not found"}`)
		return
	}
	latest := ""
	all := map[string]any{}
	times := map[string]string{}
	for v, extra := range versions {
		sum := sha512.Sum512([]byte(name + v))
		m := map[string]any{"name": name, "version": v, "dist": map[string]string{
			"tarball":   "http://" + r.Host + "/" + name + "/-/" + name + "-" + v + ".tgz",
			"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}}
		for k, v := range extra {
			m[k] = v
		}
		all[v] = m
		times[v] = "2020-0" + v[:1] + "-01T00:00:00.000Z"
		latest = max(latest, v)
	}
	w.Header().Set("content-type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"name": name, "versions": all, "time": times, "dist-tags": map[string]string{"latest": latest}})
}

// folderOf makes a folder in the package store.
func folderOf(t *testing.T, name string, files map[string]string) {
	t.Helper()
	root := filepath.Join(shared.store, name)
	t.Cleanup(func() { os.RemoveAll(root) })
	for name, text := range files {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := fs.FileMode(0o444)
		if strings.HasPrefix(text, "#!") {
			mode = 0o555
		}
		if err := os.WriteFile(full, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
}
