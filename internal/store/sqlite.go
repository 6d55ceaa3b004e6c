package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"hearth"
)

//go:embed migrations
var migrations embed.FS

// readers bounds the connections that read; each costs a page cache of about 2 MiB.
const readers = 4

// openSQLite returns a pool of one connection that writes and a pool of some that read.
func openSQLite(ctx context.Context, path string) (writer, reader *sql.DB, err error) {
	fail := func(err error) (*sql.DB, *sql.DB, error) {
		if writer != nil {
			writer.Close()
		}
		if reader != nil {
			reader.Close()
		}
		return nil, nil, fmt.Errorf("open database %s: %w", path, explain("open", err))
	}
	if err := create(path); err != nil {
		return fail(err)
	}
	// A transaction that will write takes the lock when it begins: one that reads first and wants to
	// write later would have to be run again if another writer came between.
	if writer, err = sql.Open("sqlite", dsn(path, "_txlock=immediate")); err != nil {
		return fail(err)
	}
	writer.SetMaxOpenConns(1)
	if err := migrate(ctx, writer); err != nil {
		return fail(err)
	}
	if reader, err = sql.Open("sqlite", dsn(path, "_pragma=query_only(1)")); err != nil {
		return fail(err)
	}
	reader.SetMaxOpenConns(readers)
	reader.SetMaxIdleConns(readers)
	if err := reader.PingContext(ctx); err != nil {
		return fail(err)
	}
	return writer, reader, nil
}

// create makes an empty database that only its owner can read; SQLite gives its other files the same
// mode. An existing file is not opened here: closing it again would take away the locks that this
// process may hold on it.
func create(path string) error {
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), syncDir(filepath.Dir(path)))
}

func dsn(path, more string) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	u.RawQuery = "_pragma=busy_timeout(5000)" + // ms; another process has it open during an upgrade
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" + // a commit is on the disk when it returns
		"&_pragma=foreign_keys(1)&_pragma=cell_size_check(1)&_pragma=trusted_schema(0)" +
		"&_pragma=journal_size_limit(67108864)" + // bytes of WAL that stay after a checkpoint
		"&_defensive=1&_dqs=0&" + more
	return u.String()
}

func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if have > want {
		return hearth.Errorf(hearth.CodeUnavailable, "it was written by a newer Hearth (schema %d, this one knows %d): start that version again, or restore a backup from before the upgrade", have, want)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate schema from %d to %d: %w", have, want, err)
	}
	return nil
}
