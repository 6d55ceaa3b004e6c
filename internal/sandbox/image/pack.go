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
	"path/filepath"

	"hearth"
)

// Bounds on what is read; Node.js 24 has a package of 53 MB with a binary of 127 MB.
const (
	mostPackage = 256 << 20
	mostBinary  = 512 << 20
	mostLicence = 4 << 20
)

// keep returns the runtime's package, whose hash is the pinned one, as a file that only root may
// change. It is copied and hashed in one pass, since whoever sent it may be writing to it still.
func (s Spec) keep(ctx context.Context, pin Package) (_ *os.File, err error) {
	kept := filepath.Join(s.Dir, pin.file())
	if s.Package == nil {
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
	fi, err := s.Package.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() { // reading a pipe could wait for ever
		return nil, hearth.Errorf(hearth.CodeMalformed, "the package of %s is not a file", s.Runtime)
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
	if err := check(ctx, f, s.Package, pin); err != nil {
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

// unpack calls take with the Node.js binary and its licence, under their paths in the image.
func unpack(ctx context.Context, pack *os.File, take func(name string, mode fs.FileMode, r io.Reader) error) error {
	zip, err := gzip.NewReader(&reader{ctx, io.NewSectionReader(pack, 0, mostPackage)})
	if err != nil {
		return fmt.Errorf("read package: %w", err)
	}
	found := false
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		switch {
		case err == io.EOF && found:
			return nil
		case err == io.EOF:
			return errors.New("read package: it has no bin/node")
		case err != nil:
			return fmt.Errorf("read package: %w", err)
		case h.Typeflag != tar.TypeReg:
			continue
		}
		switch h.Name {
		case "package/bin/node":
			if found || h.Size > mostBinary {
				return fmt.Errorf("read package: bin/node twice, or larger than %d bytes", mostBinary)
			}
			found = true
			err = take("bin/node", modeProgram, archive)
		case "package/LICENSE":
			if h.Size <= mostLicence {
				err = take("usr/share/doc/node/LICENSE", modeFile, archive)
			}
		}
		if err != nil {
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
