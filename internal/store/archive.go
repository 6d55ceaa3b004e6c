package store

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"hearth"
)

// An archive is a tar of the version's files, sorted by path, with nothing in it that depends on time
// or machine. Its digest is that of the tar, not of the zstd around it, so that equal files have
// equal digests whatever version of the compressor wrote them.

// archiveMost bounds a tar in bytes: the code, and for each file its header, a second one for a long
// path (three blocks), and padding. The same bounds what it may be compressed to.
var archiveMost = hearth.LimitCodeBytes.Value + hearth.LimitCodeFiles.Value*5*512 + 1024

const digestPrefix = "sha256-"

// codec packs and unpacks archives. It is safe for concurrent use.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	// Two of each bound their memory: more than two deploys or cold loads at once wait here.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(uint64(archiveMost)))
	if err != nil {
		return nil, err
	}
	return &codec{enc, dec}, nil
}

func (c *codec) close() {
	c.enc.Close()
	c.dec.Close()
}

// pack returns the archive of files and its digest. It refuses whatever unpack would refuse, since
// what cannot be read again must not be acknowledged.
func (c *codec) pack(files []hearth.File) (digest string, data []byte, err error) {
	if len(files) == 0 {
		return "", nil, hearth.Invalid("files", "must hold at least one file")
	}
	if len(files) > hearth.LimitCodeFiles.Int() {
		return "", nil, hearth.Exceeded(hearth.CodeTooLarge, hearth.LimitCodeFiles)
	}
	var total int64
	names := make(map[string]bool, len(files)) // true: a file, false: a folder
	for _, f := range files {
		if err := hearth.CheckFilePath(f.Path); err != nil {
			return "", nil, hearth.Invalid("files", "%s", err.Message)
		}
		if _, ok := names[f.Path]; ok {
			return "", nil, hearth.Invalid("files", "path %q is there twice, or is a file and a folder", f.Path)
		}
		names[f.Path] = true
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			isFile, ok := names[dir]
			if isFile {
				return "", nil, hearth.Invalid("files", "path %q is a file and a folder", dir)
			}
			if ok {
				break
			}
			names[dir] = false
		}
		if total += int64(len(f.Data)); total > hearth.LimitCodeBytes.Value {
			return "", nil, hearth.Exceeded(hearth.CodeTooLarge, hearth.LimitCodeBytes)
		}
	}
	sorted := slices.SortedFunc(slices.Values(files), func(a, b hearth.File) int { return strings.Compare(a.Path, b.Path) })
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range sorted {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Size: int64(len(f.Data)), Mode: 0o444}); err != nil {
			return "", nil, fmt.Errorf("pack %q: %w", f.Path, err)
		}
		if _, err := w.Write(f.Data); err != nil {
			return "", nil, fmt.Errorf("pack %q: %w", f.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		return "", nil, fmt.Errorf("pack: %w", err)
	}
	return digestOf(buf.Bytes()), c.enc.EncodeAll(buf.Bytes(), nil), nil
}

// unpack returns the files of an archive with this digest. Nothing is returned of an archive that is
// damaged, hostile or larger than one can be.
func (c *codec) unpack(data []byte, digest string) ([]hearth.File, error) {
	raw, err := c.dec.DecodeAll(data, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", digest, err)
	}
	if got := digestOf(raw); got != digest {
		return nil, fmt.Errorf("unpack %s: the bytes are those of %s", digest, got)
	}
	files, err := readTar(raw)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", digest, err)
	}
	return files, nil
}

// readTar reads what pack wrote and nothing else: regular files, sorted, with paths that a function's
// files may have.
func readTar(raw []byte) ([]hearth.File, error) {
	var files []hearth.File
	r := tar.NewReader(bytes.NewReader(raw))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg || h.Size < 0 || h.Size > int64(len(raw)) {
			return nil, fmt.Errorf("%q is not a file", h.Name)
		}
		if err := hearth.CheckFilePath(h.Name); err != nil {
			return nil, err
		}
		if n := len(files); n == hearth.LimitCodeFiles.Int() || n > 0 && files[n-1].Path >= h.Name {
			return nil, errors.New("too many files, or not in order")
		}
		data := make([]byte, h.Size)
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, fmt.Errorf("read %q: %w", h.Name, err)
		}
		files = append(files, hearth.File{Path: h.Name, Data: data})
	}
}

// Digest is how a blob's bytes are named, "sha256-…".
func Digest(raw []byte) string { return digestOf(raw) }

func digestOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return digestPrefix + hex.EncodeToString(sum[:])
}

// validDigest reports whether s is spelt as digestOf spells.
func validDigest(s string) bool {
	rest, ok := strings.CutPrefix(s, digestPrefix)
	raw, err := hex.DecodeString(rest)
	return ok && err == nil && len(raw) == sha256.Size && rest == strings.ToLower(rest)
}
