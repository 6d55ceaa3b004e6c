package problem_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hearth"
	"hearth/internal/problem"
)

func write(t *testing.T, err error) (*http.Response, problem.Problem) {
	t.Helper()
	w := httptest.NewRecorder()
	problem.Write(w, "req-1", err)
	var p problem.Problem
	if jerr := json.Unmarshal(w.Body.Bytes(), &p); jerr != nil {
		t.Fatalf("body %q: %v", w.Body, jerr)
	}
	return w.Result(), p
}

func TestEveryCodeHasItsStatus(t *testing.T) {
	t.Parallel()
	for code, status := range map[hearth.Code]int{
		hearth.CodeInvalid: 422, hearth.CodeMalformed: 400, hearth.CodeUnauthorized: 401, hearth.CodeForbidden: 403,
		hearth.CodeNotFound: 404, hearth.CodeMethodNotAllowed: 405, hearth.CodeRequestTimeout: 408, hearth.CodeConflict: 409,
		hearth.CodePreconditionFailed: 412, hearth.CodeTooLarge: 413, hearth.CodeURITooLong: 414, hearth.CodeUnsupportedMedia: 415,
		hearth.CodeHeadersTooLarge: 431, hearth.CodeInternal: 500, hearth.CodeFunctionError: 500, hearth.CodeBadAnswer: 502,
		hearth.CodeUnavailable: 503, hearth.CodeTimeout: 504, hearth.CodeNoSpace: 507,
	} {
		res, p := write(t, fmt.Errorf("do thing: %w", hearth.Errorf(code, "Words for %s.", "people")))
		if res.StatusCode != status || p.Status != status || p.Code != code || p.Instance != "req-1" || p.Component == "" || p.Title == "" {
			t.Errorf("%s: status %d, problem %+v, want status %d", code, res.StatusCode, p, status)
		}
		if got := res.Header.Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%s: content type %q", code, got)
		}
	}
}

func TestInternalErrorsKeepTheirTextToThemselves(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		errors.New("secret path /root/x"),
		&hearth.Error{Code: hearth.CodeInternal, Message: "secret message", Cause: errors.New("secret cause")},
		&hearth.Error{Code: "no such code", Message: "secret"},
		&hearth.Error{Code: hearth.CodeConflict, Message: "fine", Cause: errors.New("secret cause")},
	} {
		w := httptest.NewRecorder()
		problem.Write(w, "req-1", err)
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: body %s", err, w.Body)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	res, _ := write(t, &hearth.Error{Code: hearth.CodeUnavailable, Message: "x", RetryAfter: 1200 * time.Millisecond})
	if got := res.Header.Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2", got)
	}
	res, _ = write(t, hearth.Errorf(hearth.CodeUnauthorized, "x"))
	if got := res.Header.Get("WWW-Authenticate"); got == "" {
		t.Error("401 without WWW-Authenticate")
	}
	if got := res.Header.Get("Hearth-Request-Id"); got != "req-1" {
		t.Errorf("hearth-request-id %q", got)
	}
}

func TestRepeatedTextIsBounded(t *testing.T) {
	t.Parallel()
	e := hearth.Invalid("body", "%s", strings.Repeat("é", 1<<20))
	for range 1000 {
		e.Fields = append(e.Fields, e.Fields[0])
	}
	w := httptest.NewRecorder()
	problem.Write(w, "req-1", e)
	if w.Body.Len() > 1<<20 {
		t.Errorf("problem of %d bytes", w.Body.Len())
	}
}
