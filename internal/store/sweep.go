package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Sweep removes code that no version names, with types or without, and that is older than age, temporary files that a crash
// left among it, and idempotency keys past their time. It returns the number of blobs removed. Run
// calls it; any number of nodes may do so at once.
func (s *Store) Sweep(ctx context.Context, age time.Duration) (removed int, err error) {
	if err := s.pruneKeys(ctx); err != nil {
		return 0, err
	}
	for _, prefix := range []string{codePrefix, strippedPrefix} {
		n, err := s.sweep(ctx, prefix, age)
		removed += n
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

func (s *Store) sweep(ctx context.Context, prefix string, age time.Duration) (removed int, err error) {
	for b, err := range s.blobs.list(ctx, prefix) {
		if err != nil {
			return removed, err
		}
		query, args := owner(b.key)
		if old := time.Since(b.written); old < age || query == "" && old < strayAge {
			continue
		}
		gone, err := s.removeOrphan(ctx, b.key, query, args)
		if err != nil {
			return removed, err
		}
		if gone {
			removed++
		}
	}
	return removed, nil
}

// strayAge is how old a file must be that is no blob: younger ones may be being written.
const strayAge = 10 * time.Minute

// owner is the query for a version that names a blob, "" if the key is not that of one.
func owner(key string) (query string, args []any) {
	digest := strings.TrimSuffix(strings.TrimPrefix(key, codePrefix), codeSuffix)
	if validDigest(digest) && codeKey(digest) == key {
		return `SELECT 1 FROM versions WHERE digest = $1`, []any{digest}
	}
	id, rest, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(key, strippedPrefix), codeSuffix), "-")
	if number, err := strconv.Atoi(rest); err == nil && strippedKey(id, number) == key {
		return `SELECT 1 FROM versions WHERE function_id = $1 AND number = $2 AND status <> 'failed'`, []any{id, number}
	}
	return "", nil
}

var errNamed = errors.New("a version names it")

// removeOrphan removes a blob if the query finds no version that names it.
func (s *Store) removeOrphan(ctx context.Context, key, query string, args []any) (bool, error) {
	orphan := func(q querier) error {
		if query == "" {
			return nil
		}
		n, err := count(ctx, q, 1, query, args...)
		if err == nil && n > 0 {
			return errNamed
		}
		return err
	}
	err := orphan(s.reader) // most are named, and this asks without stopping the writers
	if err == nil {
		// The removal is within a write transaction so that no row can come to name it meanwhile;
		// insertVersion does its half.
		err = s.write(ctx, func(tx *sql.Tx) error {
			if err := orphan(tx); err != nil {
				return err
			}
			return s.blobs.remove(key)
		})
	}
	if errors.Is(err, errNamed) {
		return false, nil
	}
	return err == nil, explain("sweep blob", err)
}
