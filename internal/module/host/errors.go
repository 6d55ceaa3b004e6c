package host

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"hearth"
)

// explain turns trouble with the disk into what a person reads, and leaves everything else as it is.
func explain(doing string, err error) error {
	var known *hearth.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	away := &hearth.Error{Component: hearth.ComponentPlatform, Cause: fmt.Errorf("%s: %w", doing, err)}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		away.Code, away.Reason = hearth.CodeNoSpace, "disk_full"
		away.Message = "The disk that holds this node's packages is full. The operator has to free some space, or give it a larger one."
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS):
		away.Code, away.Reason = hearth.CodeUnavailable, "disk_error"
		away.Message = "The disk that holds this node's packages cannot be read or written; the operator finds the cause in Hearth's log."
	default:
		return away.Cause
	}
	return away
}

// noRoom says that the limit is reached by what is in use.
func noRoom(limit int64) error {
	return &hearth.Error{Code: hearth.CodeNoSpace, Component: hearth.ComponentPlatform, Reason: "package_disk",
		Message: fmt.Sprintf("The packages that live instances use take all of the %d MiB that this node has for packages. The operator can raise --package-disk.", limit>>20)}
}

func isFull(err error) bool {
	var known *hearth.Error
	return errors.As(err, &known) && known.Reason == "disk_full" || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// ofLeader says whether err is only that the one who did the work for all gave up.
func ofLeader(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
