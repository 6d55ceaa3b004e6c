package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// epoch is the time of every file, so that equal content makes equal images.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// write makes the image in the empty folder dir and returns the hash of its content.
func (p *plan) write(ctx context.Context, dir string, packs []*os.File) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	sums := map[string]string{} // content of the files, by path
	take := func(name string, mode fs.FileMode, r io.Reader) (err error) {
		sums[name], err = writeFile(root, name, mode, r)
		return err
	}
	for _, name := range p.names() {
		switch e := p.entries[name]; {
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		case e.mode.IsDir():
			err = root.Mkdir(name, 0o700)
		case e.link != "":
			err = root.Symlink(e.link, name)
		case e.host != "":
			err = copyHost(e, func(r io.Reader) error { return take(name, e.mode, r) })
		default:
			err = take(name, e.mode, bytes.NewReader(e.text))
		}
		if err != nil {
			return "", fmt.Errorf("write %s: %w", name, err)
		}
	}
	unpacked := func(t taken, r io.Reader) error {
		if err := root.MkdirAll(path.Dir(t.to), 0o700); err != nil {
			return err
		}
		p.parents(t.to)
		p.entries[t.to] = entry{mode: t.mode}
		return take(t.to, t.mode, r)
	}
	if err := unpack(ctx, packs[0], "bin/node", p.ofNode, unpacked); err != nil {
		return "", err
	}
	if p.build {
		if err := unpack(ctx, packs[1], "bin/npm-cli.js", p.ofNpm, unpacked); err != nil {
			return "", err
		}
	}
	if err := p.seal(dir); err != nil {
		return "", err
	}
	return p.hash(sums), nil
}

func copyHost(e entry, take func(io.Reader) error) error {
	f, err := os.Open(e.host)
	if err != nil {
		return err
	}
	defer f.Close()
	if e.pyc {
		r, err := bytecode(f)
		if err != nil {
			return err
		}
		return take(r)
	}
	return take(f)
}

// writeFile makes a file, whatever the umask is, and returns the hash of its content.
func writeFile(root *os.Root, name string, mode fs.FileMode, r io.Reader) (string, error) {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, h), r); err != nil {
		return "", err
	}
	if err := f.Chmod(mode); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), f.Close()
}

// seal takes the write permission from the folders and sets every time, the deepest first, since a
// change below a folder sets its time anew.
func (p *plan) seal(dir string) error {
	at := unix.NsecToTimespec(epoch.UnixNano())
	for _, name := range slices.Backward(append([]string{"."}, p.names()...)) {
		full := filepath.Join(dir, name)
		if name == "." || p.entries[name].mode.IsDir() {
			if err := os.Chmod(full, modeFolder.Perm()); err != nil {
				return err
			}
		}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, full, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("set time of %s: %w", full, err)
		}
	}
	return nil
}

// hash is over path, mode, target and content of everything in the image.
func (p *plan) hash(sums map[string]string) string {
	h := sha256.New()
	for _, name := range p.names() {
		e := p.entries[name]
		fmt.Fprintf(h, "%q %v %q %s\n", name, e.mode, e.link, sums[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}
