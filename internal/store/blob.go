package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"
)

// blobs is the blob store. What put returned from is on the disk.
type blobs struct {
	bucket *blob.Bucket
	dir    string // where the files are
}

// Each kind of blob has a prefix of its own.
const (
	codePrefix     = "code/"     // archives of versions
	strippedPrefix = "stripped/" // those of versions in TypeScript, without types
	codeSuffix     = ".tar.zst"
	packagePrefix  = "packages/" // archives of contents
	packageSuffix  = ".tar.zst"
	lockPrefix     = "locks/"
	lockSuffix     = ".json.zst"
)

var errNoBlob = errors.New("there is no such blob")

func openBlobs(address string) (*blobs, error) {
	dir, ok := strings.CutPrefix(address, "file:")
	if !ok || dir == "" {
		return nil, fmt.Errorf("open blob store: %q is not one that this version of Hearth knows; use file:DIRECTORY", schemeOf(address))
	}
	if rest, ok := strings.CutPrefix(dir, "//"); ok { // file:///path is file:/path
		u, err := url.Parse("file://" + rest)
		if err != nil || u.Host != "" || u.RawQuery != "" {
			return nil, errors.New("open blob store: a file: address takes a path and nothing else; use file:DIRECTORY")
		}
		dir = u.Path
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	for _, prefix := range []string{codePrefix, strippedPrefix, packagePrefix, lockPrefix} {
		if err := makeDir(filepath.Join(dir, prefix)); err != nil {
			return nil, fmt.Errorf("open blob store: %w", err)
		}
	}
	// Temporary files beside the final ones, since a rename works within one file system only.
	// Those that a crash leaves behind look like blobs with odd names, and are swept like them.
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite, DirFileMode: 0o700})
	if err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	return &blobs{bucket: bucket, dir: dir}, nil
}

// put writes a blob, in place of what its key had before.
func (b *blobs) put(ctx context.Context, key string, data []byte) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var f *os.File
	w, err := b.bucket.NewWriter(ctx, key, &blob.WriterOptions{
		ContentType: "application/zstd", // else the writer holds bytes back to guess it
		BeforeWrite: func(as func(any) bool) error { as(&f); return nil },
	})
	if err != nil {
		return fmt.Errorf("write blob %s: %w", key, err)
	}
	_, err = w.Write(data)
	if err == nil && f != nil {
		// Before Close renames it, so that no name ever stands for bytes that are not on the disk.
		err = f.Sync()
	}
	if err != nil {
		cancel() // Close then removes the file instead, and says only that it was cancelled
		w.Close()
	} else {
		err = w.Close()
	}
	if err != nil {
		return fmt.Errorf("write blob %s: %w", key, err)
	}
	return b.sync(key)
}

// sync makes the name of an existing blob durable, which the writer may not have lived to do.
func (b *blobs) sync(key string) error {
	return syncDir(filepath.Dir(filepath.Join(b.dir, key)))
}

// get reads a blob of at most most bytes. It returns errNoBlob if there is none.
func (b *blobs) get(ctx context.Context, key string, most int64) ([]byte, error) {
	r, err := b.bucket.NewReader(ctx, key, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fmt.Errorf("read blob %s: %w", key, errNoBlob)
	}
	if err != nil {
		return nil, fmt.Errorf("read blob %s: %w", key, err)
	}
	defer r.Close()
	if r.Size() > most {
		return nil, fmt.Errorf("read blob %s: it has %d bytes, more than any archive", key, r.Size())
	}
	var data bytes.Buffer
	data.Grow(int(r.Size()) + bytes.MinRead)
	if _, err := data.ReadFrom(io.LimitReader(r, most)); err != nil {
		return nil, fmt.Errorf("read blob %s: %w", key, err)
	}
	return data.Bytes(), nil
}

func (b *blobs) exists(ctx context.Context, key string) (bool, error) {
	return b.bucket.Exists(ctx, key)
}

// remove deletes a blob, or whatever else list found; one that is gone already is fine.
func (b *blobs) remove(key string) error {
	if err := os.Remove(filepath.Join(b.dir, key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove blob: %w", err)
	}
	return nil
}

// blobInfo is one blob of a list.
type blobInfo struct {
	key     string
	written time.Time
}

// list ranges over the blobs below a prefix, in no order. It reads the directory itself, since
// fileblob's own list walks all of it for each page, and fails when a file vanishes meanwhile.
func (b *blobs) list(ctx context.Context, prefix string) iter.Seq2[blobInfo, error] {
	return func(yield func(blobInfo, error) bool) {
		d, err := os.Open(filepath.Join(b.dir, prefix))
		if err != nil {
			yield(blobInfo{}, fmt.Errorf("list blobs: %w", err))
			return
		}
		defer d.Close()
		for {
			entries, err := d.ReadDir(1000)
			for _, e := range entries {
				info, err := e.Info()
				if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
					continue
				}
				if err := errors.Join(err, ctx.Err()); err != nil {
					yield(blobInfo{}, fmt.Errorf("list blobs: %w", err))
					return
				}
				if !yield(blobInfo{key: prefix + e.Name(), written: info.ModTime()}, nil) {
					return
				}
			}
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(blobInfo{}, fmt.Errorf("list blobs: %w", err))
				return
			}
		}
	}
}

// makeDir makes a directory with its parents, so that they survive a loss of power.
func makeDir(dir string) error {
	if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
