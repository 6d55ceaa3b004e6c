package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"hearth"
	"hearth/internal/pool/upstream"
)

// deathNews is how long an answer waits for the news that its instance has ended, which travels by
// way of the warden, so that it can say more than that the connection broke.
const deathNews = 250 * time.Millisecond

// notReady is how long a client should wait for a version to settle: a deploy takes about as long.
const notReady = 2 * time.Second

var (
	errClientGone = errors.New("the client went away")
	errPanic      = errors.New("a request panicked")

	// errNoFunction is one for all: a stranger learns nothing about which names exist.
	errNoFunction = &hearth.Error{Code: hearth.CodeNotFound, Component: hearth.ComponentRequest, Message: "There is no such function."}
)

// inactive is the answer while no version serves.
func inactive(route *hearth.Route) error {
	if route.LatestStatus == hearth.StatusFailed {
		return &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentCode, Reason: "failed", RetryAfter: notReady,
			Message: "No version of the function works: the newest one failed when it was deployed."}
	}
	return &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentCode, Reason: "building", RetryAfter: notReady,
		Message: "The function is being deployed and has no version that serves yet."}
}

// bodyFault says what a failed read of the client's body means.
func (x *exchange) bodyFault(err error) error {
	var ne net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		e := hearth.Exceeded(hearth.CodeRequestTimeout, hearth.LimitBodyIdle)
		e.Component = hearth.ComponentRequest
		return e
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.As(err, &ne):
		return errClientGone
	}
	return &hearth.Error{Code: hearth.CodeMalformed, Component: hearth.ComponentRequest, Message: "The body of the request is not well formed.", Cause: err}
}

// diagnose turns what went wrong between us and the instance into what the client reads, and
// decides what happens to the instance.
func (x *exchange) diagnose(err error) error {
	// Asked before anything is stopped: net/http ends the context at any failed read, and so also
	// when a deadline of ours wakes a reader.
	gone := x.r.Context().Err() != nil
	if x.conn != nil && x.up != nil {
		late := errors.Is(err, os.ErrDeadlineExceeded) && x.up.waiting.Load()
		x.stopUpload()
		if x.up.fault != nil {
			return x.up.fault
		}
		if late {
			e := hearth.Exceeded(hearth.CodeRequestTimeout, hearth.Limit{Name: hearth.LimitTimeout.Name, Unit: "ms",
				Value: int64(x.route.Manifest.TimeoutMS), About: "The time of a request", Raise: "the function's manifest sets it"})
			e.Component, e.Reason = hearth.ComponentRequest, "body"
			return e
		}
	}
	var he *hearth.Error
	switch {
	case gone, errors.Is(err, errClientGone):
		return errClientGone
	case errors.Is(err, errSlowClient):
		return err
	case errors.As(err, &he):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		x.outcome = Timeout
		return &hearth.Error{Code: hearth.CodeTimeout, Component: hearth.ComponentCode, Reason: "timeout", Cause: err,
			Message: "The function took longer than its limit of " + (time.Duration(x.route.Manifest.TimeoutMS) * time.Millisecond).String() + "."}
	case errors.Is(err, upstream.ErrMalformed):
		x.outcome = BadAnswer
		return &hearth.Error{Code: hearth.CodeBadAnswer, Component: hearth.ComponentCode, Reason: "bad_answer", Cause: err,
			Message: "The function's instance answered with what is not HTTP."}
	}
	if x.grant == nil { // no instance was found in the place of one that ended
		return err
	}
	return x.broken(err)
}

// broken explains a connection that ended early: with its instance, or without.
func (x *exchange) broken(err error) error {
	news := time.NewTimer(deathNews)
	defer news.Stop()
	select {
	case <-x.grant.Gone():
		x.outcome = Died
		reason, message := x.grant.Ended(), "The function's instance ended before it had answered."
		if reason == "oom" {
			message = "The function's instance needed more memory than its limit and was ended."
		}
		return &hearth.Error{Code: hearth.CodeBadAnswer, Component: hearth.ComponentCode, Reason: reason, Message: message, Cause: err}
	case <-x.r.Context().Done():
		return errClientGone
	case <-news.C:
	}
	x.outcome = BadAnswer
	message := "The function closed the connection before it had answered."
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		message = "The function's instance cannot be reached."
	}
	return &hearth.Error{Code: hearth.CodeBadAnswer, Component: hearth.ComponentCode, Reason: "closed", Message: message, Cause: err}
}
