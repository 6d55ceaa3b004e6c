package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var program string // the built init

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "hearth-init-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil { // a test runs it as another user
			panic(err)
		}
		program = filepath.Join(dir, "init")
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("go build: %v\n%s", err, out))
		}
		return m.Run()
	}())
}

// instance is a running init whose output the test reads.
type instance struct {
	*exec.Cmd
	out  *os.File // the only reader of descriptor 1
	line *bufio.Scanner
}

// run starts init with sh in it, in a pid namespace of its own if so asked.
func run(t *testing.T, namespace bool, script string) *instance {
	t.Helper()
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	defer w.Close()
	cmd := exec.Command(program, "/bin/sh", "-c", script)
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	cmd.ExtraFiles = []*os.File{null, null, null} // 3, 4, and one that must not get through
	if namespace {
		if os.Getuid() != 0 {
			t.Skip("a pid namespace needs root")
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i := &instance{Cmd: cmd, out: out, line: bufio.NewScanner(out)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = out.Close()
	})
	return i
}

// await reads a line that the script printed.
func (i *instance) await(t *testing.T, want string) {
	t.Helper()
	if !i.line.Scan() || i.line.Text() != want {
		t.Fatalf("output %q, %v, want %q", i.line.Text(), i.line.Err(), want)
	}
}

func (i *instance) exit(t *testing.T, want int) {
	t.Helper()
	_ = i.Wait()
	if got := i.ProcessState.ExitCode(); got != want {
		t.Fatalf("exit code %d, want %d", got, want)
	}
}

// children returns "pid state" of the processes whose parent is pid.
func children(t *testing.T, pid int) (list []string) {
	t.Helper()
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // gone meanwhile
		}
		after := string(b[strings.LastIndexByte(string(b), ')')+1:])
		if f := strings.Fields(after); f[1] == strconv.Itoa(pid) {
			list = append(list, strings.Split(name, "/")[2]+" "+f[0])
		}
	}
	return list
}

func TestEndsAsItsChildEnds(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{"exit 0": 0, "exit 42": 42, "kill -9 $$": 137, "kill -ABRT $$": 134} {
		run(t, true, script).exit(t, want)
	}
}

func TestSaysWhyTheChildDoesNotStart(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(program, "/no/such/program")
	cmd.ExtraFiles = []*os.File{os.Stdin, os.Stdin}
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != exitNoStart || !strings.Contains(string(out), "/no/such/program: no such file") {
		t.Fatalf("exit code %d, output %q", cmd.ProcessState.ExitCode(), out)
	}
}

func TestChildGetsDescriptors0To4AndTheEnvironment(t *testing.T) {
	t.Parallel()
	i := run(t, false, `ls /proc/$$/fd; echo home=$HOME; exec grep SigBlk /proc/self/status`)
	for _, want := range []string{"0", "1", "2", "3", "4", "home=" + os.Getenv("HOME"), "SigBlk:\t0000000000000000"} {
		i.await(t, want)
	}
	i.exit(t, 0)
}

func TestReapsOrphans(t *testing.T) {
	t.Parallel()
	i := run(t, true, `for n in 1 2 3 4 5 6 7 8 9; do (sh -c 'exit 3' &); (sleep 0.1 &); done; echo started; sleep 100`)
	i.await(t, "started")
	var left []string
	for range 100 { // 5 s
		if left = children(t, i.Process.Pid); len(left) == 1 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("children %q, want only the shell", left)
}

func TestForwardsSIGTERM(t *testing.T) {
	t.Parallel()
	i := run(t, true, `trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done`)
	i.await(t, "ready")
	if err := i.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	i.exit(t, 7)
}

func TestEndsWhenTheHostIsGone(t *testing.T) {
	t.Parallel()
	i := run(t, true, `echo ready; while :; do sleep 100; done`)
	i.await(t, "ready")
	below := children(t, i.Process.Pid)
	if len(below) != 1 {
		t.Fatalf("children %q, want the shell", below)
	}
	pid, _ := strconv.Atoi(strings.Fields(below[0])[0])
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	i.out.Close()
	i.exit(t, exitHost)
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000); n != 1 {
		t.Fatalf("the child outlives its init: poll = %d, %v", n, err)
	}
}

// A tenant's code runs with init's uid; it must not get at init's descriptors or memory.
func TestNobodyOfTheSameUserLooksIntoInit(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("another uid needs root")
	}
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(program, "/bin/sh", "-c", `ls /proc/$$/fd >/dev/null && echo own; ls /proc/$PPID/fd 2>/dev/null || echo denied`)
	cmd.Stdout = w
	cmd.ExtraFiles = []*os.File{w, w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 64645, Gid: 64645}}
	err = cmd.Run()
	w.Close()
	got, _ := io.ReadAll(out)
	if err != nil || string(got) != "own\ndenied\n" {
		t.Fatalf("output %q, %v, want the child's own descriptors and not init's", got, err)
	}
}
