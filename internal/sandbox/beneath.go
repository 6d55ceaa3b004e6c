package sandbox

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// OpenBeneath opens a file below a folder that is open already, and nothing else whatever stands in
// the path: the kernel refuses "..", absolute names, symlinks and magic links anywhere in it (openat2,
// Linux 5.6). flags and mode are those of os.OpenFile.
func OpenBeneath(dir *os.File, name string, flags int, mode os.FileMode) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	if flags&os.O_CREATE != 0 { // else the kernel wants no mode
		how.Mode = uint64(mode.Perm())
	}
	for {
		fd, err := unix.Openat2(int(dir.Fd()), name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case !errors.Is(err, unix.EINTR):
			return nil, &os.PathError{Op: "openat2", Path: name, Err: err}
		}
	}
}
