package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"gocloud.dev/secrets"
)

// Config says where the state lives.
type Config struct {
	Database string          // "sqlite:PATH"
	Blobs    string          // "file:DIRECTORY"
	Keeper   *secrets.Keeper // seals secrets; it is called within a transaction, so its key must be local
	Log      *slog.Logger

	// OnChange is called after each commit that changes a route, before the write is acknowledged, by
	// the writer's goroutine; container is "" when all containers of the tenant may be concerned.
	// Calls for one container may overlap and come in another order than the commits did, so the
	// callee reads the routes again rather than believe an order. May be nil.
	OnChange func(tenant, container string)
}

// Store is the durable state. It is safe for concurrent use.
type Store struct {
	writer   *sql.DB // one connection, for which writers queue
	reader   *sql.DB // several, which cannot write
	blobs    *blobs
	codec    *codec
	keeper   *secrets.Keeper
	log      *slog.Logger
	onChange func(tenant, container string)
}

// Open opens the database and the blob store, makes them if they are absent, and brings the schema
// up to date. It refuses a schema newer than this binary, and a keeper that cannot open what was
// sealed before.
func Open(ctx context.Context, c Config) (_ *Store, err error) {
	if c.Keeper == nil || c.Log == nil {
		return nil, errors.New("open store: it needs a keeper and a log")
	}
	path, ok := strings.CutPrefix(c.Database, "sqlite:")
	if !ok || path == "" {
		return nil, fmt.Errorf("open store: the database %q is not one that this version of Hearth knows; use sqlite:PATH", schemeOf(c.Database))
	}
	s := &Store{keeper: c.Keeper, log: c.Log, onChange: c.OnChange}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.onChange == nil {
		s.onChange = func(string, string) {}
	}
	if s.codec, err = newCodec(); err != nil {
		return nil, err
	}
	if s.blobs, err = openBlobs(c.Blobs); err != nil {
		return nil, err
	}
	if s.writer, s.reader, err = openSQLite(ctx, path); err != nil {
		return nil, err
	}
	if err := s.checkKeeper(ctx); err != nil {
		return nil, err
	}
	return s, s.dropClaims(ctx)
}

// schemeOf is what may be shown of a URL, which can hold a password.
func schemeOf(url string) string {
	scheme, _, ok := strings.Cut(url, ":")
	if !ok || len(scheme) > 20 {
		return "(no scheme)"
	}
	return scheme + ":…"
}

const (
	sweepEvery = 10 * time.Minute
	// A blob is written moments before its row; one that is older and has no row is an orphan. The
	// age only saves work: deleting a blob that a write is about to name is harmless (see insertVersion).
	sweepAge = 10 * time.Minute
)

// Run sweeps away blobs and idempotency keys that nothing needs, until ctx is done.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if n, err := s.Sweep(ctx, sweepAge); err != nil && ctx.Err() == nil {
			s.log.Warn("sweep stopped early", "err", err)
		} else if n > 0 {
			s.log.Info("sweep removed unused blobs", "count", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Close waits for queries in flight and closes everything.
func (s *Store) Close() error {
	var errs []error
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil { // last, so that it is the one that folds the WAL back into the database
		errs = append(errs, s.writer.Close())
	}
	if s.blobs != nil {
		errs = append(errs, s.blobs.bucket.Close())
	}
	if s.codec != nil {
		s.codec.close()
	}
	return errors.Join(errs...)
}

// querier is what reads need: the reading connections, or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// write runs do in a transaction that no other writer overlaps. An error of do rolls it back. do may
// be run again where a database asks for that, so it must set what it returns from scratch.
func (s *Store) write(ctx context.Context, do func(tx *sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return explain("begin transaction", err)
	}
	defer tx.Rollback() // does nothing after a commit
	if err := do(tx); err != nil {
		return explain("write", err)
	}
	return explain("commit", tx.Commit())
}

// collect runs a query and scans each row.
func collect[T any](ctx context.Context, q querier, scan func(row scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// scanner is a *sql.Row or *sql.Rows.
type scanner interface{ Scan(dest ...any) error }

// count counts the rows of a query that selects 1, at most up to most.
func count(ctx context.Context, q querier, most int64, query string, args ...any) (n int64, err error) {
	args = append(args, most)
	err = q.QueryRowContext(ctx, fmt.Sprintf("SELECT count(*) FROM (%s LIMIT $%d) AS found", query, len(args)), args...).Scan(&n)
	return n, err
}

// Times are kept as microseconds, so what a write returns is cut to what a read will return.
func now() int64                    { return time.Now().UnixMicro() }
func timeOf(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
