package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Image is a runtime's root file system.
type Image struct {
	Runtime string
	Rootfs  string // absolute path, below a folder that every uid may traverse
	Build   bool   // the sandbox is one for builds: see package comment
}

// pidFile is where the runtime writes which process is pid 1, in the instance's folder.
const pidFile = "pid"

// Start makes an instance and returns when its pid 1 runs. Node.js is then still starting: the first
// answer on its sockets says that it has.
func (m *Maker) Start(ctx context.Context, img Image, l Limits) (_ *Sandbox, err error) {
	s := &Sandbox{ID: newID(), Runtime: img.Runtime, maker: m, limits: l,
		done: make(chan struct{}), destroyed: make(chan struct{})}
	defer func() {
		if err != nil {
			err = fmt.Errorf("start instance %s: %w", s.ID, errors.Join(err, s.undo.run()))
		}
	}()

	if s.firstUID, err = m.uids.take(); err != nil {
		return nil, err
	}
	s.undo.push(func() error { m.uids.release(s.firstUID); return nil })

	dir, err := s.makeFolder()
	if err != nil {
		return nil, err
	}
	defer dir.Close()

	net, err := newNetwork(dir, m.cfg.UID, m.cfg.GID, img.Build)
	if err != nil {
		return nil, err
	}
	defer net.close() // the instance has its own descriptors by then
	if err := s.openFiles(dir); err != nil {
		return nil, err
	}
	if img.Build {
		s.files.Registry = net.take()
		s.undo.push(closing(s.files.Registry))
		if err := s.Mount(); err != nil {
			return nil, err
		}
	}
	stdout, stderr, err := s.makePipes()
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	defer stderr.Close()

	b := bundle{id: s.ID, rootfs: img.Rootfs, build: img.Build, dir: s.dir, cgroup: m.cfg.Cgroup, firstUID: s.firstUID,
		netns: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), net.namespace.Fd()), limits: l,
		nodeArgs: m.cfg.NodeArgs, env: m.cfg.Env, unified: m.cgroups.unified, swap: m.cgroups.swap}
	if err := writeBundle(b); err != nil {
		return nil, err
	}
	// Before the run: one that fails half way may have made a cgroup and a state folder already.
	s.undo.push(func() error { return m.remove(s.ID) })
	if err := m.runtime.run(ctx, s.ID, s.dir, path.Join(s.dir, pidFile), stdio{stdout, stderr}, []*os.File{net.requests, net.control}); err != nil {
		return nil, err
	}
	m.weigh.Do(func() {
		// All instances together would weigh as much as one process, however many processors there are.
		if err := m.cgroups.setShares("", normalShares*uint64(runtime.NumCPU())); err != nil {
			m.cfg.Log.Warn("cannot weigh instances", "err", err)
		}
	})
	if err := s.watch(dir); err != nil {
		return nil, err
	}
	return s, nil
}

