package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"hearth"
)

// A key is claimed, then finished with an answer or abandoned. A claim whose process died is free
// again when the store is next opened; the lease frees it where other nodes go on meanwhile.
const (
	keyLife    = 24 * time.Hour
	claimLease = 10 * time.Minute // longer than any write takes: a deploy's answer is held for 5 minutes at most
	answerMost = 1 << 20          // bytes of a kept body
)

// Answer is the answer to a write, kept so that a repeated Idempotency-Key gets the same one.
type Answer struct {
	Status int
	Header map[string]string
	Body   []byte // at most 1 MiB
}

// Claim is the right to carry out the write of one Idempotency-Key.
type Claim struct{ scope, key, token string }

// Begin claims a key. It returns the kept answer if the write was made before (Answer not nil), or
// the claim with which to make it. Scope keeps the keys of tenants and tokens apart; fingerprint
// stands for the request (method, path, body). Errors: invalid (reason idempotency_key_reused) for
// the same key with another request, conflict (reason idempotency_key_in_progress) while the first is
// still being made.
func (s *Store) Begin(ctx context.Context, scope, key, fingerprint string) (answer *Answer, claim Claim, err error) {
	if len(key) == 0 || len(key) > 255 {
		return nil, claim, hearth.Invalid("Idempotency-Key", "must have 1 to 255 bytes")
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		answer, claim = nil, Claim{scope, key, newID()}
		at := now()
		var status int
		var header, had string
		var body []byte
		var claimed int64
		err := tx.QueryRowContext(ctx, `SELECT fingerprint, status, header, body, claimed_at FROM idempotency_keys WHERE scope = $1 AND key = $2`,
			scope, key).Scan(&had, &status, &header, &body, &claimed)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			n, err := count(ctx, tx, hearth.LimitIdempotencyKeys.Value, `SELECT 1 FROM idempotency_keys WHERE scope = $1`, scope)
			if err != nil {
				return err
			}
			if n >= hearth.LimitIdempotencyKeys.Value {
				err := hearth.Exceeded(hearth.CodeUnavailable, hearth.LimitIdempotencyKeys)
				err.RetryAfter = time.Hour
				return err
			}
		case err != nil:
			return err
		case at-claimed > keyLife.Microseconds() || status == 0 && at-claimed > claimLease.Microseconds():
			// As if it had never been used.
		case had != fingerprint:
			err := hearth.Invalid("Idempotency-Key", "was used for another request; take a new one")
			err.Reason = "idempotency_key_reused"
			return err
		case status == 0:
			err := conflict("idempotency_key_in_progress", "The request with this Idempotency-Key is still being carried out; try again.")
			err.RetryAfter = time.Second
			return err
		default:
			answer, claim = &Answer{Status: status, Body: body}, Claim{}
			return json.Unmarshal([]byte(header), &answer.Header)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO idempotency_keys (scope, key, fingerprint, token, status, header, body, claimed_at)
			VALUES ($1, $2, $3, $4, 0, '{}', $5, $6) ON CONFLICT (scope, key) DO UPDATE
			SET fingerprint = excluded.fingerprint, token = excluded.token, status = 0, header = '{}', body = excluded.body, claimed_at = excluded.claimed_at`,
			scope, key, fingerprint, claim.token, []byte{}, at)
		return err
	})
	if err != nil {
		return nil, Claim{}, err
	}
	return answer, claim, nil
}

// Finish keeps the answer for 24 hours. It does nothing if the claim has passed to another since. An
// answer larger than is kept gives the key back, as Abandon does.
func (s *Store) Finish(ctx context.Context, c Claim, a Answer) error {
	if a.Header == nil {
		a.Header = map[string]string{}
	}
	header, err := json.Marshal(a.Header)
	if err != nil {
		return fmt.Errorf("keep answer: %w", err)
	}
	if len(a.Body) > answerMost || len(header) > 64<<10 {
		return s.Abandon(ctx, c)
	}
	if a.Body == nil {
		a.Body = []byte{}
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE idempotency_keys SET status = $4, header = $5, body = $6 WHERE scope = $1 AND key = $2 AND token = $3`,
			c.scope, c.key, c.token, a.Status, string(header), a.Body)
		return err
	})
}

// Abandon gives the key back unused, for a write that failed and may be tried again.
func (s *Store) Abandon(ctx context.Context, c Claim) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM idempotency_keys WHERE scope = $1 AND key = $2 AND token = $3 AND status = 0`, c.scope, c.key, c.token)
		return err
	})
}

// dropClaims frees the keys whose writes ended with the process that made them. On SQLite only one
// process writes, so whatever is claimed when a store opens was left behind; during an upgrade the
// old process may still be at one, and since every write may be repeated, that is harmless.
func (s *Store) dropClaims(ctx context.Context) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM idempotency_keys WHERE status = 0`)
		return err
	})
}

const pruneKeys = `DELETE FROM idempotency_keys WHERE claimed_at < $1`

func (s *Store) pruneKeys(ctx context.Context) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, pruneKeys, now()-keyLife.Microseconds())
		return err
	})
}
