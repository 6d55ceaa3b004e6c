package unpack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
)

// Kind is what an entry is.
type Kind byte

// The kinds of entries; there are no others.
const (
	File   Kind = 'f'
	Folder Kind = 'd'
	Link   Kind = 'l' // a symlink
)

// Entry is one file, folder or symlink of a Content.
type Entry struct {
	Path   string // relative, slashes, clean
	Kind   Kind
	Exec   bool   // a file that may be executed
	Size   int64  // of a file
	Target string // of a symlink

	data []byte // of a file that lies in memory
	off  int64  // in the spool otherwise
}

// Stats counts a Content.
type Stats struct {
	Files   int
	Folders int
	Links   int
	Bytes   int64 // of all files
	Dropped int   // links that a tarball had, and that were left out, as npm does
	Packed  int64 // bytes of the archive that was read or written
}

// Content is what a package is: its entries sorted by path, each folder before what is in it.
// It may be read by several goroutines, until Close.
type Content struct {
	Entries []Entry
	Stats   Stats

	spool *os.File // nil: all is in memory
}

// Close gives back the file that a large content lies in.
func (c *Content) Close() error {
	if c == nil || c.spool == nil {
		return nil
	}
	return c.spool.Close()
}

// Bytes returns the content of a file that lies in memory.
func (c *Content) Bytes(e *Entry) ([]byte, bool) {
	return e.data, e.data != nil || e.Size == 0
}

// Open returns a reader of a file's content.
func (c *Content) Open(e *Entry) io.Reader {
	if data, ok := c.Bytes(e); ok {
		return bytes.NewReader(data)
	}
	return io.NewSectionReader(c.spool, e.off, e.Size)
}

func (c *Content) count() {
	for i := range c.Entries {
		switch e := &c.Entries[i]; e.Kind {
		case File:
			c.Stats.Files++
			c.Stats.Bytes += e.Size
		case Folder:
			c.Stats.Folders++
		case Link:
			c.Stats.Links++
		}
	}
}

// bin is where the bodies go while an archive is read.
type bin struct {
	limits Limits
	left   int64  // of memory
	arena  []byte // small files share allocations
	spool  *os.File
	size   int64 // of the spool
}

const (
	arenaSize = 256 << 10
	arenaFile = 64 << 10 // larger files have an allocation of their own
)

func newBin(l Limits) *bin { return &bin{limits: l, left: l.Memory} }

// take reads the body of e from r, which is a tar.Reader and so has exactly e.Size bytes or an error.
func (b *bin) take(e *Entry, r io.Reader) error {
	if e.Size == 0 {
		return nil
	}
	if e.Size <= b.left {
		e.data = b.alloc(e.Size)
		_, err := io.ReadFull(r, e.data)
		return err
	}
	if b.spool == nil {
		if err := b.open(); err != nil {
			return &spoolError{err}
		}
	}
	e.off = b.size
	n, err := io.Copy(&spoolWriter{b.spool}, r)
	b.size += n
	if err == nil && n != e.Size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// alloc returns a slice of n bytes of the memory that is left.
func (b *bin) alloc(n int64) []byte {
	b.left -= n
	if n > arenaFile {
		return make([]byte, n)
	}
	if int64(len(b.arena)) < n {
		b.arena = make([]byte, min(arenaSize, max(n, b.left+n)))
	}
	part := b.arena[:n:n]
	b.arena = b.arena[n:]
	return part
}

// open makes the spool. It has no name from the start on, so that nothing can be left behind.
func (b *bin) open() error {
	f, err := os.CreateTemp(b.limits.Spool, ".spool-")
	if err != nil {
		return err
	}
	if err := os.Remove(f.Name()); err != nil {
		return errors.Join(err, f.Close())
	}
	b.spool = f
	return nil
}

func (b *bin) close() {
	if b.spool != nil {
		b.spool.Close()
	}
}

// spoolError tells trouble with our own disk from trouble with the archive.
type spoolError struct{ err error }

func (e *spoolError) Error() string { return e.err.Error() }
func (e *spoolError) Unwrap() error { return e.err }

type spoolWriter struct{ f *os.File }

func (w *spoolWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		err = &spoolError{err}
	}
	return n, err
}

// WriteTo writes the content below dst, which should be empty: files 0444 or 0555, folders 0755 whatever
// the umask is, symlinks last. It syncs nothing. On an error the caller removes what is there.
func (c *Content) WriteTo(ctx context.Context, dst *os.Root) error {
	// Each folder is opened once and written through its own root, since a root opens every part of a
	// longer path again.
	at, here := "", dst
	leave := func() {
		if here != dst {
			here.Close()
		}
		at, here = "", dst
	}
	defer leave()
	for i := range c.Entries {
		e := &c.Entries[i]
		if err := ended(ctx); err != nil {
			return err
		}
		if d := dir(e.Path); d != at {
			leave()
			if d != "" {
				sub, err := dst.OpenRoot(d)
				if err != nil {
					return diskError("write "+e.Path, err)
				}
				at, here = d, sub
			}
		}
		var err error
		switch base := path.Base(e.Path); e.Kind {
		case Folder:
			if err = here.Mkdir(base, 0o755); err == nil {
				err = here.Chmod(base, 0o755)
			}
		case File:
			err = c.writeFile(here, base, e)
		}
		if err != nil {
			return diskError("write "+e.Path, err)
		}
	}
	for i := range c.Entries {
		if e := &c.Entries[i]; e.Kind == Link {
			if err := dst.Symlink(e.Target, e.Path); err != nil {
				return diskError("link "+e.Path, err)
			}
		}
	}
	return nil
}

// Mode is the mode of a file on a node's disk: nobody may write it, and it belongs to everybody.
func (e *Entry) Mode() fs.FileMode {
	switch {
	case e.Kind == Folder:
		return 0o755
	case e.Exec:
		return 0o555
	}
	return 0o444
}

func (c *Content) writeFile(root *os.Root, name string, e *Entry) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if data, ok := c.Bytes(e); ok {
		_, err = f.Write(data)
	} else {
		_, err = io.Copy(f, c.Open(e))
	}
	return errors.Join(err, f.Chmod(e.Mode()), f.Close())
}
