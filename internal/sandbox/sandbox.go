package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Limits of an instance.
type Limits struct {
	MemoryMiB int
	MilliCPUs int
	Pids      int
	TmpMiB    int
	WorkMiB   int // of a build sandbox only, fixed at the start
}

// Config is what a Maker works with. All fields are set.
type Config struct {
	Root     string   // private folder, in a mount namespace of ours, that every uid may traverse
	Runtime  string   // path of the OCI runtime's binary
	Packages string   // folder of the package store; "" where there is none
	Empty    string   // an empty folder, the second that an overlay wants
	Cgroup   string   // parent cgroup of all instances, for example /hearth-0; made and removed by the Maker
	FirstUID uint32   // of the block of host uids that is ours
	Ranges   int      // how many instances the block is for
	UID, GID int      // of the node process, which may connect and write code
	NodeArgs []string // flags of Node.js
	Env      []string // of Node.js; no tenant's text
	Log      *slog.Logger
}

// Maker makes instances. It is safe for concurrent use.
type Maker struct {
	cfg     Config
	folder  *os.File // of all instances; their own are opened beneath it
	runtime *ociRuntime
	cgroups cgroupTree
	uids    *uidRanges
	weigh   sync.Once      // the cgroup of all instances, when the first one has made it
	wg      sync.WaitGroup // one for each goroutine that waits for a pid 1
}

// New prepares the folder and the cgroup.
func New(cfg Config) (*Maker, error) {
	for _, dir := range []string{"instances", "runtime"} {
		if err := os.MkdirAll(path.Join(cfg.Root, dir), 0o711); err != nil {
			return nil, fmt.Errorf("make folder of instances: %w", err)
		}
	}
	tree := newCgroupTree(cfg.Cgroup)
	if err := tree.removeAll(); err != nil {
		return nil, fmt.Errorf("remove cgroup of an earlier run: %w", err)
	}
	folder, err := os.OpenFile(path.Join(cfg.Root, "instances"), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open folder of instances: %w", err)
	}
	return &Maker{
		cfg:     cfg,
		folder:  folder,
		runtime: newOCIRuntime(cfg.Runtime, path.Join(cfg.Root, "runtime")),
		cgroups: tree,
		uids:    newUIDRanges(cfg.FirstUID, cfg.Ranges),
	}, nil
}

// Close removes the cgroup. Call it after every instance is destroyed.
func (m *Maker) Close() error {
	m.wg.Wait()
	return errors.Join(m.folder.Close(), m.cgroups.removeAll())
}

// Sandbox is one instance. It is safe for concurrent use; see the package comment for its life.
type Sandbox struct {
	ID      string
	Runtime string

	maker    *Maker
	dir      string
	firstUID uint32
	undo     undo // what Destroy does, in reverse

	pid   int
	pidfd *os.File
	files Files

	done   chan struct{} // closed when pid 1 is gone
	status int           // valid after done
	oom    bool          // valid after done

	promoted   atomic.Bool
	destroying atomic.Bool
	destroyed  chan struct{}
	err        error // of Destroy; valid after destroyed

	mu      sync.Mutex // guards what follows, undo once Start has returned, and cgroup writes
	limits  Limits
	mounted bool     // the package store is shown
	freezer *freezer // kept open from the first Freeze on
	gone    bool     // undone, or being
}

// Files are the host's ends of an instance.
type Files struct {
	Stdout, Stderr    *os.File
	Code              *os.File
	Requests, Control *os.File
	Registry          *os.File // a TCP listener inside the network of a build sandbox; nil in an instance
}

// Files returns the host's ends, which stay the sandbox's until it is destroyed.
func (s *Sandbox) Files() Files { return s.files }

// Done is closed when the instance's pid 1 has ended, and every process with it.
func (s *Sandbox) Done() <-chan struct{} { return s.done }

// Exit tells how the instance ended; call it after Done.
func (s *Sandbox) Exit() (status int, oom bool) { return s.status, s.oom }

