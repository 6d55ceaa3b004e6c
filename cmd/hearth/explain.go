package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"hearth"
	"hearth/client"
	"hearth/internal/config"
)

// explain puts an error into the user's words: one sentence, a way out, an exit code.
func explain(err error) *failure {
	var (
		f        *failure
		mistakes config.Mistakes
		refused  *client.Error
		limit    *hearth.Error
		call     *url.Error
		network  *net.OpError
	)
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &mistakes):
		return &failure{code: exitUsage, text: mistakes.Error()}
	case errors.As(err, &refused):
		return explainRefusal(refused)
	case errors.As(err, &limit):
		return &failure{code: exitOf(limit.Code), text: err.Error()}
	case errors.Is(err, context.Canceled):
		return &failure{code: exitFailure, text: "interrupted"}
	case errors.As(err, &call):
		where := "Hearth"
		if u, perr := url.Parse(call.URL); perr == nil && u.Host != "" {
			where = u.Scheme + "://" + u.Host
		}
		f := &failure{code: exitUnavailable, text: fmt.Sprintf("%s cannot be reached: %v", where, call.Err),
			hint: "is hearth serve running there? Otherwise give --url or HEARTH_URL"}
		if errors.As(call.Err, &network) {
			f.text = fmt.Sprintf("%s cannot be reached: %v", where, network.Err)
		}
		if call.Timeout() {
			f.text = where + " did not answer in time"
		}
		return f
	}
	return &failure{code: exitFailure, text: err.Error()}
}

func explainRefusal(e *client.Error) *failure {
	f := &failure{code: exitOf(hearth.Code(e.Code)), text: e.Error()}
	if e.Code == "" { // something between us and Hearth answered
		f.code = exitUnavailable
		f.hint = "is --url or HEARTH_URL the address of the management side?"
	}
	switch {
	case e.Status == http.StatusUnauthorized:
		f.hint = "give --token-file FILE or HEARTH_TOKEN_FILE with the token of this Hearth"
	case e.Status == http.StatusPreconditionFailed:
		f.hint = "somebody else has changed it; look at it again with hearth get"
	case e.Status == http.StatusInternalServerError:
		f.hint = "the operator finds the cause in the log of hearth serve under request id " + e.Instance
	case e.RetryAfter > 0:
		f.hint = "try again in " + e.RetryAfter.Round(time.Second).String()
	}
	return f
}

func exitOf(code hearth.Code) int {
	switch code {
	case hearth.CodeNotFound:
		return exitNotFound
	case hearth.CodeUnauthorized, hearth.CodeForbidden:
		return exitUnauthorized
	case hearth.CodeConflict, hearth.CodePreconditionFailed:
		return exitConflict
	case hearth.CodeUnavailable, hearth.CodeNoSpace, hearth.CodeRequestTimeout:
		return exitUnavailable
	case hearth.CodeInvalid, hearth.CodeMalformed, hearth.CodeTooLarge, hearth.CodeURITooLong, hearth.CodeUnsupportedMedia,
		hearth.CodeHeadersTooLarge, hearth.CodeMethodNotAllowed:
		return exitUsage
	}
	return exitFailure
}
