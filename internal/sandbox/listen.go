package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The socket files in an instance's folder. The names are what /proc/net/unix shows inside.
const (
	requestsSocket = "requests"
	controlSocket  = "control"
)

// listenBacklog is how many connections wait while Node.js starts or is stuck: more than the
// requests that the proxy lets into one instance.
const listenBacklog = 1024

// registryPort is where a build sandbox finds the registry, on its loopback address.
const registryPort = 4873

// network is an instance's network namespace with its listeners.
type network struct {
	namespace         *os.File
	requests, control *os.File
	registry          *os.File // of a build sandbox only
}

// take hands the registry's listener over to the caller.
func (n *network) take() (f *os.File) {
	f, n.registry = n.registry, nil
	return f
}

func (n *network) close() {
	for _, f := range []*os.File{n.namespace, n.requests, n.control, n.registry} {
		if f != nil {
			f.Close()
		}
	}
}

// newNetwork makes a network namespace with nothing but lo, and binds the listeners below dir
// from inside it. A socket belongs to the namespace of the thread that made it: with a listener of
// the host's, SIOCGIFCONF on it would list the host's interfaces. The name is bound relative to the
// folder, since /proc/net/unix shows the name as it was given. For a build there is a third, of TCP: what
// connects to it from inside is served by the node process, so the sandbox reaches that and nothing else.
func newNetwork(dir *os.File, uid, gid int, build bool) (*network, error) {
	type result struct {
		n   *network
		err error
	}
	done := make(chan result) // ends when the thread below has answered
	go func() {
		// Never unlocked: the thread ends with the goroutine, and nobody else runs in its namespace.
		runtime.LockOSThread()
		n, err := networkOnThisThread(dir, uid, gid, build)
		done <- result{n, err}
	}()
	r := <-done
	return r.n, r.err
}

func networkOnThisThread(dir *os.File, uid, gid int, build bool) (_ *network, err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_FS); err != nil {
		return nil, fmt.Errorf("unshare network namespace: %w", err)
	}
	n := &network{}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if n.namespace, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return nil, fmt.Errorf("set lo up: %w", err)
	}
	if err := unix.Fchdir(int(dir.Fd())); err != nil {
		return nil, fmt.Errorf("enter instance folder: %w", err)
	}
	if n.requests, err = listen(requestsSocket, uid, gid); err != nil {
		return nil, err
	}
	if n.control, err = listen(controlSocket, uid, gid); err != nil {
		return nil, err
	}
	if build {
		if n.registry, err = listenTCP(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// listenTCP makes the listener of the registry. Without SO_REUSEPORT nobody inside can share its port.
func listenTCP() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket of the registry: %w", err)
	}
	err = errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Port: registryPort, Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, listenBacklog))
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen for the registry: %w", err)
	}
	return os.NewFile(uintptr(fd), "registry"), nil
}

// listen makes a listening socket at name in the current folder, to which only uid may connect.
func listen(name string, uid, gid int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket %s: %w", name, err)
	}
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrUnix{Name: name}),
		unix.Fchmodat(unix.AT_FDCWD, name, 0o600, 0),
		unix.Fchownat(unix.AT_FDCWD, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW),
		unix.Listen(fd, listenBacklog),
	)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen on %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
