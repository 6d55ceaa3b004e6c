package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"
)

// Sweep removes code that no version names and that is older than age, temporary files that a crash
// left among it, and idempotency keys past their time. It returns the number of blobs removed. Run
// calls it; any number of nodes may do so at once.
func (s *Store) Sweep(ctx context.Context, age time.Duration) (removed int, err error) {
	if err := s.pruneKeys(ctx); err != nil {
		return 0, err
	}
	for b, err := range s.blobs.list(ctx, codePrefix) {
		if err != nil {
			return removed, err
		}
		if old := time.Since(b.written); old < age || !isCode(b.key) && old < strayAge {
			continue
		}
		gone, err := s.removeOrphan(ctx, b.key)
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

func digestIn(key string) string {
	return strings.TrimSuffix(strings.TrimPrefix(key, codePrefix), codeSuffix)
}

func isCode(key string) bool {
	digest := digestIn(key)
	return validDigest(digest) && codeKey(digest) == key
}

var errNamed = errors.New("a version names it")

// removeOrphan removes a blob if no version names it.
func (s *Store) removeOrphan(ctx context.Context, key string) (bool, error) {
	digest := digestIn(key)
	orphan := func(q querier) error {
		n, err := count(ctx, q, 1, `SELECT 1 FROM versions WHERE digest = $1`, digest)
		if err == nil && n > 0 && isCode(key) {
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
