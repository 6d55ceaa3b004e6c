package warden

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Argv0 is argv[0] after the exec of Isolate, by which the one binary knows what it is.
const Argv0 = "hearth-warden"

// Isolated reports whether this process is the warden in its own mount namespace already.
func Isolated() bool { return os.Args[0] == Argv0 }

// Isolate runs this program again, as the same process with the same arguments, in a mount namespace
// of its own: every mount made there vanishes with the last process in it, whatever kills it. Only
// an exec can move all threads of a Go program. It returns only if it fails.
func Isolate() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("hearth serve needs root, to make containers (this is uid %d)", os.Geteuid())
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mount namespace: %w", err)
	}
	// Slave: what the operator mounts later is seen here, and nothing of ours is seen outside.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	argv := append([]string{Argv0}, os.Args[1:]...)
	// The magic link works where the path does not, for example below a folder of mode 0700.
	if err := unix.Exec("/proc/self/exe", argv, os.Environ()); err != nil {
		return fmt.Errorf("run again in a mount namespace: %w", err)
	}
	return nil
}

// setName names the process, as ps shows it.
func setName(name string) error {
	if err := os.WriteFile("/proc/self/comm", []byte(name), 0); err != nil {
		return fmt.Errorf("name process %s: %w", name, err)
	}
	return nil
}
