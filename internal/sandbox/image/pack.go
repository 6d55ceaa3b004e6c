package image

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"hearth"
)

// Bounds on what is read; Node.js 24 has a package of 53 MB with a binary of 127 MB, npm 11 one of 3 MB
// with 2,000 files.
const (
	mostPackage = 256 << 20
	mostBinary  = 512 << 20
	mostLicence = 4 << 20
	mostSource  = 16 << 20
	mostFiles   = 10_000
)

// keep returns a package, whose hash is the pinned one, as a file that only root may
// change. It is copied and hashed in one pass, since whoever sent it may be writing to it still.
func (s Spec) keep(ctx context.Context, pin Package, given *os.File) (_ *os.File, err error) {
	kept := filepath.Join(s.Dir, pin.file())
	if given == nil {
		f, err := os.Open(kept)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNoPackage
		}
		if err != nil {
			return nil, err
		}
		if err := check(ctx, io.Discard, f, pin); err != nil { // the disk may have rotted
			f.Close()
			return nil, errors.Join(ErrNoPackage, err, os.Remove(kept))
		}
		return f, nil
	}
	fi, err := given.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() { // reading a pipe could wait for ever
		return nil, hearth.Errorf(hearth.CodeMalformed, "the package %s is not a file", pin.Name)
	}
	f, err := os.CreateTemp(s.Dir, temporary)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := check(ctx, f, given, pin); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	return f, os.Rename(f.Name(), kept)
}

// check copies a package from its beginning and fails if its hash is not the pinned one.
func check(ctx context.Context, to io.Writer, from *os.File, pin Package) error {
	hash := sha512.New()
	n, err := io.Copy(io.MultiWriter(to, hash), &reader{ctx, io.NewSectionReader(from, 0, mostPackage+1)})
	if err != nil {
		return fmt.Errorf("copy package: %w", err)
	}
	got := "sha512-" + base64.StdEncoding.EncodeToString(hash.Sum(nil))
	if n > mostPackage || got != pin.Integrity {
		return &hearth.Error{Code: hearth.CodeMalformed, Component: hearth.ComponentPlatform, Reason: "integrity",
			Message: fmt.Sprintf("the package %s@%s has integrity %s, not %s as pinned; nothing of it was used", pin.Name, pin.Version, got, pin.Integrity)}
	}
	return nil
}

// taken is where one file of a package goes in an image. Files with no place are passed over.
type taken struct {
	to   string
	mode fs.FileMode
	most int64
}

// ofNode places the Node.js binary and its licence, and for builds the headers.
func (p *plan) ofNode(name string, _ fs.FileMode) (taken, bool) {
	switch name {
	case "bin/node":
		return taken{p.under("bin/node"), modeProgram, mostBinary}, true
	case "LICENSE":
		return taken{"usr/share/doc/node/LICENSE", modeFile, mostLicence}, true
	}
	below, ok := strings.CutPrefix(name, "include/node/")
	if !ok || !p.build {
		return taken{}, false
	}
	// OpenSSL comes with headers for thirty platforms.
	if other, ok := strings.CutPrefix(below, "openssl/archs/"); ok && !strings.HasPrefix(other, platforms[p.arch].openssl+"/") {
		return taken{}, false
	}
	return taken{"usr/include/node/" + below, modeFile, mostSource}, true
}

// ofNpm places npm, less its documents and what is for Windows.
func (p *plan) ofNpm(name string, mode fs.FileMode) (taken, bool) {
	for _, skip := range []string{"docs/", "man/"} {
		if strings.HasPrefix(name, skip) {
			return taken{}, false
		}
	}
	switch path.Ext(name) {
	case ".md", ".cmd", ".ps1", ".bat", ".html":
		return taken{}, false
	}
	t := taken{npmFolder + "/" + name, modeFile, mostSource}
	if mode&0o111 != 0 {
		t.mode = modeProgram
	}
	return t, true
}

// unpack calls take with the files of a package that have a place, and fails if must is not among them.
func unpack(ctx context.Context, pack *os.File, must string, place func(name string, mode fs.FileMode) (taken, bool),
	take func(t taken, r io.Reader) error) error {
	zip, err := gzip.NewReader(&reader{ctx, io.NewSectionReader(pack, 0, mostPackage)})
	if err != nil {
		return fmt.Errorf("read package: %w", err)
	}
	seen := map[string]bool{}
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		switch {
		case err == io.EOF && seen[must]:
			return nil
		case err == io.EOF:
			return fmt.Errorf("read package: it has no %s", must)
		case err != nil:
			return fmt.Errorf("read package: %w", err)
		case h.Typeflag != tar.TypeReg:
			continue
		}
		name, ok := strings.CutPrefix(h.Name, "package/")
		if !ok || !filepath.IsLocal(name) || path.Clean(name) != name {
			continue
		}
		t, ok := place(name, fs.FileMode(h.Mode))
		if !ok {
			continue
		}
		if seen[name] || h.Size > t.most || len(seen) > mostFiles {
			return fmt.Errorf("read package: %.100q twice, larger than %d bytes, or one of too many files", name, t.most)
		}
		seen[name] = true
		if err := take(t, archive); err != nil {
			return err
		}
	}
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
