package warden

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"hearth/internal/sandbox"
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
func makeView(data *os.File, uid, gid int) error {
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
		real, err := ownFolder(data, dir.name, dir.uid, dir.gid, dir.mode)
		if err != nil {
			return err
		}
		defer real.Close()
		shown := path.Join(view, dir.name)
		if err := os.Mkdir(shown, 0o711); err != nil {
			return fmt.Errorf("make view: %w", err)
		}
		// What was opened and checked, whatever has its name by now.
		if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", real.Fd()), shown, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("show %s: %w", dir.name, err)
		}
	}
	for _, dir := range []string{viewRoots, viewEmpty, viewPackages} {
		if err := os.Mkdir(dir, 0o711); err != nil {
			return fmt.Errorf("make view: %w", err)
		}
	}
	return showPackages(data, uid, gid)
}

// showPackages binds the folder of the package store to its place in the view. From here on that very
// folder is the store, whatever its owner, the node process, puts at its name.
func showPackages(data *os.File, uid, gid int) error {
	store, err := openStore(data, uid, gid)
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
func openStore(data *os.File, uid, gid int) (*os.File, error) {
	node, err := sandbox.OpenBeneath(data, "node", os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	defer node.Close()
	return ownFolder(node, "packages", uid, gid, 0o711)
}

// openFolder opens a folder by its path, of which all but the last part is the operator's.
func openFolder(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	return f, nil
}

// ownFolder makes a folder below another, or checks that it is one and nobody's symlink, and sets owner
// and mode.
func ownFolder(above *os.File, name string, uid, gid int, mode os.FileMode) (*os.File, error) {
	if err := unix.Mkdirat(int(above.Fd()), name, uint32(mode.Perm())); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make folder %s: %w", name, err)
	}
	f, err := sandbox.OpenBeneath(above, name, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	if err := own(f, uid, gid, mode); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func own(f *os.File, uid, gid int, mode os.FileMode) error {
	if err := errors.Join(f.Chown(uid, gid), f.Chmod(mode)); err != nil {
		return fmt.Errorf("own folder %s: %w", f.Name(), err)
	}
	return nil
}
