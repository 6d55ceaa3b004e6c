package sandbox_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/sandbox"
)

// firstUID is a block that no hearth claims: warden.claimBlock takes them from below.
const firstUID = 1<<30 + 47<<26

var usual = sandbox.Limits{MemoryMiB: 64, MilliCPUs: 1000, Pids: 64, TmpMiB: 8}

// world is what the tests of this package share: a root file system with a probe in Node.js's place.
type world struct {
	dir, rootfs, runc string
}

var shared world

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Geteuid() != 0 {
			fmt.Println("skip: the sandbox needs root")
			return 0
		}
		dir, err := os.MkdirTemp("/run", "hearth-sandbox-test-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o711); err != nil {
			panic(err)
		}
		if err := shared.make(dir); err != nil {
			fmt.Println(err)
			return 1
		}
		before := leftovers()
		code := m.Run()
		if after := leftovers(); code == 0 && after != before {
			fmt.Printf("left behind:\nbefore %s\nafter  %s\n", before, after)
			return 1
		}
		return code
	}())
}

func (w *world) make(dir string) error {
	w.dir, w.rootfs = dir, filepath.Join(dir, "rootfs")
	var err error
	if w.runc, err = filepath.Abs("../../bin/runc"); err != nil {
		return err
	}
	if _, err := os.Stat(w.runc); err != nil {
		return fmt.Errorf("no pinned runc: run make build: %w", err)
	}
	for _, d := range []string{"bin", "hearth/shim", "packages", "work", "proc", "dev", "tmp", "fn", "etc", "sys"} {
		if err := os.MkdirAll(filepath.Join(w.rootfs, d), 0o755); err != nil {
			return err
		}
	}
	for out, pkg := range map[string]string{"bin/node": "./testdata/probe", "hearth/init": "./init/pid1"} {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(w.rootfs, out), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", pkg, err, text)
		}
	}
	return nil
}

// leftovers counts what an instance may leave on the host.
func leftovers() string {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	cgroups, _ := filepath.Glob("/sys/fs/cgroup/*/hearth-test-*")
	fds, _ := os.ReadDir("/proc/self/fd")
	kids, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	return fmt.Sprintf("mounts %d cgroups %d fds %d children %q", strings.Count(string(mounts), "hearth"), len(cgroups), len(fds), kids)
}

