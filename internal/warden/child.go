package warden

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/warden/wire"
)

// Between two starts of a node process that keeps dying.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 5 * time.Second
	calm       = 30 * time.Second // one that lived this long counts as healthy
)

// drainPatience is how long the node process may take to end after SIGTERM: longer than it gives its
// own requests.
const drainPatience = 40 * time.Second

var errPermanent = errors.New("the node process cannot run; its log says why")

// startFunc begins one life of the node process: it returns the descriptor that the child inherits,
// and what to do with its pid and after its end.
type startFunc func() (end *os.File, started func(pid int), ended func(), err error)

// keepNode starts the node process again and again, until ctx ends (nil) or it says that it never
// will run.
func (w *warden) keepNode(ctx context.Context, start startFunc) error {
	// Never unlocked. The parent-death signal is sent when the thread that forked ends, and what this
	// thread gives up (its bounding set) must not be missed by another goroutine.
	runtime.LockOSThread()
	if err := giveUpPrivileges(); err != nil {
		return err
	}
	pause := firstPause
	for ctx.Err() == nil {
		begun := time.Now()
		err := w.runNode(ctx, start)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errPermanent) {
			return err
		}
		if time.Since(begun) > calm {
			pause = firstPause
		}
		w.log.Error("node process ended; starting it again", "err", err, "pause", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, mostPause)
	}
	return nil
}

// giveUpPrivileges empties this thread's bounding set and forbids new privileges, so that a child of
// it has no capability and can never get one. What the thread itself holds it keeps until an exec.
func giveUpPrivileges() error {
	for c := range uintptr(64) {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			if errors.Is(err, unix.EINVAL) { // beyond the kernel's last
				break
			}
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	return nil
}

func (w *warden) runNode(ctx context.Context, start startFunc) error {
	end, started, ended, err := start()
	if err != nil {
		return err
	}
	defer ended()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{wire.NodeArgv0}
	cmd.Dir = viewNode
	cmd.Env = childEnv(os.Environ())
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{end} // descriptor 3
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:  syscall.SIGKILL,
		Setsid:     true, // a terminal's ^C is for the warden, which then ends the node process in order
		Credential: &syscall.Credential{Uid: uint32(w.uid), Gid: uint32(w.gid)},
	}
	err = cmd.Start()
	end.Close()
	if err != nil {
		return fmt.Errorf("start node process: %w", err)
	}
	started(cmd.Process.Pid)
	w.log.Info("node process started", "pid", cmd.Process.Pid)
	waited := make(chan error, 1)
	w.wg.Go(func() { waited <- cmd.Wait() }) // ends with the process
	select {
	case err = <-waited:
	case <-ctx.Done():
		cmd.Process.Signal(unix.SIGTERM)
		select {
		case err = <-waited:
		case <-time.After(drainPatience):
			w.log.Error("node process did not end; killing it", "after", drainPatience)
			cmd.Process.Kill()
			err = <-waited
		}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == wire.ExitPermanent {
		return errPermanent
	}
	if err == nil {
		err = errors.New("exit status 0")
	}
	return err
}

// childEnv is the little that the node process takes from the operator's environment: how to reach
// the outside. Everything about Hearth itself comes with the hello.
func childEnv(environ []string) []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + viewNode, "LANG=C.UTF-8"}
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		switch strings.ToUpper(name) {
		case "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "TZ", "GOMAXPROCS", "GOGC", "GOMEMLIMIT":
			env = append(env, kv)
		}
	}
	return env
}
