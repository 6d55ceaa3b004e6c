package host

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hearth/internal/module/plan"
)

// The test binary is its own victim: with this variable it works on the store in that directory, until
// strace kills it in the middle of a system call.
const crashDir = "HEARTH_HOST_CRASH_DIR"

const crashLimit = 160 << 10 // one tree and a half

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := crashChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// crashTrees are two trees that share packages, of which the store has room for only one and a half.
func crashTrees(t testing.TB, a *archives) []*plan.Tree {
	w := &world{t: t, a: a}
	first := usual(w)
	big := one(w, 7, 30_000)
	return []*plan.Tree{first, big}
}

func crashChild(dir string) error {
	// Arguments of a goroutine's own, since the archives are made without a test.
	t := &testing.B{}
	a := newArchives()
	trees := crashTrees(t, a)
	s, err := Open(Config{Dir: dir, KeyFile: dir + ".key", Limit: crashLimit, Archives: a, Parallel: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	for _, tr := range trees {
		if _, err := s.Ensure(context.Background(), tr); err != nil {
			return err
		}
	}
	// Damage, and its healing.
	l, _ := s.Find(trees[1].Key)
	file := filepath.Join(dir, strings.TrimPrefix(l.Path, Mount+"/"), "one/index.js")
	if err := os.Chmod(file, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte("damage"), 0o600); err != nil {
		return err
	}
	if _, err := s.Verify(context.Background(), true); err != nil {
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	return s.Close()
}

// thorough asks for every point of the sweeps, which takes minutes: HEARTH_TEST_SWEEP=1.
func thorough() bool { return os.Getenv("HEARTH_TEST_SWEEP") != "" }

// Killed at any system call that changes the disk, the store opens again, whole, and does its work. The
// kill comes when a call is entered, the n-th of any one thread (so strace counts), for each n until the
// child lives.
func TestCrashSweep(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace")
	}
	a := newArchives()
	trees := crashTrees(t, a)
	step := 5
	if thorough() {
		step = 1
	}
	points, kept := 0, 0
	for _, sweep := range []struct {
		calls string
		fresh bool // the store's own folders are not there yet: 256 of them, so not each is tried
		step  int
	}{
		{"renameat2,renameat,rename", false, 1}, {"mkdirat", false, 1}, {"linkat", false, 1}, {"symlinkat", false, 1}, {"unlinkat", false, 1},
		{"openat", false, 4}, {"write", false, 3}, // most of them read, or are the runtime's
		{"fchmodat,fchmod", false, 1}, {"fsync,syncfs", false, 1}, {"mkdirat", true, 40}, {"renameat2,renameat,rename", true, 30},
	} {
		for n := 1; ; n += step * sweep.step {
			dir := filepath.Join(t.TempDir(), "packages")
			if !sweep.fresh {
				w := openWorld(t, dir, a, crashLimit)
				w.close()
				w.Store = nil
			}
			cmd := exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace="+sweep.calls, "-e", "inject="+sweep.calls+":signal=KILL:when="+fmt.Sprint(n), os.Args[0])
			cmd.Env = append(os.Environ(), crashDir+"="+dir, "GOMAXPROCS=1")
			out, err := cmd.CombinedOutput()
			if err == nil {
				break // it lived: there are fewer such calls
			}
			if cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				if strings.Contains(strings.ToLower(string(out)), "ptrace") {
					t.Skipf("strace may not trace: %s", out)
				}
				t.Fatalf("%s %d: %v: %s", sweep.calls, n, err, out)
			}
			points++
			t.Run(fmt.Sprintf("%s-%d", sweep.calls, n), func(t *testing.T) {
				w := openWorld(t, dir, a, crashLimit)
				checkAfterCrash(w)
				if w.Usage().Trees > 0 {
					kept++
				}
				for _, tr := range trees {
					w.ensure(tr)
				}
				w.whole()
			})
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("killed at %d points; after %d of them a tree was there", points, kept)
	if points < 100/step {
		t.Errorf("only %d points: the test tests nothing", points)
	}
}

// checkAfterCrash is whole, but for a file that the child had damaged on purpose and not healed yet.
func checkAfterCrash(w *world) {
	w.t.Helper()
	r, err := w.Verify(context.Background(), true)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range r.Damaged {
		if !strings.HasSuffix(d.Path, "index.js") || !d.Healed {
			w.t.Errorf("damaged: %+v", d)
		}
	}
	w.whole()
}
