package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The freezer of cgroup v2, which a machine with v1 often has too, without controllers.
func TestFreezerOfVersion2(t *testing.T) {
	mount := ""
	for _, dir := range []string{cgroupMount, cgroupMount + "/unified"} {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			mount = dir
		}
	}
	if mount == "" {
		t.Skip("there is no cgroup v2 on this machine")
	}
	dir := filepath.Join(mount, fmt.Sprintf("hearth-test-freezer-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip("cgroup v2 cannot be written here: ", err)
	}
	t.Cleanup(func() {
		if err := removeCgroup(dir); err != nil {
			t.Error(err)
		}
	})
	cmd := exec.Command("/bin/sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill() // also where the test fails below; a frozen process takes it on v2
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, cmd.Process.Pid), 0); err != nil {
		t.Fatal(err)
	}
	f, err := openFreezer2(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	for range 2 {
		for _, frozen := range []bool{true, false} {
			begun := time.Now()
			if err := f.set(t.Context(), frozen); err != nil {
				t.Fatal(err)
			}
			t.Logf("frozen %t in %s", frozen, time.Since(begun))
			before := ticks(t, cmd.Process.Pid)
			time.Sleep(100 * time.Millisecond)
			if used := ticks(t, cmd.Process.Pid) - before; frozen && used > 0 {
				t.Errorf("a frozen process used %d ticks", used)
			}
		}
	}
	if err := f.set(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	if err := cmd.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
}

// ticks is the processor time of a process.
func ticks(t *testing.T, pid int) (n int64) {
	t.Helper()
	var user, system int64
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil {
		_, err = fmt.Sscanf(string(text), "%d (sh) %1s %d %d %d %d %d %d %d %d %d %d %d %d", new(int), new(string), new(int), new(int), new(int), new(int), new(int),
			new(int64), new(int64), new(int64), new(int64), new(int64), &user, &system)
	}
	if err != nil {
		t.Fatalf("read stat: %v: %s", err, text)
	}
	return user + system
}
