package store

import (
	"context"
	"errors"
	"fmt"

	"hearth"
)

func codeKey(digest string) string { return codePrefix + digest + codeSuffix }

// Code returns the files of the archive with this digest, checked against it. The bytes of a damaged
// one go nowhere: that, and one that is absent, is unavailable (reasons code_damaged, code_missing).
func (s *Store) Code(ctx context.Context, digest string) ([]hearth.File, error) {
	if !validDigest(digest) {
		return nil, fmt.Errorf("read code: %.100q is not a digest", digest)
	}
	away := func(reason, message string, err error) error {
		return &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: reason, Message: message, Cause: err}
	}
	data, err := s.blobs.get(ctx, codeKey(digest), archiveMost)
	switch {
	case errors.Is(err, errNoBlob):
		return nil, away("code_missing", "The code of this version is missing from the blob store; deploy it again.", err)
	case err != nil:
		return nil, explain("read code", err)
	}
	files, err := s.codec.unpack(data, digest)
	if err != nil {
		return nil, away("code_damaged", "The code of this version is damaged in the blob store; deploy it again.", err)
	}
	return files, nil
}

// keepCode writes an archive unless an intact one is there. So deploying again mends damage.
func (s *Store) keepCode(ctx context.Context, digest string, archive []byte) error {
	key := codeKey(digest)
	if data, err := s.blobs.get(ctx, key, archiveMost); err == nil {
		if _, err := s.codec.unpack(data, digest); err == nil {
			return s.blobs.sync(key)
		}
	}
	return s.blobs.put(ctx, key, archive)
}
