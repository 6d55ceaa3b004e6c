package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hearth"
)

// faultDir makes TestFaultChild work on the store in that directory while strace lets one of its system
// calls fail.
const faultDir = "HEARTH_HOST_FAULT_DIR"

func TestFaultChild(t *testing.T) {
	dir := os.Getenv(faultDir)
	if dir == "" {
		t.Skip("is run by TestFaultSweep")
	}
	a := newArchives()
	trees := crashTrees(t, a)
	w := openWorld(t, dir, a, 1<<30)
	for _, tr := range trees {
		w.Hold(tr.Key)
		for try := 0; ; try++ {
			_, err := w.Ensure(t.Context(), tr)
			if err == nil {
				break
			}
			var known *hearth.Error
			if !errors.As(err, &known) || known.Code != hearth.CodeNoSpace && known.Code != hearth.CodeUnavailable || known.Message == "" {
				t.Fatalf("Ensure: %v", err)
			}
			fmt.Println("refused:", known.Code)
			w.whole()
			if try == 30 {
				t.Fatal("it never works again")
			}
		}
	}
	w.whole()
}

// Whichever system call fails for want of space or by a broken disk, the error says so, what there is
// stays whole, and the next try works.
func TestFaultSweep(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace")
	}
	points, refused := 0, 0
	for _, call := range []string{"mkdirat", "linkat", "symlinkat", "renameat,renameat2", "write", "syncfs,fsync"} {
		for _, fault := range []string{"ENOSPC", "EIO"} {
			for i, n := range []int{1, 2, 3, 5, 8, 13, 21, 34} {
				if i%3 != 2 && (!thorough() || fault == "EIO") {
					continue
				}
				dir := filepath.Join(t.TempDir(), "packages")
				w := openWorld(t, dir, newArchives(), 1<<30)
				w.close()
				w.Store = nil
				inject := fmt.Sprintf("inject=%s:error=%s:when=%d", call, fault, n)
				cmd := exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace="+call, "-e", inject,
					os.Args[0], "-test.run=^TestFaultChild$", "-test.timeout=60s")
				cmd.Env = append(os.Environ(), faultDir+"="+dir)
				out, err := cmd.CombinedOutput()
				if err != nil && strings.Contains(strings.ToLower(string(out)), "ptrace") {
					t.Skipf("strace may not trace: %s", out)
				}
				if err != nil && strings.Contains(string(out), "open package store") || call == "write" && !strings.Contains(string(out), "PASS") && !strings.Contains(string(out), "FAIL") {
					continue // the fault met Open, which has nothing to keep yet, or the words of the test itself
				}
				if err != nil {
					t.Errorf("%s: %v: %.2000s", inject, err, out)
				}
				points++
				if strings.Contains(string(out), "refused:") {
					refused++
				}
			}
		}
	}
	t.Logf("%d faults, of which %d refused a tree", points, refused)
	if refused == 0 {
		t.Error("no fault met an Ensure: the test tests nothing")
	}
}

// What the disk says becomes what a person can act on.
func TestWordsOfTheDisk(t *testing.T) {
	t.Parallel()
	for errno, want := range map[syscall.Errno]hearth.Code{syscall.ENOSPC: hearth.CodeNoSpace, syscall.EDQUOT: hearth.CodeNoSpace,
		syscall.EIO: hearth.CodeUnavailable, syscall.EROFS: hearth.CodeUnavailable, syscall.EACCES: hearth.CodeInternal} {
		err := explain("link", fmt.Errorf("make folder: %w", &os.PathError{Op: "mkdir", Path: "/secret/path", Err: errno}))
		if got := hearth.CodeOf(err); got != want || !errors.Is(err, errno) {
			t.Errorf("%v: %v (%s)", errno, err, got)
		}
		var known *hearth.Error
		if errors.As(err, &known) && strings.Contains(known.Message, "secret") {
			t.Errorf("%v tells a path: %s", errno, known.Message)
		}
	}
}
