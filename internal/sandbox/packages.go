package sandbox

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// packagesFolder is the mount point of the package store in an instance's folder. It is a mount of its
// own, shared with the instance's /packages alone: what is mounted on it later appears there, and
// nothing else that is mounted on this machine does.
const packagesFolder = "packages"

// share makes a mount one that passes on what is mounted on it.
func share(target string) error {
	if err := unix.Mount("", target, "", unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mount %s: %w", path.Base(target), err)
	}
	return nil
}

// Mount shows the package store in the instance, at /packages, read-only, until the instance is
// destroyed; once more does nothing. Every instance gets an overlay of its own: in a bind mount one
// tenant could hold a lock on a file that others use, and watch it being opened. Programs may be
// executed there, since loading an addon is that too.
func (s *Sandbox) Mount() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mounted:
		return nil
	case s.gone:
		return errGone
	case s.maker.cfg.Packages == "":
		return errors.New("mount packages: there is no package store")
	}
	target := path.Join(s.dir, packagesFolder)
	// Without an upper folder an overlay wants two lower ones.
	options := "lowerdir=" + s.maker.cfg.Packages + ":" + s.maker.cfg.Empty
	if err := unix.Mount("hearth", target, "overlay", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount packages: %w", err)
	}
	s.undo.push(func() error { return unmount(target) })
	s.mounted = true
	return nil
}
