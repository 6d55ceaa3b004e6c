package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"hearth"
)

// An archive's name has its digest in it, so that a builder which lost its lease writes beside what
// the other published and never over it.
func archiveKey(content, digest string) string {
	return packagePrefix + content + "." + strings.TrimPrefix(digest, digestPrefix) + packageSuffix
}

// PutArchive streams an archive into the blob store, whose bytes must have this digest. They are on the
// disk when it returns; their name is once FinishContents has.
func (s *Store) PutArchive(ctx context.Context, content string, r io.Reader, digest string) (size int64, err error) {
	if !validKey(content) || !validDigest(digest) {
		return 0, fmt.Errorf("keep archive: %.80q and %.80q are no keys", content, digest)
	}
	size, err = s.blobs.stream(ctx, archiveKey(content, digest), r, digest)
	return size, explain("keep archive", err)
}

// OpenArchive opens the archive of a ready content, with its digest, which the reader must check, and
// its size. Unavailable: it is missing; not_found: the content is not ready.
func (s *Store) OpenArchive(ctx context.Context, content string) (r io.ReadCloser, digest string, size int64, err error) {
	err = s.reader.QueryRowContext(ctx, `SELECT digest FROM contents WHERE id = $1 AND state = 'ready'`, content).Scan(&digest)
	if err != nil {
		return nil, "", 0, orNotFound(err, "package")
	}
	b, err := s.blobs.bucket.NewReader(ctx, archiveKey(content, digest), nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, "", 0, &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "package_missing", Cause: err,
			Message: "A package of this version is missing from the blob store; it will be built again."}
	}
	if err != nil {
		return nil, "", 0, explain("open archive", err)
	}
	return b, digest, b.Size(), nil
}

// RebuildContent queues a ready content again, whose archive is missing or damaged; asked is the tenant
// in whose turn. It changes nothing if the content has another digest by now, or is not ready.
func (s *Store) RebuildContent(ctx context.Context, content, digest, asked string) error {
	_, err := s.writer.ExecContext(ctx, `UPDATE contents SET state = 'queued', digest = NULL, built_at = NULL, attempts = 0, losses = 0, retry_at = 0, asked_by = $3
		WHERE id = $1 AND state = 'ready' AND digest = $2`, content, digest, asked)
	return explain("rebuild content", err)
}

// stream writes a blob whose bytes have this digest; its name is durable after the next sync.
func (b *blobs) stream(ctx context.Context, key string, r io.Reader, digest string) (n int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var f *os.File
	w, err := b.bucket.NewWriter(ctx, key, &blob.WriterOptions{
		ContentType: "application/zstd",
		BeforeWrite: func(as func(any) bool) error { as(&f); return nil },
	})
	if err != nil {
		return 0, fmt.Errorf("write blob %s: %w", key, err)
	}
	sum := sha256.New()
	n, err = io.Copy(io.MultiWriter(w, sum), r)
	if got := digestPrefix + hex.EncodeToString(sum.Sum(nil)); err == nil && got != digest {
		err = fmt.Errorf("the bytes are those of %s", got)
	}
	if err == nil && f != nil {
		err = f.Sync()
	}
	if err != nil {
		cancel() // Close then removes the file instead, and says only that it was cancelled
		w.Close()
	} else {
		err = w.Close()
	}
	if err != nil {
		return n, fmt.Errorf("write blob %s: %w", key, err)
	}
	return n, nil
}

// intact reports whether a blob's bytes have this digest.
func (b *blobs) intact(ctx context.Context, key, digest string) (bool, error) {
	r, err := b.bucket.NewReader(ctx, key, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read blob %s: %w", key, err)
	}
	defer r.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return false, fmt.Errorf("read blob %s: %w", key, err)
	}
	return digestPrefix+hex.EncodeToString(sum.Sum(nil)) == digest, nil
}
