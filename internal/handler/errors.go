package handler

import (
	"fmt"
	"time"

	"hearth"
)

// gone is the answer for a function that is not there; the same for any reason.
func gone() error {
	return hearth.Errorf(hearth.CodeNotFound, "There is no such function.")
}

// inactive is the answer for a function without a version that serves.
func inactive(r *hearth.Route) error {
	e := &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentCode}
	if r.LatestStatus == hearth.StatusFailed {
		e.Reason, e.Message, e.RetryAfter = "failed", "No version of the function loads; its owner has to deploy one that does.", 10*time.Second
	} else {
		e.Reason, e.Message, e.RetryAfter = "building", "The function's first version is being built.", time.Second
	}
	return e
}

func draining() *hearth.Error {
	return &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "draining",
		Message: "This node is stopping or starting.", RetryAfter: time.Second}
}

// platform is the answer when Hearth could not get an instance ready.
func platform(reason string, cause error) *hearth.Error {
	return &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: reason,
		Message: "No instance could be made ready.", RetryAfter: time.Second, Cause: cause}
}

// crashed is the answer while a container that keeps crashing has to wait.
func crashed(wait time.Duration) *hearth.Error {
	return &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentCode, Reason: "crashed",
		Message: "The function's instances crashed several times in a row; the next is started shortly.", RetryAfter: seconds(wait)}
}

// full is the answer when a bound of the line is reached.
func full(l hearth.Limit) *hearth.Error {
	e := hearth.Exceeded(hearth.CodeUnavailable, l)
	e.RetryAfter = time.Second
	return e
}

// late is the answer to a request that waited as long as it may.
func late(waited time.Duration) *hearth.Error {
	l := hearth.LimitQueueTime
	e := full(l)
	e.Message = fmt.Sprintf("The request waited %s for an instance with room. %s", waited.Round(time.Millisecond), e.Message)
	return e
}

// seconds rounds up to what Retry-After can say, at least one.
func seconds(d time.Duration) time.Duration {
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
}
