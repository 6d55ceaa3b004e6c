package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"hearth"
)

// lockMost bounds a lock in bytes; a thousand packages make about a megabyte.
var lockMost = hearth.LimitLockBytes.Value

func lockKey(digest string) string { return lockPrefix + digest + lockSuffix }

// LockKey is what two manifests share that resolve to the same lock at the same time.
func LockKey(m hearth.Manifest) string {
	raw, err := json.Marshal([]any{m.Runtime, m.Dependencies, m.OptionalDependencies, m.PeerDependencies, m.Overrides, m.Lock})
	if err != nil { // the manifest was read from JSON
		raw = fmt.Append(nil, m)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// PutLock keeps a package-lock.json and returns its digest. It is durable; a lock that no version and
// no cache names within minutes is swept away.
func (s *Store) PutLock(ctx context.Context, lock []byte) (digest string, err error) {
	if int64(len(lock)) > lockMost {
		return "", fmt.Errorf("keep lock: it has %d bytes", len(lock))
	}
	digest = digestOf(lock)
	if _, err := s.Lock(ctx, digest); err == nil {
		return digest, explain("keep lock", s.blobs.sync(lockKey(digest)))
	}
	return digest, explain("keep lock", s.blobs.put(ctx, lockKey(digest), s.codec.enc.EncodeAll(lock, nil)))
}

// Lock returns a lock by its digest, checked against it.
func (s *Store) Lock(ctx context.Context, digest string) ([]byte, error) {
	if !validDigest(digest) {
		return nil, fmt.Errorf("read lock: %.100q is not a digest", digest)
	}
	data, err := s.blobs.get(ctx, lockKey(digest), lockMost)
	if errors.Is(err, errNoBlob) {
		return nil, notFound("lock")
	}
	if err != nil {
		return nil, explain("read lock", err)
	}
	raw, err := s.codec.dec.DecodeAll(data, nil)
	if err == nil && digestOf(raw) != digest {
		err = errors.New("the bytes are another's")
	}
	if err != nil {
		return nil, fmt.Errorf("read lock %s: %w", digest, err)
	}
	return raw, nil
}

// CachedLock returns the lock that a manifest of this tenant resolved to no longer than ttl ago, with
// registries in this state (TenantRegistries.State); nil: there is none.
func (s *Store) CachedLock(ctx context.Context, tenant, registries string, m hearth.Manifest, ttl time.Duration) (lock []byte, digest string, err error) {
	err = s.reader.QueryRowContext(ctx, `SELECT lock FROM lock_cache WHERE tenant = $1 AND manifest = $2 AND at > $3 AND registries = $4`,
		tenant, LockKey(m), now()-ttl.Microseconds(), registries).Scan(&digest)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, "", nil
	}
	if err == nil {
		lock, err = s.Lock(ctx, digest)
	}
	if hearth.CodeOf(err) == hearth.CodeNotFound {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", explain("read cached lock", err)
	}
	return lock, digest, nil
}

// CacheLock remembers what a manifest of this tenant resolved to, with registries in this state. The
// lock is in the blob store.
func (s *Store) CacheLock(ctx context.Context, tenant, registries string, m hearth.Manifest, digest string) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		n, err := count(ctx, tx, 1, `SELECT 1 FROM tenants WHERE name = $1`, tenant)
		if err != nil || n == 0 { // deleted meanwhile
			return err
		}
		if there, err := s.blobs.exists(ctx, lockKey(digest)); err != nil {
			return err
		} else if !there {
			return fmt.Errorf("cache lock %s: %w", digest, ErrBlobGone)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO lock_cache (tenant, manifest, lock, at, registries) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (tenant, manifest) DO UPDATE SET lock = excluded.lock, at = excluded.at, registries = excluded.registries`,
			tenant, LockKey(m), digest, now(), registries)
		return err
	})
}

func forgetLock(ctx context.Context, tx *sql.Tx, tenant, manifest string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM lock_cache WHERE tenant = $1 AND manifest = $2`, tenant, manifest)
	return err
}
