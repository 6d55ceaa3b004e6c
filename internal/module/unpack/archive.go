package unpack

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// An archive is a tar in zstd: all folders, then what is in them, sorted by path, without owners, all
// times the same, modes 0644 and 0755, USTAR headers and PAX ones where a name does not fit.

// epoch is the time of every entry, so that equal contents make equal archives.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// window bounds what the decoder has to keep in memory of an archive, however hostile it is.
const window = 4 << 20

// Encoders and decoders have some MiB of tables each; to make them anew costs more than to pack a
// package does (18 KB on a busy machine, 2026-11-25: 0.02 ms with the pool, BenchmarkWrite, and 3 ms without).
var (
	encoders = sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(fmt.Sprintf("the encoder's options, which are constants, are refused: %v", err))
		}
		return e
	}}
	decoders = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
		if err != nil {
			panic(fmt.Sprintf("the decoder's options, which are constants, are refused: %v", err))
		}
		return d
	}}
)

// counter hashes and counts what passes.
type counter struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.hash.Write(p[:n])
	c.n += int64(n)
	return n, err
}

// Write writes the archive of c and returns its sha256 in hex. Equal contents make equal bytes, as long
// as the compressor stays the same; a digest is therefore kept and never computed again.
func Write(ctx context.Context, w io.Writer, c *Content) (digest string, s Stats, err error) {
	out := &counter{w: w, hash: sha256.New()}
	enc := encoders.Get().(*zstd.Encoder)
	defer func() {
		enc.Reset(nil) // it must not keep w
		encoders.Put(enc)
	}()
	enc.Reset(out)
	tw := tar.NewWriter(enc)
	for i := range c.Entries {
		if err := ended(ctx); err != nil {
			return "", s, err
		}
		if err := writeEntry(tw, c, &c.Entries[i]); err != nil {
			return "", s, fmt.Errorf("write archive: %s: %w", c.Entries[i].Path, err)
		}
	}
	if err := errors.Join(tw.Close(), enc.Close()); err != nil {
		return "", s, fmt.Errorf("write archive: %w", err)
	}
	s = c.Stats
	s.Packed = out.n
	return hex.EncodeToString(out.hash.Sum(nil)), s, nil
}

func header(e *Entry) *tar.Header {
	h := &tar.Header{Name: e.Path, ModTime: epoch, Mode: 0o644}
	switch e.Kind {
	case Folder:
		h.Typeflag, h.Mode, h.Name = tar.TypeDir, 0o755, e.Path+"/"
	case Link:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Target
	case File:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
		if e.Exec {
			h.Mode = 0o755
		}
	}
	return h
}

func writeEntry(tw *tar.Writer, c *Content, e *Entry) error {
	if err := tw.WriteHeader(header(e)); err != nil {
		return err
	}
	if e.Kind != File {
		return nil
	}
	if data, ok := c.Bytes(e); ok {
		_, err := tw.Write(data)
		return err
	}
	_, err := io.Copy(tw, c.Open(e))
	return err
}

// Load reads an archive that Write made, whose sha256 is digest. The archive is hostile until the last
// byte: a builder or the blob store may have been broken into. The caller closes the Content.
func Load(ctx context.Context, r io.Reader, digest string, l Limits) (*Content, error) {
	l = l.withDefaults()
	sum := sha256.New()
	src := &source{ctx: ctx, r: io.TeeReader(r, sum), most: l.Packed}
	dec := decoders.Get().(*zstd.Decoder)
	defer func() {
		if dec.Reset(nil) == nil { // it must not keep r
			decoders.Put(dec)
		}
	}()
	if err := dec.Reset(bufio.NewReaderSize(src, 64<<10)); err != nil {
		return nil, withCause(refuse(ReasonPacking, "it is no zstd"), err)
	}
	// No ratio: a builder's zeros are as good as anybody's, and Total bounds them.
	rd := &reader{limits: l, src: src, meter: &meter{ctx: ctx, r: dec, src: src}}
	c, err := rd.load(ctx)
	// What is wrong with bytes that are not ours does not matter: they are the wrong bytes.
	if src.err == nil {
		if _, e := io.Copy(io.Discard, src); e == nil && hex.EncodeToString(sum.Sum(nil)) != digest {
			c.Close()
			return nil, withCause(refuse(ReasonDigest, "it is not the one that was built: its sha256 is another"), err)
		}
	}
	if err == nil {
		err = src.err
	}
	if err != nil {
		c.Close()
		return nil, rd.explain(err)
	}
	return c, nil
}

