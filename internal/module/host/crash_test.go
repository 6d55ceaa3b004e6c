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
	s, err := Open(Config{Dir: dir, KeyFile: dir + ".key", Limit: 160 << 10, Archives: a, Parallel: 1, Log: slog.New(slog.DiscardHandler)})
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

// Killed at any system call that changes the disk, the store opens again, whole, and does its work. The
// kill comes when the call is entered: before each change, so every state between two is met.
func TestCrashSweep(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace")
	}
	a := newArchives()
	trees := crashTrees(t, a)
	calls := []string{"renameat2,renameat,rename", "mkdirat", "linkat", "symlinkat", "openat", "unlinkat", "write", "fchmodat,fchmod", "fsync,syncfs"}
	step := 1
	if testing.Short() {
		step = 9
	}
	points, kept := 0, 0
	for _, call := range calls {
		skip := 1
		if call == "openat" || call == "write" { // most of them read, or are the runtime's
			skip = 3
		}
		for n := 1; ; n += step * skip {
			dir := filepath.Join(t.TempDir(), "packages")
			cmd := exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace="+call, "-e", "inject="+call+":signal=KILL:when="+fmt.Sprint(n), os.Args[0])
			cmd.Env = append(os.Environ(), crashDir+"="+dir, "GOMAXPROCS=2")
			out, err := cmd.CombinedOutput()
			if err == nil {
				break // it lived: there are fewer such calls
			}
			if cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				if strings.Contains(string(out), "ptrace") || strings.Contains(string(out), "PTRACE") {
					t.Skipf("strace may not trace: %s", out)
				}
				t.Fatalf("%s %d: %v: %s", call, n, err, out)
			}
			points++
			t.Run(fmt.Sprintf("%s-%d", call, n), func(t *testing.T) {
				w := openWorld(t, dir, a, 160<<10)
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
