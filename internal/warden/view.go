package warden

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// view is a tmpfs that only our mount namespace sees, the same short path in every hearth. The node
// process and the OCI runtime's user namespaces reach data and images through it, since the folders
// above the real ones may be closed to them.
const view = claims + "/view"

const (
	viewNode   = view + "/node"   // the node process's data, its working directory
	viewImages = view + "/images" // root file systems, as they are kept
	viewRoots  = view + "/roots"  // root file systems, as instances get them
	viewEmpty  = view + "/empty"

	// The package store, as overlays find it. Its name stands in every instance's mountinfo.
	viewPackages = view + "/packages"
)

// makeView mounts the view over the folder of that name.
func makeView(dataDir string, uid, gid int) error {
	if err := os.MkdirAll(view, 0o755); err != nil {
		return fmt.Errorf("make view: %w", err)
	}
	if err := unix.Mount("hearth", view, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=711,size=64m"); err != nil {
		return fmt.Errorf("mount view: %w", err)
	}
	for _, dir := range []struct {
		name     string
		uid, gid int
		mode     os.FileMode
	}{{"node", uid, gid, 0o700}, {"images", 0, 0, 0o755}} {
		real, shown := path.Join(dataDir, dir.name), path.Join(view, dir.name)
		if err := ownFolder(real, dir.uid, dir.gid, dir.mode); err != nil {
			return err
		}
		if err := os.Mkdir(shown, 0o711); err != nil {
			return fmt.Errorf("make view: %w", err)
		}
		if err := unix.Mount(real, shown, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("show %s: %w", real, err)
		}
	}
	for _, dir := range []string{viewRoots, viewEmpty, viewPackages} {
		if err := os.Mkdir(dir, 0o711); err != nil {
			return fmt.Errorf("make view: %w", err)
		}
	}
	return showPackages(dataDir, uid, gid)
}

// showPackages binds the folder of the package store to its place in the view. From here on that very
// folder is the store, whatever its owner, the node process, puts at its name.
func showPackages(dataDir string, uid, gid int) error {
	store, err := openStore(dataDir, uid, gid)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", store.Fd()), viewPackages, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("show package store: %w", err)
	}
	return nil
}

// openStore opens the folder of the package store, and makes it at the first start. An earlier node
// process owned everything below its folder, so no link is followed on the way.
func openStore(dataDir string, uid, gid int) (_ *os.File, err error) {
	root, err := os.Open(dataDir)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	defer root.Close()
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	open := func(name string) (*os.File, error) {
		fd, err := unix.Openat2(int(root.Fd()), name, &how)
		if err != nil {
			return nil, fmt.Errorf("open %s below the data directory: %w", name, err)
		}
		return os.NewFile(uintptr(fd), name), nil
	}
	node, err := open("node")
	if err != nil {
		return nil, err
	}
	defer node.Close()
	if err := unix.Mkdirat(int(node.Fd()), "packages", 0o711); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("make package store: %w", err)
	}
	store, err := open("node/packages")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(store.Chown(uid, gid), store.Chmod(0o711)); err != nil {
		store.Close()
		return nil, fmt.Errorf("own package store: %w", err)
	}
	return store, nil
}

// ownFolder makes a folder, or checks that it is one and nobody's symlink, and sets owner and mode.
func ownFolder(name string, uid, gid int, mode os.FileMode) error {
	if err := os.Mkdir(name, mode); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make folder: %w", err)
	}
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	defer f.Close()
	if err := errors.Join(f.Chown(uid, gid), f.Chmod(mode)); err != nil {
		return fmt.Errorf("own folder %s: %w", name, err)
	}
	return nil
}