// Read unpacks an archive below dst, which is empty. Nothing is written before the digest was right.
func Read(ctx context.Context, r io.Reader, digest string, dst *os.Root, l Limits) (Stats, error) {
	c, err := Load(ctx, r, digest, l)
	if err != nil {
		return Stats{}, err
	}
	defer c.Close()
	return c.Stats, c.WriteTo(ctx, dst)
}

// load reads a tar that is as Write writes it, and nothing else.
func (rd *reader) load(ctx context.Context) (_ *Content, err error) {
	t, b := newTree(rd.limits), newBin(rd.limits)
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	c := &Content{}
	tr := tar.NewReader(rd.meter)
	last := ""
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
		e, err := rd.normal(t, h)
		if err != nil {
			return nil, err
		}
		if e.Path <= last {
			return nil, refuseEntry(ReasonNotNormal, h.Name, "is not in its place of the order")
		}
		last = e.Path
		rd.meter.left = e.Size + mostHeader
		if err := b.take(&e, tr); err != nil {
			return nil, err
		}
		if err := t.put(e); err != nil {
			return nil, err
		}
	}
	if rd.meter.dry {
		return nil, io.ErrUnexpectedEOF
	}
	rd.meter.left = mostHeader
	if n, err := io.Copy(io.Discard, rd.meter); err != nil {
		return nil, err
	} else if n > 0 {
		return nil, refuse(ReasonTrailing, "something follows its end")
	}
	c.spool = b.spool
	if c.Entries, err = t.sorted(); err != nil {
		return nil, err
	}
	c.count()
	c.Stats.Packed = rd.src.n
	return c, nil
}

// normal returns the entry of a header, if Write would have written it so.
func (rd *reader) normal(t *tree, h *tar.Header) (Entry, error) {
	var e Entry
	if sparse(h) {
		return e, refuseEntry(ReasonSparse, h.Name, "is a file with holes")
	}
	switch h.Typeflag {
	case tar.TypeReg:
		e = Entry{Kind: File, Exec: h.Mode == 0o755, Size: h.Size}
	case tar.TypeDir:
		e = Entry{Kind: Folder}
	case tar.TypeSymlink:
		e = Entry{Kind: Link, Target: h.Linkname}
	default:
		return e, refuseEntry(ReasonType, h.Name, "is of type %q: no file, folder or symlink", h.Typeflag)
	}
	var err error
	if e.Path, err = clean(h.Name, 0, rd.limits.Depth); err != nil {
		return e, err
	}
	if e.Kind == Link {
		if err := checkTarget(e.Path, e.Target); err != nil {
			return e, err
		}
	}
	if err := t.room(e.Path, e.Size); err != nil {
		return e, err
	}
	want := header(&e)
	if e.Path == "" || h.Name != want.Name || h.Mode != want.Mode || h.Linkname != want.Linkname || h.Uid != 0 || h.Gid != 0 ||
		h.Uname != "" || h.Gname != "" || !h.ModTime.Equal(epoch) || !onlyNames(h.PAXRecords) {
		return e, refuseEntry(ReasonNotNormal, h.Name, "is not as an archive of ours has it")
	}
	if above := dir(e.Path); above != "" && t.entries[above] == nil {
		return e, refuseEntry(ReasonNotNormal, h.Name, "has no folder that it lies in")
	}
	return e, nil
}

// onlyNames says whether PAX records are those that long names need.
func onlyNames(records map[string]string) bool {
	for key, value := range records {
		if key != "path" && key != "linkpath" || value == "" {
			return false
		}
	}
	return true
}
