package unpack

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// FromTarball reads a package as the registry serves it: a tar in gzip. It follows npm (pacote's
// tarball filter): the first part of each path is taken off, symlinks and hard links are left out, a
// file is executable if any x bit is set or if package.json has it in "bin". The Content depends on
// the bytes alone. The caller closes it.
func FromTarball(ctx context.Context, r io.Reader, l Limits) (*Content, error) {
	l = l.withDefaults()
	src := &source{ctx: ctx, r: r, most: l.Packed}
	unzip := &members{src: bufio.NewReaderSize(src, 64<<10)}
	rd := &reader{limits: l, strip: 1, drop: true, src: src,
		meter: &meter{ctx: ctx, r: unzip, src: src, ratio: l.Ratio}}
	c, err := rd.read(ctx)
	if err != nil {
		return nil, err
	}
	c.markBins()
	return c, nil
}

// FromTar reads a plain tar whose entries are relative to the package's folder, as a build sandbox
// answers it. Symlinks that stay inside are kept. The caller closes the Content.
func FromTar(ctx context.Context, r io.Reader, l Limits) (*Content, error) {
	l = l.withDefaults()
	l.Packed = max(l.Packed, l.Total+int64(l.Entries)*1024+mostHeader) // it is not packed
	src := &source{ctx: ctx, r: r, most: l.Packed}
	rd := &reader{limits: l, whole: true, src: src, meter: &meter{ctx: ctx, r: bufio.NewReaderSize(src, 64<<10), src: src}}
	return rd.read(ctx)
}

// reader reads one hostile tar.
type reader struct {
	limits Limits
	strip  int
	drop   bool // links
	whole  bool // there must be an end marker: no checksum says that the rest is not missing
	src    *source
	meter  *meter

	dropped int
}

func (rd *reader) read(ctx context.Context) (_ *Content, err error) {
	t, b := newTree(rd.limits), newBin(rd.limits)
	defer func() {
		if err != nil {
			b.close()
			err = rd.explain(err)
		}
	}()
	tr := tar.NewReader(rd.meter)
	for {
		rd.meter.left = mostHeader
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := t.met(); err != nil {
			return nil, err
		}
		if err := rd.entry(t, b, tr, h); err != nil {
			return nil, err
		}
	}
	if rd.whole && rd.meter.dry {
		return nil, io.ErrUnexpectedEOF
	}
	if err := rd.drain(); err != nil {
		return nil, err
	}
	c := &Content{spool: b.spool}
	if c.Entries, err = t.sorted(); err != nil {
		return nil, err
	}
	c.count()
	c.Stats.Dropped, c.Stats.Packed = rd.dropped, rd.src.n
	return c, nil
}

// entry takes one entry in.
func (rd *reader) entry(t *tree, b *bin, tr *tar.Reader, h *tar.Header) error {
	if sparse(h) {
		return refuseEntry(ReasonSparse, h.Name, "is a file with holes")
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader: // git archive writes one, with the commit in it
		return nil
	case tar.TypeReg, tar.TypeCont, tar.TypeDir:
	case tar.TypeSymlink, tar.TypeLink:
		if rd.drop {
			rd.dropped++
			return nil
		}
	default:
		return refuseEntry(ReasonType, h.Name, "is of type %q: no file, folder or symlink", h.Typeflag)
	}
	name, err := clean(h.Name, rd.strip, rd.limits.Depth)
	if err != nil {
		return err
	}
	kind := h.Typeflag
	if kind != tar.TypeDir && strings.HasSuffix(h.Name, "/") && h.Size == 0 && h.Linkname == "" {
		kind = tar.TypeDir // as the oldest tars wrote them
	}
	if name == "" {
		if kind == tar.TypeDir || rd.strip > 0 {
			return rd.skip(t, tr, h)
		}
		return refuseEntry(ReasonPath, h.Name, "is no folder, and in the place of the package's own")
	}
	switch kind {
	case tar.TypeDir:
		return t.put(Entry{Path: name, Kind: Folder})
	case tar.TypeSymlink:
		if err := checkTarget(name, h.Linkname); err != nil {
			return err
		}
		return t.put(Entry{Path: name, Kind: Link, Target: h.Linkname})
	case tar.TypeLink:
		return rd.hardLink(t, name, h)
	}
	if strings.HasSuffix(h.Name, "/") {
		return refuseEntry(ReasonPath, h.Name, "is a file with the name of a folder")
	}
	e := Entry{Path: name, Kind: File, Exec: h.Mode&0o111 != 0, Size: h.Size}
	if err := t.room(name, e.Size); err != nil {
		return err
	}
	rd.meter.left = e.Size + mostHeader
	if err := b.take(&e, tr); err != nil {
		return err
	}
	return t.put(e)
}

