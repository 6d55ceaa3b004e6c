package build

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"hearth/internal/module/plan"
	"hearth/internal/module/unpack"
	"hearth/internal/store"
)

// unpack makes a content without scripts.
func (b *Builder) unpack(ctx context.Context, w *work) error {
	c, err := b.fetch(ctx, w, w.job.Package)
	if err != nil {
		return err
	}
	defer c.Close()
	// Before the row: the bytes follow from the content's id, so whoever publishes them, they are these.
	return b.publish(ctx, w, c, true)
}

// fetch gets a package's tarball and reads it.
func (b *Builder) fetch(ctx context.Context, w *work, p plan.Package) (*unpack.Content, error) {
	tarball, err := b.cfg.Fetcher.Tarball(ctx, p.Tenant, p.Package, p.Version, p.Integrity)
	if err != nil {
		return nil, fmt.Errorf("fetch %s@%s: %w", p.Package, p.Version, err)
	}
	defer tarball.Close()
	c, err := unpack.FromTarball(ctx, tarball, b.cfg.Limits)
	if err != nil {
		return nil, fmt.Errorf("unpack %s@%s: %w", p.Package, p.Version, err)
	}
	b.progress.fetched(w.job.Content)
	return c, nil
}

// publish writes the archive, makes the content ready, and gives it to this node's store, before it is
// ready or after.
func (b *Builder) publish(ctx context.Context, w *work, c *unpack.Content, before bool) error {
	s := &spool{dir: b.cfg.Dir}
	defer s.close()
	digest, stats, err := unpack.Write(ctx, s, c)
	if err != nil {
		return fmt.Errorf("pack content %s: %w", w.job.Content, err)
	}
	put := func() {
		// Its own trouble is told by Ensure, which tries again.
		if err := b.cfg.Host.Put(ctx, w.job.Content, w.job.Package.Tenant, c, digest); err != nil && ctx.Err() == nil {
			b.cfg.Log.Warn("cannot keep a content that was just built on this node", "content", w.job.Content, "err", err)
		}
	}
	if before {
		put()
	}
	built := store.Built{Content: w.job.Content, Token: w.job.Token, Digest: "sha256-" + digest, BlobBytes: stats.Packed,
		Files: int64(stats.Files), Bytes: stats.Bytes}
	for try := 0; ; try++ {
		r, err := s.reader()
		if err == nil {
			_, err = b.cfg.Store.PutArchive(ctx, w.job.Content, r, built.Digest)
		}
		if err != nil {
			return err
		}
		if err = b.finish(built); err == nil {
			break
		}
		if try == 2 || !swept(err) {
			return err
		}
	}
	if !before {
		put()
	}
	return nil
}

// spoolMemory is the largest archive that is not written to a file of its own first; 99 of 100 are
// smaller. Its digest, which is in its name, is known only when it is whole.
const spoolMemory = 4 << 20

// spool keeps an archive until its digest is known.
type spool struct {
	dir  string
	buf  bytes.Buffer
	file *os.File // without a name; nil: all is in buf
}

func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && s.buf.Len()+len(p) > spoolMemory {
		f, err := os.CreateTemp(s.dir, "archive-")
		if err != nil {
			return 0, fmt.Errorf("make a file for an archive: %w", err)
		}
		s.file = f
		if err := os.Remove(f.Name()); err != nil { // so that nothing can be left behind
			return 0, err
		}
		if _, err := s.file.Write(s.buf.Bytes()); err != nil {
			return 0, err
		}
		s.buf = bytes.Buffer{}
	}
	if s.file != nil {
		return s.file.Write(p)
	}
	return s.buf.Write(p)
}

// reader reads it from the beginning.
func (s *spool) reader() (io.Reader, error) {
	if s.file == nil {
		return bytes.NewReader(s.buf.Bytes()), nil
	}
	_, err := s.file.Seek(0, io.SeekStart)
	return s.file, err
}

func (s *spool) close() {
	if s.file != nil {
		s.file.Close()
	}
}