func newMaker(t *testing.T, change func(*sandbox.Config)) *sandbox.Maker {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	root, err := os.MkdirTemp(shared.dir, "root-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o711); err != nil {
		t.Fatal(err)
	}
	cfg := sandbox.Config{Root: root, Runtime: shared.runc, Cgroup: "/hearth-test-" + filepath.Base(root),
		FirstUID: firstUID, Ranges: 64, UID: 0, GID: 0, Env: []string{"HOME=/tmp"}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if change != nil {
		change(&cfg)
	}
	m, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func start(t *testing.T, m *sandbox.Maker, l sandbox.Limits) *sandbox.Sandbox {
	t.Helper()
	s, err := m.Start(t.Context(), sandbox.Image{Runtime: "probe", Rootfs: shared.rootfs}, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Destroy(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask sends one question to the probe; an instance that ends while answering gives "".
func ask(t *testing.T, s *sandbox.Sandbox, question string) string {
	t.Helper()
	c, err := net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d", s.Files().Requests.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "%s\n", question)
	line, _ := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line)
}

func TestInstanceHasNoPower(t *testing.T) {
	s := start(t, newMaker(t, nil), usual)
	status := ask(t, s, "read /proc/self/status")
	for _, want := range []string{"Uid:\t1000\t1000\t1000\t1000", "Gid:\t1000\t1000\t1000\t1000", "CapInh:\t0000000000000000",
		"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000",
		"NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, want) {
			t.Errorf("status of the instance lacks %q: %s", want, status)
		}
	}
	for question, want := range map[string]string{
		"write /x":                      "error: open /x: read-only file system",
		"write /fn/x":                   "error: open /fn/x: read-only file system",
		"write /tmp/x":                  "ok",
		"exec":                          "true",
		"mount":                         "operation not permitted, operation not permitted",
		"ioctl":                         "operation not permitted, operation not permitted",
		"list /sys/*":                   "",
		"read /proc/kallsyms":           "",
		"read /proc/sys/kernel/ostype":  "Linux",
		"write /proc/sys/kernel/ostype": "error: open /proc/sys/kernel/ostype: read-only file system",
		"env":                           "HOME=/tmp",
		"read /proc/1/cgroup":           "",
		"size /tmp":                     "8",
		"size /dev/shm":                 "16",
	} {
		got := ask(t, s, question)
		if question == "read /proc/1/cgroup" {
			if strings.Contains(got, "hearth") {
				t.Errorf("%s shows a name of the host: %s", question, got)
			}
			continue
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", question, got, want)
		}
	}
	if devices := ask(t, s, "list /dev/*"); devices != "/dev/core|/dev/fd|/dev/full|/dev/mqueue|/dev/null|/dev/ptmx|/dev/pts|/dev/random|/dev/shm|/dev/stderr|/dev/stdin|/dev/stdout|/dev/tty|/dev/urandom|/dev/zero" {
		t.Logf("devices: %s", devices)
		for _, d := range strings.Split(devices, "|") {
			switch filepath.Base(d) {
			case "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero":
			default:
				t.Errorf("unknown device %s", d)
			}
		}
	}
	if sockets := ask(t, s, "read /proc/net/unix"); strings.Contains(sockets, "/run") || !strings.Contains(sockets, " requests") {
		t.Errorf("/proc/net/unix shows a path of the host, or not the listener: %s", sockets)
	}
	if mounts := ask(t, s, "read /proc/self/mountinfo"); strings.Contains(mounts, s.ID+"/code ") {
		t.Logf("mountinfo shows the id: %s", mounts)
	}
}

// TestB02_OnlyKnownDescriptors: what the instance inherits is its pipes and its two listeners.
func TestB02_OnlyKnownDescriptors(t *testing.T) {
	s := start(t, newMaker(t, nil), usual)
	for _, fd := range strings.Split(ask(t, s, "fds"), "|") {
		n, to, _ := strings.Cut(fd, "=")
		switch {
		case n == "0" && to == "/dev/null", n == "1" && strings.HasPrefix(to, "pipe:"), n == "2" && strings.HasPrefix(to, "pipe:"):
		case strings.HasPrefix(to, "socket:"), strings.HasPrefix(to, "anon_inode:[event"), strings.HasPrefix(to, "/proc/"):
		case strings.HasSuffix(to, "/cpu.max"), strings.Contains(to, "/sys/fs/cgroup"): // Go's own since 1.25
		default:
			t.Errorf("descriptor %s", fd)
		}
	}
}

func TestDestroyEndsDaemons(t *testing.T) {
	s := start(t, newMaker(t, nil), usual)
	if got := ask(t, s, "daemon"); got != "<nil>" {
		t.Fatalf("daemon: %s", got)
	}
	st, err := s.Stats()
	if err != nil || st.Pids < 3 || st.MemoryBytes == 0 || st.CPUNanos == 0 {
		t.Errorf("stats %+v, %v; want at least init, probe and daemon", st, err)
	}
	begun := time.Now()
	if err := s.Destroy(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Logf("destroyed in %s", time.Since(begun))
	if _, err := s.Stats(); err == nil {
		t.Error("the cgroup of a destroyed instance is still there")
	}
	if err := s.Destroy(context.Background()); err != nil {
		t.Errorf("second destroy: %v", err)
	}
}

func TestExitIsSeen(t *testing.T) {
	s := start(t, newMaker(t, nil), usual)
	ask(t, s, "exit")
	<-s.Done()
	if status, oom := s.Exit(); status != 7 || oom {
		t.Errorf("exit %d, oom %v; want 7, false", status, oom)
	}
}

func TestE02_OutOfMemoryEndsTheInstanceOnly(t *testing.T) {
	m := newMaker(t, nil)
	s, other := start(t, m, usual), start(t, m, usual)
	ask(t, s, "eat")
	select {
	case <-s.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("an instance over its memory limit lives on")
	}
	if status, oom := s.Exit(); !oom {
		t.Errorf("exit %d without oom", status)
	}
	if got := ask(t, other, "size /tmp"); got != "8" {
		t.Errorf("the neighbour answers %q", got)
	}
}

func TestLimitOfARunningInstance(t *testing.T) {
	s := start(t, newMaker(t, nil), usual)
	if err := s.Limit(sandbox.Limits{MemoryMiB: 128, MilliCPUs: 500, Pids: 32, TmpMiB: 16}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, s, "size /tmp"); got != "16" {
		t.Errorf("/tmp has %s MiB, want 16", got)
	}
}

// What nobody waits for yet gives way to what somebody waits for.
func TestPromote(t *testing.T) {
	maker := newMaker(t, nil)
	s := start(t, maker, usual)
	weight := func() string {
		t.Helper()
		for _, glob := range []string{"/sys/fs/cgroup/cpu/*/" + s.ID + "/cpu.shares", "/sys/fs/cgroup/*/" + s.ID + "/cpu.weight"} {
			if files, _ := filepath.Glob(glob); len(files) == 1 {
				text, err := os.ReadFile(files[0])
				if err != nil {
					t.Fatal(err)
				}
				return strings.TrimSpace(string(text))
			}
		}
		t.Fatal("the instance has no weight")
		return ""
	}
	if got := weight(); got != "128" && got != "5" {
		t.Errorf("a new instance weighs %s, want 128 shares or weight 5", got)
	}
	for range 2 {
		if err := s.Promote(); err != nil {
			t.Fatal(err)
		}
	}
	if got := weight(); got != "1024" && got != "39" {
		t.Errorf("a promoted instance weighs %s, want 1024 shares or weight 39", got)
	}
}

// TestHostDies: an instance ends when nobody reads its pipes any more, which is what the death of
// both processes of a hearth looks like.
func TestHostDies(t *testing.T) {
	s := start(t, newMaker(t, nil), usual)
	ask(t, s, "size /tmp")
	s.Files().Stdout.Close()
	s.Files().Stderr.Close()
	select {
	case <-s.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the instance outlives its host")
	}
}

// TestStartUndoes: a start that fails at any step leaves nothing, which leftovers() checks at the end.
func TestStartUndoes(t *testing.T) {
	image := sandbox.Image{Runtime: "probe", Rootfs: shared.rootfs}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		change func(*sandbox.Config)
		ctx    context.Context
		image  sandbox.Image
		limits sandbox.Limits
		want   string
	}{
		"no uids":     {func(c *sandbox.Config) { c.Ranges = 0 }, t.Context(), image, usual, "every range of host uids is in use"},
		"bad tmpfs":   {nil, t.Context(), image, sandbox.Limits{MemoryMiB: 64, MilliCPUs: 1000, Pids: 64, TmpMiB: -1}, "mount tmpfs tmp"},
		"no runtime":  {func(c *sandbox.Config) { c.Runtime = "/nonexistent/runc" }, t.Context(), image, usual, "no such file"},
		"broken":      {func(c *sandbox.Config) { c.Runtime = "/bin/false" }, t.Context(), image, usual, "exit status 1"},
		"no rootfs":   {nil, t.Context(), sandbox.Image{Rootfs: "/nonexistent"}, usual, "run container"},
		"no init":     {nil, t.Context(), sandbox.Image{Rootfs: shared.dir}, usual, "run container"},
		"gave up":     {nil, cancelled, image, usual, "context canceled"},
		"tiny memory": {nil, t.Context(), image, sandbox.Limits{MemoryMiB: 1, MilliCPUs: 1000, Pids: 64, TmpMiB: 1}, "run container"},
	} {
		t.Run(name, func(t *testing.T) {
			before := leftovers()
			t.Cleanup(func() { // after the Maker's own
				if after := leftovers(); after != before {
					t.Errorf("left behind: before %s, after %s", before, after)
				}
			})
			m := newMaker(t, c.change)
			s, err := m.Start(c.ctx, c.image, c.limits)
			if err == nil {
				s.Destroy(context.Background())
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, want %q in it", err, c.want)
			}
		})
	}
}

func TestManyAtOnce(t *testing.T) {
	m := newMaker(t, nil)
	var wg sync.WaitGroup
	ids, uids := sync.Map{}, sync.Map{}
	for range max(2, runtime.NumCPU()) {
		wg.Go(func() {
			for range 5 {
				s, err := m.Start(t.Context(), sandbox.Image{Runtime: "probe", Rootfs: shared.rootfs}, usual)
				if err != nil {
					t.Error(err)
					return
				}
				if _, seen := ids.LoadOrStore(s.ID, true); seen {
					t.Errorf("id %s was used twice", s.ID)
				}
				uid := strings.Fields(ask(t, s, "read /proc/self/uid_map"))[1]
				if _, inUse := uids.LoadOrStore(uid, true); inUse {
					t.Errorf("uid %s belongs to two live instances", uid)
				}
				uids.Delete(uid)
				if err := s.Destroy(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