// skip reads over the body of an entry that npm would not write either.
func (rd *reader) skip(t *tree, tr *tar.Reader, h *tar.Header) error {
	if err := t.room(h.Name, h.Size); err != nil {
		return err
	}
	t.total += h.Size // else a bomb might lie in what is skipped
	rd.meter.left = h.Size + mostHeader
	_, err := io.Copy(io.Discard, tr)
	return err
}

// hardLink makes an equal file of what is another name of an earlier one.
func (rd *reader) hardLink(t *tree, name string, h *tar.Header) error {
	target, err := clean(h.Linkname, rd.strip, rd.limits.Depth)
	if err != nil {
		return err
	}
	old := t.entries[target]
	if old == nil || old.Kind != File {
		return refuseEntry(ReasonLinkMissing, name, "is a hard link to %s, which is no file before it", quote(h.Linkname))
	}
	e := *old
	e.Path = name
	if err := t.room(name, e.Size); err != nil {
		return err
	}
	return t.put(e)
}

// sparse knows the four ways to write a file with holes: the reader would fill them with zeros, at no
// cost to who sends them.
func sparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// drain reads what follows the end of the tar, so that the checksum of the gzip is checked. npm ignores
// what stands there, and so do we, within bounds.
func (rd *reader) drain() error {
	rd.meter.left = rd.limits.Total - min(rd.meter.n, rd.limits.Total) + mostHeader
	_, err := io.Copy(io.Discard, rd.meter)
	return err
}

// explain finds what an error means: the reader's own trouble, ours, or a fault of the archive.
func (rd *reader) explain(err error) error {
	var spool *spoolError
	var known *refusal
	switch {
	case rd.src.err != nil:
		return rd.src.err
	case rd.meter.err != nil && errors.As(rd.meter.err, &known):
		return rd.meter.err
	case errors.As(err, &known):
		return err
	case errors.As(err, &spool):
		return diskError("unpack", spool.err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return withCause(refuse(ReasonTruncated, "it ends too early"), err)
	case errors.Is(err, errTrailing):
		return refuse(ReasonTrailing, "something follows its end")
	case rd.meter.err != nil:
		return withCause(refuse(ReasonPacking, "it cannot be decompressed"), err)
	}
	return withCause(refuse(ReasonNotTar, "it is no tar, or a damaged one"), err)
}

func withCause(err, cause error) error {
	var r *refusal
	if errors.As(err, &r) {
		r.what.Cause = cause
	}
	return err
}

var errTrailing = errors.New("something follows the last member")

// members reads one gzip member after the other. gzip.Reader can do that too, but calls zeros at the
// end, which tapes and some registries' tools add, an error.
type members struct {
	src  *bufio.Reader
	zip  *gzip.Reader
	runs int
}

// mostMembers bounds members, since empty ones cost time and never meet another limit.
const mostMembers = 10_000

func (m *members) Read(p []byte) (int, error) {
	for {
		if m.zip == nil {
			zip, err := gzip.NewReader(m.src)
			if err != nil {
				return 0, err
			}
			zip.Multistream(false)
			m.zip = zip
		}
		n, err := m.zip.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			if errors.Is(err, io.EOF) {
				err = nil // the next call finds out
			}
			return n, err
		}
		if err := m.next(); err != nil {
			return 0, err
		}
	}
}

func (m *members) next() error {
	head, err := m.src.Peek(1)
	if err != nil {
		return err
	}
	if head[0] == 0 {
		return m.zeros()
	}
	if head[0] != 0x1f {
		return errTrailing
	}
	if m.runs++; m.runs > mostMembers {
		return refuse(ReasonBomb, "it is made of more than %d parts", mostMembers)
	}
	if err := m.zip.Reset(m.src); err != nil {
		return err
	}
	m.zip.Multistream(false)
	return nil
}

func (m *members) zeros() error {
	for {
		b, err := m.src.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return errTrailing
		}
	}
}
