package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hearth/e2e/harness"
)

// counter is a function that remembers how often it was called, and in which process.
const counter = `let n = 0; const id = Math.random(); module.exports = cb => cb(null, {n: ++n, id})`

// The node process has no uid 0, no gid 0, no capability and no way to get one; nor has any thread.
func TestNodeProcessHasNoPower(t *testing.T) {
	t.Parallel()
	n := shared(t)
	n.Deploy("power", "c", "f", counter)
	var wg sync.WaitGroup
	for range 16 { // threads for all that it does under load
		wg.Go(func() { n.Call("power", "c", "f") })
	}
	wg.Wait()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", n.NodePID()))
	if len(tasks) < 4 {
		t.Fatalf("%d threads, too few to believe", len(tasks))
	}
	for _, name := range append(tasks, fmt.Sprintf("/proc/%d", n.NodePID())) {
		status := procStatus(t, name)
		for _, field := range []string{"Uid", "Gid"} {
			ids := strings.Fields(status[field])
			if len(ids) != 4 || slices.Contains(ids, "0") {
				t.Errorf("%s: %s is %q", name, field, status[field])
			}
		}
		if slices.Contains(strings.Fields(status["Groups"]), "0") {
			t.Errorf("%s: Groups are %q", name, status["Groups"])
		}
		for _, field := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
			if status[field] != "0000000000000000" {
				t.Errorf("%s: %s is %q", name, field, status[field])
			}
		}
		if status["NoNewPrivs"] != "1" {
			t.Errorf("%s: NoNewPrivs is %q", name, status["NoNewPrivs"])
		}
	}
}

func procStatus(t *testing.T, proc string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(proc + "/status")
	if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, os.ErrNotExist) { // a thread may end
		t.Fatal(err)
	}
	fields := map[string]string{"Uid": "1 1 1 1", "Gid": "1 1 1 1", "NoNewPrivs": "1"}
	for _, c := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		fields[c] = "0000000000000000"
	}
	if err != nil {
		return fields
	}
	clear(fields)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}

func TestProcessNamesAndPidFiles(t *testing.T) {
	t.Parallel()
	n := shared(t)
	for file, want := range map[string]struct {
		pid  int
		name string
	}{"hearth.pid": {n.WardenPID(), "hearth"}, "node.pid": {n.NodePID(), "hearth-node"}} {
		text, err := os.ReadFile(filepath.Join(n.RunDir, file))
		if pid, _ := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || pid != want.pid || pid == 0 {
			t.Errorf("%s holds %q (%v), want %d", file, text, err, want.pid)
		}
		if name := procStatus(t, fmt.Sprintf("/proc/%d", want.pid))["Name"]; name != want.name {
			t.Errorf("the process of %s is named %q, want %q", file, name, want.name)
		}
	}
}