// makeFolder makes the instance's folder with its tmpfs.
func (s *Sandbox) makeFolder() (*os.File, error) {
	s.dir = path.Join(s.maker.cfg.Root, "instances", s.ID)
	if err := os.Mkdir(s.dir, 0o711); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	s.undo.push(func() error { return os.RemoveAll(s.dir) })
	code := fmt.Sprintf("mode=755,uid=%d,gid=%d,size=%dm,nr_inodes=%d", s.maker.cfg.UID, s.maker.cfg.GID, codeMiB, 1<<16)
	tmpfs := map[string]string{"code": code, "tmp": s.tmpOptions(s.limits), packagesFolder: "mode=555,size=4k,nr_inodes=1"}
	if s.limits.WorkMiB != 0 {
		tmpfs["work"] = s.ownOptions("0755", s.limits.WorkMiB)
	}
	for name, options := range tmpfs {
		target := path.Join(s.dir, name)
		if err := os.Mkdir(target, 0o755); err != nil {
			return nil, fmt.Errorf("make folder %s: %w", name, err)
		}
		if err := mountTmpfs(target, 0, options); err != nil {
			return nil, err
		}
		s.undo.push(func() error { return unmount(target) })
	}
	if err := share(path.Join(s.dir, packagesFolder)); err != nil {
		return nil, err
	}
	dir, err := OpenBeneath(s.maker.folder, s.ID, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	return dir, nil
}

// tmpOptions are those of /tmp.
func (s *Sandbox) tmpOptions(l Limits) string { return s.ownOptions("1777", l.TmpMiB) }

// ownOptions are those of a tmpfs that the instance's own user owns; one inode for each 4 KiB.
func (s *Sandbox) ownOptions(mode string, mib int) string {
	return fmt.Sprintf("mode=%s,uid=%d,gid=%d,size=%dm,nr_inodes=%d", mode, s.firstUID+innerUID, s.firstUID+innerGID, mib, mib<<8)
}

func mountTmpfs(target string, flags uintptr, options string) error {
	if err := unix.Mount("hearth", target, "tmpfs", flags|unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount tmpfs %s: %w", path.Base(target), err)
	}
	return nil
}

// unmount detaches, since a descriptor of the node process may still be open below the mount; the
// memory is given back with the last one.
func unmount(target string) error {
	if err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", path.Base(target), err)
	}
	return nil
}

// openFiles opens what the node process gets: the code folder and the socket files.
func (s *Sandbox) openFiles(dir *os.File) error {
	for _, f := range []struct {
		to    **os.File
		name  string
		flags int
	}{
		{&s.files.Code, "code", os.O_RDONLY | unix.O_DIRECTORY},
		{&s.files.Requests, requestsSocket, unix.O_PATH},
		{&s.files.Control, controlSocket, unix.O_PATH},
	} {
		file, err := OpenBeneath(dir, f.name, f.flags, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", f.name, err)
		}
		*f.to = file
		s.undo.push(closing(file))
	}
	return nil
}

// closing is the step that closes f; whoever had it may have closed it already.
func closing(f *os.File) func() error {
	return func() error {
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			return err
		}
		return nil
	}
}

// makePipes makes stdout and stderr. The write ends belong to the instance's user, so that opening
// /dev/stdout works inside; nobody else writes to them.
func (s *Sandbox) makePipes() (stdout, stderr *os.File, err error) {
	if s.files.Stdout, stdout, err = os.Pipe(); err != nil {
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	s.undo.push(closing(s.files.Stdout))
	if s.files.Stderr, stderr, err = os.Pipe(); err != nil {
		stdout.Close()
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	s.undo.push(closing(s.files.Stderr))
	uid, gid := int(s.firstUID)+innerUID, int(s.firstUID)+innerGID
	if err := errors.Join(stdout.Chown(uid, gid), stderr.Chown(uid, gid)); err != nil {
		stdout.Close()
		stderr.Close()
		return nil, nil, fmt.Errorf("give pipe to instance: %w", err)
	}
	return stdout, stderr, nil
}

func writeBundle(b bundle) error {
	spec, err := b.spec()
	if err != nil {
		return err
	}
	encoded, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode specification: %w", err)
	}
	if err := os.WriteFile(path.Join(b.dir, "config.json"), encoded, 0o600); err != nil {
		return fmt.Errorf("write specification: %w", err)
	}
	return nil
}

// watch opens a pidfd of pid 1, which became our child when the runtime ended, and waits for its end
// in a goroutine that ends with it.
func (s *Sandbox) watch(dir *os.File) error {
	f, err := OpenBeneath(dir, pidFile, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("read pid: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return fmt.Errorf("read pid: %w", err)
	}
	if s.pid, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		return fmt.Errorf("read pid: %w", err)
	}
	// Not reaped yet, so the pid is still its: a child's pid is free again only after wait4.
	fd, err := unix.PidfdOpen(s.pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("open pidfd: %w", err)
	}
	s.pidfd = os.NewFile(uintptr(fd), "pidfd")
	s.undo.push(closing(s.pidfd))
	s.maker.wg.Go(s.wait)
	return nil
}