// Limit changes the limits. Memory above what the instance was started with is not given to V8's
// heap, whose size is set at the start.
func (s *Sandbox) Limit(l Limits) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l == s.limits {
		return nil
	}
	if s.gone {
		return errGone
	}
	if l.WorkMiB != s.limits.WorkMiB {
		return fmt.Errorf("limit instance %s: the size of /work is fixed", s.ID)
	}
	if l.TmpMiB != s.limits.TmpMiB {
		if err := mountTmpfs(path.Join(s.dir, "tmp"), unix.MS_REMOUNT, s.tmpOptions(l)); err != nil {
			return err
		}
	}
	if err := s.maker.cgroups.update(s.ID, l); err != nil {
		return fmt.Errorf("limit instance %s: %w", s.ID, err)
	}
	s.limits = l
	return nil
}

// Promote gives the instance the full weight when processors are scarce: from now on somebody waits for
// it. It may be called more than once.
func (s *Sandbox) Promote() error {
	if s.promoted.Load() {
		return nil
	}
	if err := s.maker.cgroups.setShares(s.ID, normalShares); err != nil {
		return fmt.Errorf("promote instance %s: %w", s.ID, err)
	}
	s.promoted.Store(true)
	return nil
}

// Stats is what an instance uses now.
type Stats struct {
	MemoryBytes, PeakBytes, CPUNanos, OOMKills int64
	Pids                                       int
}

// Stats reads the instance's cgroup.
func (s *Sandbox) Stats() (Stats, error) {
	st, err := s.maker.cgroups.stats(s.ID)
	if err != nil {
		return Stats{}, fmt.Errorf("read stats of instance %s: %w", s.ID, err)
	}
	return st, nil
}

// Destroy ends every process of the instance, waits for the end, and removes its mounts, cgroups,
// files and sockets. The second call waits for the first.
func (s *Sandbox) Destroy(ctx context.Context) error {
	if s.destroying.CompareAndSwap(false, true) {
		s.err = s.destroy(ctx)
		close(s.destroyed)
	}
	<-s.destroyed
	return s.err
}

func (s *Sandbox) destroy(ctx context.Context) error {
	if err := s.kill(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	return s.undo.run()
}

// errGone is what is said of an instance that ended just now.
var errGone = errors.New("the instance has ended")

// kill ends pid 1, and the kernel with it everything else in the pid namespace. The pidfd cannot
// mean another process than ours.
func (s *Sandbox) kill(ctx context.Context) error {
	rc, err := s.pidfd.SyscallConn()
	if err != nil {
		return fmt.Errorf("kill instance %s: %w", s.ID, err)
	}
	var kill error
	err = rc.Control(func(fd uintptr) { kill = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
	if err = errors.Join(err, kill); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill instance %s: %w", s.ID, err)
	}
	// On cgroup v1 a frozen process meets its SIGKILL only when it goes on.
	if err := s.Freeze(ctx, false); err != nil {
		s.maker.cfg.Log.Error("cannot thaw instance to end it", "instance", s.ID, "err", err)
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of instance %s: %w", s.ID, context.Cause(ctx))
	}
}

// wait blocks, without a thread, until pid 1 has ended, and reaps it.
func (s *Sandbox) wait() {
	defer close(s.done)
	rc, err := s.pidfd.SyscallConn()
	if err != nil {
		s.maker.cfg.Log.Error("cannot wait for instance", "instance", s.ID, "err", err)
		return
	}
	var ws unix.WaitStatus
	err = rc.Read(func(uintptr) bool { // a pidfd is readable when its process has ended
		pid, err := unix.Wait4(s.pid, &ws, unix.WNOHANG, nil)
		return pid == s.pid || (err != nil && !errors.Is(err, unix.EINTR))
	})
	if err != nil {
		s.maker.cfg.Log.Error("cannot wait for instance", "instance", s.ID, "err", err)
		return
	}
	s.status = ws.ExitStatus()
	if ws.Signaled() {
		s.status = 128 + int(ws.Signal())
	}
	if st, err := s.Stats(); err == nil {
		s.oom = st.OOMKills > 0
	}
}

// undo is a stack of steps that unmake what was made.
type undo []func() error

func (u *undo) push(step func() error) { *u = append(*u, step) }

// run does every step, last first, whatever fails.
func (u *undo) run() error {
	var errs []error
	for len(*u) > 0 {
		last := len(*u) - 1
		step := (*u)[last]
		*u = (*u)[:last]
		errs = append(errs, step())
	}
	return errors.Join(errs...)
}