func TestDataFolderOwners(t *testing.T) {
	t.Parallel()
	n := shared(t)
	status := procStatus(t, fmt.Sprintf("/proc/%d", n.NodePID()))
	node, _ := strconv.Atoi(strings.Fields(status["Uid"])[0])
	for name, want := range map[string]struct {
		uid  int
		mode uint32
	}{".": {0, 0o711}, "node": {node, 0o700}, "images": {0, 0o755}, "admin.token": {0, 0o600}, "keeper.key": {0, 0o600}, "node/hearth.db": {node, 0o600}} {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(n.DataDir, name), &st); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if int(st.Uid) != want.uid || st.Mode&0o7777 != want.mode {
			t.Errorf("%s: uid %d, mode %o; want %d, %o", name, st.Uid, st.Mode&0o7777, want.uid, want.mode)
		}
	}
	// Nothing that root runs or reads as its own may be written by the node process.
	err := filepath.Walk(filepath.Join(n.DataDir, "images"), func(name string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return err
		}
		if st.Uid != 0 || st.Mode&unix.S_IFMT != unix.S_IFLNK && st.Mode&0o022 != 0 {
			t.Errorf("%s: uid %d, mode %o", name, st.Uid, st.Mode)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Binary, data and run folder may all be below folders of mode 0700. Data and run folder always are,
// since the harness makes them so.
func TestServesFromClosedFolder(t *testing.T) {
	dir, err := os.MkdirTemp("", "hearth-closed-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{"hearth", "runc"} {
		from := filepath.Join(filepath.Dir(harness.Binary(t)), name)
		if out, err := exec.Command("cp", from, dir).CombinedOutput(); err != nil {
			t.Fatalf("copy: %s", out)
		}
	}
	n := harness.New(t, "--pool", "1")
	n.Program(filepath.Join(dir, "hearth"))
	n.Start()
	n.WaitReady()
	n.Deploy("t", "c", "f", counter)
	if a := n.Call("t", "c", "f"); a.Status != 200 {
		t.Errorf("call: %d %v %s", a.Status, a.Err, a.Body)
	}
}

func TestTwoHearthsSideBySide(t *testing.T) {
	first := shared(t)
	first.Deploy("side", "c", "f", `module.exports = cb => cb(null, 'first')`)
	second := harness.Start(t, "--pool", "1")
	second.Deploy("side", "c", "f", `module.exports = cb => cb(null, 'second')`)
	if first.Block() == second.Block() || first.Block() < 0 || second.Block() < 0 {
		t.Errorf("blocks %d and %d", first.Block(), second.Block())
	}
	for range 3 {
		for n, want := range map[*harness.Node]string{first: "first", second: "second"} {
			if a := n.Call("side", "c", "f"); a.Text() != want {
				t.Errorf("%s answered %d %q", want, a.Status, a.Body)
			}
		}
	}
	before := first.Call("side", "c", "f").Header.Get("hearth-start")
	second.Stop()
	if a := first.Call("side", "c", "f"); a.Text() != "first" || a.Header.Get("hearth-start") != "warm" {
		t.Errorf("after the other's end: %d %q, start %s (was %s)", a.Status, a.Body, a.Header.Get("hearth-start"), before)
	}
}

func TestSecondHearthOnOneDataFolderRefuses(t *testing.T) {
	t.Parallel()
	n := shared(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	begun := time.Now()
	cmd := exec.CommandContext(ctx, harness.Binary(t), "serve", "--data-dir", n.DataDir, "--run-dir", t.TempDir(), "--listen", "127.0.0.1:0")
	out, err := cmd.CombinedOutput()
	took := time.Since(begun)
	t.Logf("after %s: %s", took, out)
	if err == nil || !strings.Contains(string(out), "another hearth uses the data directory "+n.DataDir) {
		t.Errorf("ended with %v and said %q", err, out)
	}
	if took < 4*time.Second || took > 9*time.Second {
		t.Errorf("refused after %s, want about 5s", took)
	}
	if a := n.Do(ctx, "GET", "/readyz", nil); a.Status != 200 {
		t.Errorf("the first one now says %d %v", a.Status, a.Err)
	}
}

// kill -9 of the node process: no connection is refused, assigned instances go on with their memory,
// and what was nobody's is gone.
func TestNodeProcessKilled(t *testing.T) {
	n := harness.Start(t, "--pool", "2")
	n.Deploy("t", "one", "f", counter)
	n.Deploy("t", "two", "f", counter)
	var ids [2]any
	for i, c := range []string{"one", "two"} {
		ids[i] = n.Call("t", c, "f").JSON()["id"]
	}
	address := strings.TrimPrefix(n.URL, "http://")
	calls := 1
	for round := range 3 {
		waitPool(t, n, 4)
		before := n.Instances()
		pid := n.NodePID()
		stop := make(chan struct{})
		var refused, dialed atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Millisecond):
				}
				conn, err := net.DialTimeout("tcp", address, 5*time.Second)
				dialed.Add(1)
				if err != nil {
					refused.Add(1)
					continue
				}
				conn.Close()
			}
		})
		unix.Kill(pid, unix.SIGKILL)
		calls++
		killed := time.Now()
		for i, c := range []string{"one", "two"} {
			var a harness.Answer
			for a = n.Call("t", c, "f"); a.Err != nil && time.Since(killed) < 10*time.Second; a = n.Call("t", c, "f") {
				// What was sent to the dead process may be lost, on connections kept alive: not a new one.
				time.Sleep(10 * time.Millisecond)
			}
			if a.JSON()["id"] != ids[i] || a.JSON()["n"] != float64(calls) || a.Header.Get("hearth-start") != "warm" {
				t.Errorf("round %d, %s: %d %v %s, start %s; want call %d of process %v", round, c, a.Status, a.Err, a.Body, a.Header.Get("hearth-start"), calls, ids[i])
			}
		}
		t.Logf("round %d: first answers %s after the kill", round, time.Since(killed))
		close(stop)
		wg.Wait()
		if refused.Load() > 0 || dialed.Load() == 0 {
			t.Errorf("round %d: %d of %d connections refused", round, refused.Load(), dialed.Load())
		}
		if n.NodePID() == pid {
			t.Errorf("node.pid is still %d", pid)
		}
		n.WaitReady()
		waitPool(t, n, 4)
		kept := 0
		for _, i := range n.Instances() {
			if slices.Contains(before, i) {
				kept++
			}
		}
		if kept != 2 {
			t.Errorf("round %d: %d instances were kept, want the 2 assigned ones; before %v, now %v", round, kept, before, n.Instances())
		}
	}
}

