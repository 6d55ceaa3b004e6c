// Command pid1 is the first process of an instance. It starts its arguments as a child with the
// descriptors 0 to 4, reaps every orphan (else they would fill the cgroup's pids), passes SIGTERM on,
// and ends as its child ends, or when nobody reads descriptor 1 any more: then the host's process is
// dead, and with pid 1 the kernel ends the whole instance.
//
// It exists once an instance, so its memory and threads are counted: raw system calls, no garbage
// collector (nothing here allocates in a loop), and no runtime that watches the cgroup, which would
// keep two descriptors open.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"
)

// The exit codes that are init's own.
const (
	exitHost    = 125 // the host is gone
	exitNoStart = 127 // the child could not be started, as in sh
)

func main() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	// Before the child exists, so that no signal is lost in between. One channel each, since a
	// full one drops: one SIGCHLD that waits stands for all before it, but not for a SIGTERM.
	children, terms := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	signal.Notify(terms, syscall.SIGTERM)

	child := start(os.Args[1:])
	go watch(1) // ends with the process
	for {
		select {
		case <-children:
			reap(child)
		case <-terms:
			_ = syscall.Kill(child, syscall.SIGTERM)
		}
	}
}

// start starts args with descriptors 0 to 4 and nothing else, and keeps only descriptor 1 open here:
// the listeners belong to the child alone.
func start(args []string) int {
	if len(args) == 0 {
		fail("no command")
	}
	// The child has our uid: what is not dumpable, it can neither trace nor open through /proc/1/fd.
	// An exec makes the child itself dumpable again.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	const first = 5 // not closed here, since the runtime may have put its epoll there
	_ = unix.CloseRange(first, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	pid, err := syscall.ForkExec(args[0], args, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2, 3, 4}})
	if err != nil {
		fail(args[0] + ": " + err.Error())
	}
	for _, fd := range []int{0, 2, 3, 4} {
		_ = syscall.Close(fd)
	}
	return pid
}

func fail(why string) {
	_, _ = syscall.Write(2, []byte("hearth init: start "+why+"\n"))
	os.Exit(exitNoStart)
}

// watch ends the process as soon as the pipe fd has no reader left. A write would tell too, but init
// has nothing to say; poll reports POLLERR without being asked for any event.
func watch(fd int32) {
	p := []unix.PollFd{{Fd: fd}}
	for {
		if n, err := unix.Poll(p, -1); err == nil && n > 0 {
			os.Exit(exitHost)
		}
	}
}

// reap waits for all children that have ended, adopted ones too. If the given one is among them, it
// ends the process with its exit status: 128 + n when signal n ended it.
func reap(child int) {
	for {
		var status syscall.WaitStatus
		switch pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); {
		case err == syscall.EINTR:
		case err != nil || pid == 0:
			return
		case pid == child && status.Signaled():
			os.Exit(128 + int(status.Signal()))
		case pid == child:
			os.Exit(status.ExitStatus())
		}
	}
}
