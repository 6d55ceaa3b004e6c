package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is the problem document of a call that was refused or failed.
type Error struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`   // HTTP
	Detail    string       `json:"detail"`   // a sentence for people
	Instance  string       `json:"instance"` // the request id, which Hearth's log has too
	Code      string       `json:"code"`     // invalid, not_found, conflict …
	Component string       `json:"component"`
	Reason    string       `json:"reason"`
	Errors    []FieldError `json:"errors"`

	RetryAfter time.Duration `json:"-"` // 0: not said
}

// FieldError names one field of a request and what is wrong with it.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error returns the sentence for people and, when several fields are wrong, each of them.
func (e *Error) Error() string {
	if len(e.Errors) < 2 {
		return e.Detail
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d things are wrong:", len(e.Errors))
	for _, f := range e.Errors {
		fmt.Fprintf(&b, "\n  %s %s", f.Field, f.Message)
	}
	return b.String()
}

// IsCode reports whether err is an *Error with this code.
func IsCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// newError makes the error of an answer, also of one that is not Hearth's (of a proxy before it, say).
func newError(res *http.Response, body []byte) *Error {
	e := &Error{}
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if media != "application/problem+json" || json.Unmarshal(body, e) != nil || e.Detail == "" {
		e = &Error{Title: http.StatusText(res.StatusCode),
			Detail: fmt.Sprintf("%s answered %s, not in Hearth's words.", res.Request.URL.Host, res.Status)}
	}
	e.Status = res.StatusCode
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s >= 0 && s <= 86400 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}
