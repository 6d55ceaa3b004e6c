package warden

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What a node process that was broken into leaves at the name of the package store is never followed.
func TestOpenStore(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	for _, c := range []struct {
		name string
		make func(data string) error
		want error
	}{
		{"first start", func(data string) error { return os.Mkdir(data+"/node", 0o700) }, nil},
		{"another start", func(data string) error { return os.MkdirAll(data+"/node/packages/p", 0o777) }, nil},
		{"store is a link", func(data string) error {
			return errors.Join(os.Mkdir(data+"/node", 0o700), os.Mkdir(data+"/other", 0o700), os.Symlink("../other", data+"/node/packages"))
		}, unix.ELOOP},
		{"store is a link out", func(data string) error {
			return errors.Join(os.Mkdir(data+"/node", 0o700), os.Symlink("/etc", data+"/node/packages"))
		}, unix.ELOOP},
		{"node is a link", func(data string) error {
			return errors.Join(os.MkdirAll(data+"/other/packages", 0o700), os.Symlink("other", data+"/node"))
		}, unix.ELOOP},
		{"store is a file", func(data string) error {
			return errors.Join(os.Mkdir(data+"/node", 0o700), os.WriteFile(data+"/node/packages", nil, 0o600))
		}, unix.ENOTDIR},
		{"no folder", func(string) error { return nil }, unix.ENOENT},
	} {
		data := t.TempDir()
		if err := c.make(data); err != nil {
			t.Fatal(err)
		}
		folder, err := os.Open(data)
		if err != nil {
			t.Fatal(err)
		}
		defer folder.Close()
		f, err := openStore(folder, 4242, 4343)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(data, "node/packages"), &st); err != nil || st.Uid != 4242 || st.Gid != 4343 || st.Mode&0o7777 != 0o711 {
			t.Errorf("%s: the store has owner %d:%d and mode %o, %v", c.name, st.Uid, st.Gid, st.Mode&0o7777, err)
		}
		f.Close()
	}
}
