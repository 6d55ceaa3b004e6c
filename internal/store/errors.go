package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"syscall"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"hearth"
)

// notFound is the same sentence for what is absent and for what is another tenant's.
func notFound(what string) *hearth.Error {
	err := hearth.Errorf(hearth.CodeNotFound, "There is no such %s.", what)
	err.Component = hearth.ComponentRequest
	return err
}

func conflict(reason, format string, args ...any) *hearth.Error {
	err := hearth.Errorf(hearth.CodeConflict, format, args...)
	err.Component, err.Reason = hearth.ComponentRequest, reason
	return err
}

// orNotFound turns the absence of a row into not_found, and other errors into what a person reads.
func orNotFound(err error, what string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return notFound(what)
	}
	return explain("read "+what, err)
}

// explain turns an error of the database or the disk into what a person should read and do. It
// leaves nil, *hearth.Error and the end of a context as they are.
func explain(doing string, err error) error {
	var he *hearth.Error
	if err == nil || errors.As(err, &he) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	away := func(code hearth.Code, reason, message string, retry time.Duration) error {
		return &hearth.Error{Code: code, Component: hearth.ComponentPlatform, Reason: reason, Message: message,
			RetryAfter: retry, Cause: fmt.Errorf("%s: %w", doing, err)}
	}
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	var se *sqlite.Error
	if errors.As(err, &se) {
		switch se.Code() & 0xff { // the rest of an extended code says where it happened
		case sqlite3.SQLITE_FULL:
			full = true
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return away(hearth.CodeUnavailable, "database_busy", "The database is busy; try again.", time.Second)
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return away(hearth.CodeUnavailable, "database_damaged",
				"The database is damaged; the operator has to stop Hearth and restore it from a backup.", time.Minute)
		case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
			return away(hearth.CodeUnavailable, "database_disk",
				"The database's disk cannot be read or written; the operator finds the cause in Hearth's log.", 10*time.Second)
		}
	}
	if full {
		return away(hearth.CodeNoSpace, "disk_full", "The disk that holds Hearth's state is full; nothing was changed. The operator has to free some space.", 0)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
