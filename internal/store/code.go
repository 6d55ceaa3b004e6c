package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"hearth"
)

func codeKey(digest string) string { return codePrefix + digest + codeSuffix }

// Code returns the files of the archive with this digest, checked against it. The bytes of a damaged
// one go nowhere: that, and one that is absent, is unavailable (reasons code_damaged, code_missing).
func (s *Store) Code(ctx context.Context, digest string) ([]hearth.File, error) {
	if !validDigest(digest) {
		return nil, fmt.Errorf("read code: %.100q is not a digest", digest)
	}
	return s.code(ctx, codeKey(digest), digest)
}

// code reads the archive with this key and digest.
func (s *Store) code(ctx context.Context, key, digest string) ([]hearth.File, error) {
	away := func(reason, message string, err error) error {
		return &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: reason, Message: message, Cause: err}
	}
	data, err := s.blobs.get(ctx, key, archiveMost)
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

// What a version's TypeScript is without types was said by an instance of its tenant. So the archive
// is named by the version and not by what is in it, or by the code that it was made from: another
// version, of whomever, never gets it.

func strippedKey(functionID string, number int) string {
	return strippedPrefix + functionID + "-" + strconv.Itoa(number) + codeSuffix
}

// KeepStripped keeps the files of a version without types, and returns the digest of their archive,
// which Settle writes down. A second call for the same version replaces what the first one kept.
func (s *Store) KeepStripped(ctx context.Context, functionID string, number int, files []hearth.File) (digest string, err error) {
	digest, archive, err := s.codec.pack(files)
	if err != nil {
		return "", err
	}
	if err := s.blobs.put(ctx, strippedKey(functionID, number), archive); err != nil {
		return "", explain("keep stripped code", err)
	}
	return digest, nil
}

// StrippedCode returns the files that KeepStripped kept for a version, checked against the digest, with
// the errors of Code.
func (s *Store) StrippedCode(ctx context.Context, functionID string, number int, digest string) ([]hearth.File, error) {
	return s.code(ctx, strippedKey(functionID, number), digest)
}
