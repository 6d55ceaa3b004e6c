package problem

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hearth"
)

// ContentType is the media type of a problem.
const ContentType = "application/problem+json"

// The bounds of what a problem repeats of a request.
const (
	maxText   = 4 << 10 // bytes of a detail or a message
	maxFields = 64      // entries of errors
)

// Problem is the document that RFC 9457 describes, with Hearth's own members code, component,
// reason and errors.
type Problem struct {
	Type      string              `json:"type"`
	Title     string              `json:"title"`
	Status    int                 `json:"status"`
	Detail    string              `json:"detail"`
	Instance  string              `json:"instance"` // the request id
	Code      hearth.Code         `json:"code"`
	Component hearth.Component    `json:"component"`
	Reason    string              `json:"reason,omitempty"`
	Errors    []hearth.FieldError `json:"errors,omitempty"`
}

type kind struct {
	status    int
	title     string
	component hearth.Component // of an error that names none
}

var kinds = map[hearth.Code]kind{
	hearth.CodeInvalid:            {http.StatusUnprocessableEntity, "Invalid request", hearth.ComponentRequest},
	hearth.CodeMalformed:          {http.StatusBadRequest, "Malformed request", hearth.ComponentRequest},
	hearth.CodeUnauthorized:       {http.StatusUnauthorized, "Unauthorized", hearth.ComponentRequest},
	hearth.CodeForbidden:          {http.StatusForbidden, "Forbidden", hearth.ComponentRequest},
	hearth.CodeNotFound:           {http.StatusNotFound, "Not found", hearth.ComponentRequest},
	hearth.CodeMethodNotAllowed:   {http.StatusMethodNotAllowed, "Method not allowed", hearth.ComponentRequest},
	hearth.CodeRequestTimeout:     {http.StatusRequestTimeout, "Request timeout", hearth.ComponentRequest},
	hearth.CodeConflict:           {http.StatusConflict, "Conflict", hearth.ComponentRequest},
	hearth.CodePreconditionFailed: {http.StatusPreconditionFailed, "Precondition failed", hearth.ComponentRequest},
	hearth.CodeTooLarge:           {http.StatusRequestEntityTooLarge, "Too large", hearth.ComponentLimit},
	hearth.CodeURITooLong:         {http.StatusRequestURITooLong, "URI too long", hearth.ComponentLimit},
	hearth.CodeUnsupportedMedia:   {http.StatusUnsupportedMediaType, "Unsupported media type", hearth.ComponentRequest},
	hearth.CodeHeadersTooLarge:    {http.StatusRequestHeaderFieldsTooLarge, "Header fields too large", hearth.ComponentLimit},
	hearth.CodeInternal:           {http.StatusInternalServerError, "Internal error", hearth.ComponentPlatform},
	hearth.CodeFunctionError:      {http.StatusInternalServerError, "Function error", hearth.ComponentCode},
	hearth.CodeBadAnswer:          {http.StatusBadGateway, "Bad answer", hearth.ComponentCode},
	hearth.CodeUnavailable:        {http.StatusServiceUnavailable, "Unavailable", hearth.ComponentPlatform},
	hearth.CodeTimeout:            {http.StatusGatewayTimeout, "Timeout", hearth.ComponentCode},
	hearth.CodeNoSpace:            {http.StatusInsufficientStorage, "No space", hearth.ComponentPlatform},
}

// Status returns the HTTP status of err; 500 for an error without a known code.
func Status(err error) int { return of(err).status }

func of(err error) kind {
	if k, ok := kinds[hearth.CodeOf(err)]; ok {
		return k
	}
	return kinds[hearth.CodeInternal]
}

// From makes the document of err for the request with this id.
func From(requestID string, err error) Problem {
	k := of(err)
	p := Problem{Type: "about:blank", Title: k.title, Status: k.status, Instance: requestID,
		Code: hearth.CodeInternal, Component: hearth.ComponentPlatform,
		Detail: "Something went wrong in Hearth. The operator finds the cause in the log under request id " + requestID + "."}
	var e *hearth.Error
	if !errors.As(err, &e) || k.status == http.StatusInternalServerError && e.Code != hearth.CodeFunctionError {
		return p
	}
	p.Code, p.Component, p.Reason, p.Detail = e.Code, e.Component, e.Reason, cut(e.Message)
	if p.Component == "" {
		p.Component = k.component
	}
	for _, f := range e.Fields[:min(len(e.Fields), maxFields)] {
		p.Errors = append(p.Errors, hearth.FieldError{Field: cut(f.Field), Message: cut(f.Message)})
	}
	return p
}

// Write answers a request with the problem of err. What the handler had set about its own answer's
// body is removed; other headers (Allow of a 405, say) stay.
func Write(w http.ResponseWriter, requestID string, err error) {
	p := From(requestID, err)
	body, merr := json.Marshal(p)
	if merr != nil { // a Problem holds nothing but strings
		body = []byte(`{"status":500}`)
	}
	h := w.Header()
	for _, name := range []string{"Content-Encoding", "Etag", "Last-Modified", "Content-Range", "Trailer"} {
		h.Del(name)
	}
	h.Set("Content-Type", ContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Hearth-Request-Id", requestID)
	var e *hearth.Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		// Rounded up: a client that comes too early only comes again.
		h.Set("Retry-After", strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="hearth"`)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // the client is gone: nobody is left to tell
}

// cut bounds text that may repeat what a request said.
func cut(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