// waitPool waits until so many instances are up in all.
func waitPool(t *testing.T, n *harness.Node, want int) {
	t.Helper()
	harness.WaitFor(t, fmt.Sprintf("%d instances", want), 20*time.Second, func() bool { return len(n.Instances()) == want })
}

// kill -9 of the warden: everything dies with it, and the next start removes what cannot die.
func TestWardenKilled(t *testing.T) {
	n := harness.Start(t, "--pool", "2")
	// A function with processes of its own, in a session of their own.
	n.Deploy("t", "c", "f", `const {spawn} = require('child_process');
		for (let i = 0; i < 3; i++) spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], {detached: true, stdio: 'ignore'}).unref();
		module.exports = cb => cb(null, 'here')`)
	if a := n.Call("t", "c", "f"); a.Text() != "here" {
		t.Fatalf("call: %d %s", a.Status, a.Body)
	}
	for round := range 2 {
		waitPool(t, n, 3)
		pids := []int{n.NodePID()}
		var cgroups []string
		for _, i := range n.Instances() {
			pids = append(pids, i.Init, i.Node)
			cgroups = append(cgroups, i.ID)
		}
		block := n.Block()
		n.Kill()
		killed := time.Now()
		harness.WaitFor(t, "the end of node process and instances", 2*time.Second, func() bool {
			return !slices.ContainsFunc(pids, alive) && len(procsOfBlock(block)) == 0
		})
		t.Logf("round %d: all processes gone %s after the kill", round, time.Since(killed))
		n.Start()
		begun := time.Now()
		n.WaitReady()
		t.Logf("round %d: ready %s after the start", round, time.Since(begun))
		harness.WaitFor(t, "the removal of the old cgroups", 2*time.Second, func() bool {
			now := harness.Cgroups(block)
			return !slices.ContainsFunc(cgroups, func(id string) bool {
				return slices.ContainsFunc(now, func(c string) bool { return filepath.Base(c) == id })
			})
		})
		if a := n.Call("t", "c", "f"); a.Text() != "here" {
			t.Errorf("round %d: %d %v %s", round, a.Status, a.Err, a.Body)
		}
	}
}

// alive tells a process from none, and from one that has ended and whose parent was not told yet.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// procsOfBlock lists the processes in the cgroups of a block: detached ones, too.
func procsOfBlock(block int) []string {
	var pids []string
	for _, dir := range harness.Cgroups(block) {
		text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}

// SIGTERM: what is under way is answered, then nothing is left.
func TestTermLeavesNothing(t *testing.T) {
	n := harness.Start(t, "--pool", "2")
	n.Deploy("t", "c", "f", `module.exports = (ctx, cb) => setTimeout(() => cb(null, 'whole'), +ctx.query.ms || 0)`)
	n.Call("t", "c", "f")
	slow := make(chan harness.Answer)
	go func() { slow <- n.Do(context.Background(), "GET", "/run/t/c/f?ms=700", nil) }()
	time.Sleep(300 * time.Millisecond) // it is under way; less would only make the test weaker
	begun := time.Now()
	n.Stop()
	if a := <-slow; a.Text() != "whole" || a.Status != http.StatusOK {
		t.Errorf("the request under way got %d %v %q", a.Status, a.Err, a.Body)
	}
	t.Logf("ended %s after SIGTERM", time.Since(begun))
	if left := n.Leftovers(); len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, "; "))
	}
	if entries, err := os.ReadDir(n.RunDir); err == nil && len(entries) > 0 {
		t.Errorf("left in the run directory: %v", entries)
	}
}
