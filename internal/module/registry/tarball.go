package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"hearth"
)

// inMemory is the largest tarball that is not written to disk; 98 of 100 are smaller.
const inMemory = 4 << 20

// Tarball is one whose sha512 is the one that was demanded. It belongs to one goroutine; Close frees
// its memory or its file, which has no name.
type Tarball struct {
	*io.SectionReader // from the beginning

	file *os.File
}

// Close frees what the tarball holds.
func (t *Tarball) Close() error {
	if t.file == nil {
		return nil
	}
	return t.file.Close()
}

// Tarball downloads name@version, which must have one of the sha512 sums of integrity. It asks at once
// where npm's own registry has tarballs, so that a lock's packages cost one request each, and reads
// the version's document only when nothing is there. Errors are *hearth.Error of CodeUnavailable or
// CodeInvalid, or the context's.
func (r *Registry) Tarball(ctx context.Context, name, version, integrity string) (*Tarball, error) {
	if !ValidName(name) || !validVersion.MatchString(version) {
		return nil, hearth.Errorf(hearth.CodeInvalid, "%.220q at %.100q is not an npm package at an exact version", name, version)
	}
	what := name + "@" + version
	sums := sha512s(integrity)
	if len(sums) == 0 {
		return nil, hearth.Errorf(hearth.CodeInvalid, "%s has no sha512 integrity", what)
	}
	target, err := url.Parse(r.URL() + tarballPath(name, version))
	if err != nil {
		return nil, fmt.Errorf("make the URL of %s: %w", what, err)
	}
	s := &spool{dir: r.options.Spool}
	fetch := func(ctx context.Context) error {
		s.reset()
		return r.stream(ctx, target, sums, s, func(_, total int64) { s.expect(total) })
	}
	err = r.retry(ctx, fetch)
	var f *fault
	if errors.As(err, &f) && (f.status == http.StatusNotFound || f.status == http.StatusMethodNotAllowed) {
		err = r.retry(ctx, func(ctx context.Context) (err error) {
			conventional := *target
			if target, err = r.tarball(ctx, name, version, sums); err == nil && *target == conventional {
				return f // it is in the document and not there
			}
			return err
		})
		if err == nil {
			err = r.retry(ctx, fetch)
		}
	}
	if err != nil {
		s.reset()
		return nil, r.explain(ctx, what, err)
	}
	return s.tarball(), nil
}

// spool takes bytes into memory, and once they are too many for that, into a file without a name.
type spool struct {
	dir  string
	buf  bytes.Buffer
	file *os.File
	size int64
}

// expect makes room at once for what was announced.
func (s *spool) expect(total int64) {
	if free := total - int64(s.buf.Len()); s.file == nil && total <= inMemory && free > 0 {
		s.buf.Grow(int(free))
	}
}

func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && s.buf.Len()+len(p) > inMemory {
		f, err := os.CreateTemp(s.dir, "hearth-tarball-")
		if err != nil {
			return 0, fmt.Errorf("make file for tarball: %w", err)
		}
		s.file = f
		if err := os.Remove(f.Name()); err != nil {
			return 0, fmt.Errorf("unlink file for tarball: %w", err)
		}
		if _, err := f.Write(s.buf.Bytes()); err != nil {
			return 0, fmt.Errorf("write tarball: %w", err)
		}
		s.buf = bytes.Buffer{}
	}
	s.size += int64(len(p))
	if s.file == nil {
		return s.buf.Write(p)
	}
	n, err := s.file.Write(p)
	if err != nil {
		return n, fmt.Errorf("write tarball: %w", err)
	}
	return n, nil
}

func (s *spool) reset() {
	if s.file != nil {
		s.file.Close()
	}
	*s = spool{dir: s.dir}
}

func (s *spool) tarball() *Tarball {
	if s.file != nil {
		return &Tarball{io.NewSectionReader(s.file, 0, s.size), s.file}
	}
	return &Tarball{io.NewSectionReader(bytes.NewReader(s.buf.Bytes()), 0, s.size), nil}
}
