package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"
)

// sweptKind is a kind of blob with what tells whether a row names it.
type sweptKind struct {
	prefix string
	isBlob func(key string) bool // spelt as this kind's are; anything else is a stray
	named  string                // selects a row that names it
	args   func(key string) []any
}

var sweptKinds = []sweptKind{
	{codePrefix, isCode, `SELECT 1 FROM versions WHERE digest = $1`,
		func(key string) []any { return []any{digestIn(key, codePrefix, codeSuffix)} }},
	{strippedPrefix, isStripped, `SELECT 1 FROM versions WHERE function_id = $1 AND number = $2 AND status <> 'failed'`, func(key string) []any {
		function, number := strippedIn(key)
		return []any{function, number}
	}},
	{packagePrefix, isArchive, `SELECT 1 FROM contents WHERE digest = $1 AND id = $2`, func(key string) []any {
		content, digest := archiveIn(key)
		return []any{digest, content}
	}},
	{lockPrefix, isLock, `SELECT 1 FROM versions WHERE lock = $1 UNION ALL SELECT 1 FROM lock_cache WHERE lock = $1`,
		func(key string) []any { return []any{digestIn(key, lockPrefix, lockSuffix)} }},
}

// Sweep removes blobs that no row names and that are older than age, temporary files that a crash left
// among them, trees that no version has had for a week, with what only they used, and keys and cached
// locks past their time. It returns the number of blobs removed. Run calls it; any number of nodes may
// do so at once.
func (s *Store) Sweep(ctx context.Context, age time.Duration) (removed int, err error) {
	if err := s.pruneKeys(ctx); err != nil {
		return 0, err
	}
	if err := s.pruneTrees(ctx, treeLife); err != nil {
		return 0, err
	}
	for _, kind := range sweptKinds {
		for b, err := range s.blobs.list(ctx, kind.prefix) {
			if err != nil {
				return removed, err
			}
			if old := time.Since(b.written); old < age || !kind.isBlob(b.key) && old < strayAge {
				continue
			}
			gone, err := s.removeOrphan(ctx, kind, b.key)
			if err != nil {
				return removed, err
			}
			if gone {
				removed++
			}
		}
	}
	return removed, nil
}

// strayAge is how old a file must be that is no blob: younger ones may be being written.
const strayAge = 10 * time.Minute

func digestIn(key, prefix, suffix string) string {
	return strings.TrimSuffix(strings.TrimPrefix(key, prefix), suffix)
}

func isCode(key string) bool {
	digest := digestIn(key, codePrefix, codeSuffix)
	return validDigest(digest) && codeKey(digest) == key
}

func strippedIn(key string) (function string, number int) {
	function, rest, _ := strings.Cut(digestIn(key, strippedPrefix, codeSuffix), "-")
	number, _ = strconv.Atoi(rest) // what is no number is no key either
	return function, number
}

func isStripped(key string) bool {
	function, number := strippedIn(key)
	return strippedKey(function, number) == key
}

func isLock(key string) bool {
	digest := digestIn(key, lockPrefix, lockSuffix)
	return validDigest(digest) && lockKey(digest) == key
}

func archiveIn(key string) (content, digest string) {
	content, digest, _ = strings.Cut(digestIn(key, packagePrefix, packageSuffix), ".")
	return content, digestPrefix + digest
}

func isArchive(key string) bool {
	content, digest := archiveIn(key)
	return validKey(content) && validDigest(digest) && archiveKey(content, digest) == key
}

var errNamed = errors.New("a row names it")

// removeOrphan removes a blob if no row names it.
func (s *Store) removeOrphan(ctx context.Context, kind sweptKind, key string) (bool, error) {
	orphan := func(q querier) error {
		n, err := count(ctx, q, 1, kind.named, kind.args(key)...)
		if err == nil && n > 0 && kind.isBlob(key) {
			return errNamed
		}
		return err
	}
	err := orphan(s.reader) // most are named, and this asks without stopping the writers
	if err == nil {
		// The removal is within a write transaction so that no row can come to name it meanwhile;
		// insertVersion, FinishContents and SettleTree do their half.
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

const (
	// treeLife is how long a tree that no version has stays: the next deploy often wants it again.
	treeLife = 7 * 24 * time.Hour
	// lockLife is longer than any --lock-ttl.
	lockLife = 7 * 24 * time.Hour
	// pruneMost bounds what one transaction removes, since writers wait for it.
	pruneMost = 200
)

const (
	oldTrees    = `SELECT t.key FROM trees t WHERE t.used_at < $1 AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.tree = t.key AND length(v.tree) = 64) LIMIT $2`
	oldPackages = `DELETE FROM packages WHERE key IN (SELECT p.key FROM packages p JOIN contents c ON c.id = p.content
		WHERE c.used_at < $1 AND NOT EXISTS (SELECT 1 FROM tree_packages tp WHERE tp.key = p.key) LIMIT $2)`
	oldContents = `DELETE FROM contents WHERE id IN (SELECT c.id FROM contents c WHERE c.used_at < $1 AND c.state IN ('ready', 'failed')
		AND NOT EXISTS (SELECT 1 FROM packages p WHERE p.content = c.id) AND NOT EXISTS (SELECT 1 FROM content_needs n WHERE n.needs = c.id) LIMIT $2)`
)

// pruneTrees removes trees that no version has had for age, then packages that no tree has, then
// contents that no package has; their archives are orphans then.
func (s *Store) pruneTrees(ctx context.Context, age time.Duration) error {
	before := now() - age.Microseconds()
	some := func(query string, args ...any) error {
		for {
			var n int64
			err := s.write(ctx, func(tx *sql.Tx) error {
				result, err := tx.ExecContext(ctx, query, args...)
				if err == nil {
					n, err = result.RowsAffected()
				}
				return err
			})
			if err != nil || n == 0 || len(args) == 1 {
				return err
			}
		}
	}
	return errors.Join(
		some(`DELETE FROM lock_cache WHERE at < $1`, now()-lockLife.Microseconds()),
		some(`DELETE FROM build_turns WHERE at < $1`, before),
		some(`DELETE FROM trees WHERE key IN (`+oldTrees+`)`, before, pruneMost),
		some(oldPackages, before, pruneMost),
		some(oldContents, before, pruneMost))
}
