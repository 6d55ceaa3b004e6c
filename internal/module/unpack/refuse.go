package unpack

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"hearth"
)

// The reasons for which an archive is refused. They are stable: programs decide on them.
const (
	ReasonPacking      = "packing"        // the outer bytes are no gzip, or no zstd, or fail its checksum
	ReasonNotTar       = "not-tar"        // a header that cannot be read: wrong checksum, negative size, broken PAX record
	ReasonTruncated    = "truncated"      // the bytes end too early
	ReasonTrailing     = "trailing"       // something other than zeros after the end
	ReasonDigest       = "digest"         // the archive is not the one that was asked for
	ReasonNotNormal    = "not-normal"     // an archive of ours that Write would have written otherwise
	ReasonPath         = "path"           // absolute, "..", backslash, control character, not UTF-8, empty
	ReasonPathTooLong  = "path-too-long"  // a path or a part of it
	ReasonTooDeep      = "too-deep"       // too many folders in one another
	ReasonType         = "type"           // device, fifo, or what no tar of ours knows
	ReasonSparse       = "sparse"         // a file with holes
	ReasonConflict     = "conflict"       // a file where a folder is, or the other way round, or below a file
	ReasonThroughLink  = "through-link"   // an entry below a symlink
	ReasonLinkEscape   = "link-escape"    // a symlink that leads out, absolutely, by its text or through others
	ReasonLinkMissing  = "link-missing"   // a hard link to what is no file of the archive
	ReasonTooManyFiles = "too-many-files" // entries of any kind
	ReasonTooLarge     = "too-large"      // packed, or unpacked, or one file
	ReasonHeaders      = "headers"        // more header than any entry needs
	ReasonBomb         = "bomb"           // unpacks to many times its size
	ReasonEmpty        = "empty"          // no file at all
)

// Refused returns the reason for which an archive was refused, or "" if err is something else.
func Refused(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.what.Reason
	}
	return ""
}

// refusal tells our own errors from a *hearth.Error that the source of the bytes returned.
type refusal struct{ what *hearth.Error }

func (r *refusal) Error() string { return r.what.Error() }
func (r *refusal) Unwrap() error { return r.what }

func refuse(reason, format string, args ...any) error {
	e := hearth.Errorf(hearth.CodeMalformed, "The archive is refused: "+format+".", args...)
	switch reason {
	case ReasonTooManyFiles, ReasonTooLarge, ReasonTooDeep, ReasonPathTooLong, ReasonHeaders, ReasonBomb:
		e.Code = hearth.CodeTooLarge
	}
	e.Reason, e.Component = reason, hearth.ComponentCode
	return &refusal{e}
}

// refuseEntry is refuse for one entry, whose name is a stranger's text.
func refuseEntry(reason, name, format string, args ...any) error {
	return refuse(reason, "its entry %s %s", quote(name), fmt.Sprintf(format, args...))
}

// quote bounds a stranger's text to what one may read in a log.
func quote(s string) string {
	if len(s) > 120 {
		return fmt.Sprintf("%q…", s[:120])
	}
	return fmt.Sprintf("%q", s)
}

// diskError turns a full disk into what a person reads, and leaves other errors as they are.
func diskError(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &hearth.Error{Code: hearth.CodeNoSpace, Component: hearth.ComponentPlatform, Reason: "disk_full",
			Message: "The disk is full, so a package cannot be unpacked. The operator has to free some space.", Cause: fmt.Errorf("%s: %w", doing, err)}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func ended(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("unpack: %w", context.Cause(ctx))
	}
	return nil
}
