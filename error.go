package hearth

import (
	"errors"
	"fmt"
	"time"
)

// Code says what kind of thing went wrong. One file, internal/problem, turns codes into HTTP.
type Code string

// The codes. Each has another reader: the caller, the owner of the function, or the operator.
const (
	CodeInvalid            Code = "invalid"             // the request is wrong: 422, or 400 where it cannot be parsed
	CodeMalformed          Code = "malformed"           // the bytes are not what they claim to be: 400
	CodeUnauthorized       Code = "unauthorized"        // no token, or a wrong one: 401
	CodeForbidden          Code = "forbidden"           // a known token without this right: 403
	CodeNotFound           Code = "not_found"           // absent, or another tenant's: 404
	CodeMethodNotAllowed   Code = "method_not_allowed"  // 405
	CodeRequestTimeout     Code = "request_timeout"     // the client was too slow: 408
	CodeConflict           Code = "conflict"            // the state forbids it: 409
	CodePreconditionFailed Code = "precondition_failed" // If-Match or If-None-Match: 412
	CodeTooLarge           Code = "too_large"           // a body over its limit: 413
	CodeURITooLong         Code = "uri_too_long"        // 414
	CodeUnsupportedMedia   Code = "unsupported_media"   // 415
	CodeHeadersTooLarge    Code = "headers_too_large"   // 431
	CodeInternal           Code = "internal"            // a bug of ours: 500, id only, full text in the log
	CodeFunctionError      Code = "function_error"      // the tenant's code failed: 500 or 502
	CodeBadAnswer          Code = "bad_answer"          // the instance answered what is not HTTP, or died: 502
	CodeUnavailable        Code = "unavailable"         // wait and try again: 503
	CodeTimeout            Code = "timeout"             // the function took longer than it may: 504
	CodeNoSpace            Code = "no_space"            // 507
)

// Component says whose fault a failure was.
type Component string

// The components that an error may name.
const (
	ComponentPlatform Component = "platform" // Hearth or its machine
	ComponentCode     Component = "code"     // the tenant's function
	ComponentLimit    Component = "limit"    // a limit that somebody may raise
	ComponentRequest  Component = "request"  // the caller's request
)

// FieldError names one field of a document and what is wrong with it.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error is what a person reads. Message is one sentence in the reader's words; Reason is a short
// stable word that a program may decide on (for example "building", "pool_empty", "oom").
type Error struct {
	Code       Code
	Message    string
	Component  Component
	Reason     string
	Fields     []FieldError
	RetryAfter time.Duration // 0: no Retry-After header
	Cause      error         // for the log only, never shown
}

// Error returns the message, then the cause.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Message + ": " + e.Cause.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error with a formatted message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid makes a CodeInvalid error for one field.
func Invalid(field, format string, args ...any) *Error {
	msg := fmt.Sprintf(format, args...)
	return &Error{Code: CodeInvalid, Message: field + " " + msg, Component: ComponentRequest,
		Fields: []FieldError{{Field: field, Message: msg}}}
}

// Exceeded makes an error for a limit: it names the limit, its value and who can raise it.
func Exceeded(code Code, l Limit) *Error {
	return &Error{Code: code, Component: ComponentLimit, Reason: l.Name,
		Message: fmt.Sprintf("%s is limited to %s (limit %s; %s)", l.About, l.Text(), l.Name, l.Raise)}
}

// CodeOf returns the code of err, CodeInternal if it carries none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
