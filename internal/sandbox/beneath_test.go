package sandbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"hearth/internal/sandbox"
)

// Whatever stands below a folder, what is opened there lies there.
func TestOpenBeneath(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	err := errors.Join(
		os.MkdirAll(filepath.Join(base, "in/a"), 0o755),
		os.WriteFile(filepath.Join(base, "secret"), []byte("secret"), 0o600),
		os.WriteFile(filepath.Join(base, "in/a/file"), []byte("file"), 0o600),
		os.Symlink("../secret", filepath.Join(base, "in/out")),
		os.Symlink("a/file", filepath.Join(base, "in/link")),
		os.Symlink("a", filepath.Join(base, "in/b")),
		os.Symlink("/proc/self/fd/0", filepath.Join(base, "in/magic")),
		os.Symlink("new", filepath.Join(base, "in/dangling")),
	)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(filepath.Join(base, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	f, err := sandbox.OpenBeneath(dir, "a/file", os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	for name, want := range map[string]error{
		"../secret": unix.EXDEV, "a/../../secret": unix.EXDEV, filepath.Join(base, "in/a/file"): unix.EXDEV, "/": unix.EXDEV,
		"out": unix.ELOOP, "link": unix.ELOOP, "b/file": unix.ELOOP, "magic": unix.ELOOP, "magic/x": unix.ELOOP, "absent": os.ErrNotExist,
	} {
		for _, flags := range []int{os.O_RDONLY, unix.O_PATH} {
			f, err := sandbox.OpenBeneath(dir, name, flags, 0)
			if !errors.Is(err, want) {
				t.Errorf("%s with flags %x: %v, want %v", name, flags, err, want)
			}
			if err == nil {
				f.Close()
			}
		}
	}
	f, err = sandbox.OpenBeneath(dir, "made", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := f.Stat(); err != nil || st.Mode() != 0o600 {
		t.Errorf("made with %v, %v", st.Mode(), err)
	}
	f.Close()
	if _, err := sandbox.OpenBeneath(dir, "dangling", os.O_WRONLY|os.O_CREATE, 0o600); !errors.Is(err, unix.ELOOP) {
		t.Errorf("making through a symlink: %v, want ELOOP", err)
	}
}
