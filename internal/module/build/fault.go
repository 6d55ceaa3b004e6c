package build

import (
	"context"
	"errors"
	"time"

	"hearth"
	"hearth/internal/module/builder"
	"hearth/internal/module/unpack"
	"hearth/internal/store"
)

// failureReason is the reason of failures that a deploy is told.
const failureReason = "dependencies"

// scriptError is a package whose own script failed.
type scriptError struct{ failure hearth.Failure }

func (e *scriptError) Error() string { return e.failure.Message }

// withOutput is an error with what the script had printed.
type withOutput struct {
	err    error
	output string
}

func (e *withOutput) Error() string { return e.err.Error() }
func (e *withOutput) Unwrap() error { return e.err }

func outputOf(err error) string {
	var o *withOutput
	if errors.As(err, &o) {
		return o.output
	}
	return ""
}

const (
	awayLeast = time.Second
	awayMost  = 30 * time.Second
)

// judge says whose trouble an error is, and what a deploy is told.
//
//   - The package's own, final for a while: its script failed; the registry does not have it, refuses it,
//     or has other bytes under its name; the archive is hostile.
//   - The registry's: it cannot be reached, or says 429 or 5xx. Tried for ever, and said so.
//   - Ours, tried three times: everything else.
func judge(err error) (store.Fault, hearth.Failure) {
	f := hearth.Failure{Reason: failureReason, Message: err.Error(), Stack: outputOf(err)}
	var script *scriptError
	if errors.As(err, &script) {
		return store.FaultPackage, script.failure
	}
	var he *hearth.Error
	if errors.Is(err, builder.ErrEnded) { // ours until it was tried again: a crash of the warden looks the same
		f.Message = "the build sandbox ended before the install script did; a script that ends all processes, or takes all memory, does that"
		return store.FaultOurs, f
	}
	if !errors.As(err, &he) {
		f.Reason = "platform"
		f.Message = "Hearth could not build this package; the operator finds the cause in its log"
		return store.FaultOurs, f
	}
	f.Message = he.Message
	switch {
	case unpack.Refused(err) != "":
		return store.FaultPackage, f
	case he.Code == hearth.CodeInvalid || he.Code == hearth.CodeTooLarge || he.Code == hearth.CodeMalformed:
		return store.FaultPackage, f
	case he.Reason == "package_missing" || he.Reason == "registry_denied" || he.Reason == "integrity":
		return store.FaultPackage, f
	case he.Code == hearth.CodeUnavailable && he.Reason != "registry_answer" && fromRegistry(he):
		return store.FaultAway, f
	}
	f.Reason = "platform"
	return store.FaultOurs, f
}

// fromRegistry tells the registry's trouble from that of our own database and disks.
func fromRegistry(e *hearth.Error) bool {
	switch e.Reason {
	case "database_busy", "database_damaged", "database_disk", "disk_error", "package_missing", "package_damaged":
		return false
	}
	return true
}

// fail writes down what became of a content that was not made, and when it is tried again.
func (b *Builder) fail(ctx context.Context, w *work, err error) (outcome string) {
	fault, f := judge(err)
	var after time.Duration
	if fault == store.FaultAway {
		fault, after = b.absent(w, err)
	} else {
		b.succeeded(ctx, w.job.Package.Tenant)
	}
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	retry, ferr := b.cfg.Store.FailContent(write, w.job, fault, f, after)
	log := b.cfg.Log.With("content", w.job.Content, "package", w.job.Package.Package, "version", w.job.Package.Version)
	switch {
	case errors.Is(ferr, store.ErrLeaseLost):
		return "lost"
	case ferr != nil: // the lease ends, and somebody tries again
		log.Error("cannot write down that a build failed", "failure", f.Message, "err", ferr)
		return "retry"
	case retry.IsZero():
		log.Warn("cannot build package", "err", err)
		b.progress.failed(w.job.Content, f)
		return "failed"
	}
	log.Info("will build package again", "at", retry, "err", err)
	if qerr := b.queue.wake(write, retry, class(w)); qerr != nil {
		log.Warn("cannot queue a retry; it is found later", "err", qerr)
	}
	if fault == store.FaultOurs {
		return "retry"
	}
	b.progress.waiting(w.job.Content, f.Message)
	return "away"
}

func class(w *work) int {
	if w.job.Package.Scripts {
		return scripted
	}
	return pure
}

// absence is a registry that does not answer.
type absence struct {
	times int       // in a row
	since time.Time // of the last of them: what began before is not another one
}

// succeeded says that a tenant's registry answers. What was put off meanwhile is due at once.
func (b *Builder) succeeded(ctx context.Context, tenant string) {
	b.mu.Lock()
	_, was := b.away[tenant]
	delete(b.away, tenant)
	if len(b.success) >= successMost {
		clear(b.success) // then a content that fails puts off the others of its registry once too often
	}
	b.success[tenant] = time.Now()
	b.mu.Unlock()
	if !was {
		return
	}
	if err := b.cfg.Store.RegistryBack(ctx, tenant); err != nil {
		if ctx.Err() == nil {
			b.cfg.Log.Warn("cannot go on at once with what waited for a registry", "err", err)
		}
		return
	}
	b.kick(pure)
	b.kick(scripted)
}

// successMost bounds what is remembered of registries.
const successMost = 10_000

// absent says how long a registry that did not answer is left alone: by this content, and by all when
// none has had an answer since this one asked.
func (b *Builder) absent(w *work, err error) (store.Fault, time.Duration) {
	tenant := w.job.Package.Tenant
	b.mu.Lock()
	defer b.mu.Unlock()
	fault := store.FaultAwayAll
	if b.success[tenant].After(w.began) {
		fault = store.FaultAway
	}
	a := b.away[tenant]
	if w.began.After(a.since) { // else it failed beside others, for which the wait has grown already
		a.times++
		a.since = time.Now()
	}
	if len(b.away) < successMost {
		b.away[tenant] = a
	}
	after := min(awayLeast<<min(a.times-1, 10), awayMost)
	var he *hearth.Error
	if errors.As(err, &he) {
		after = max(after, min(he.RetryAfter, 10*awayMost))
	}
	return fault, after
}
