package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"hearth"
	"hearth/internal/store"
)

// preconditions says which preconditions a write can hold.
type preconditions int

const (
	noConditions preconditions = iota
	matches                    // If-Match
	creates                    // If-Match and If-None-Match: *
)

// operation is one call of the API: how it is routed, what is checked before it runs, and what
// /openapi.json says of it.
type operation struct {
	huma.Operation // Method, Path, OperationID, Summary, Description, Tags and Errors; the rest is filled in

	query      []string // known parameters
	conditions preconditions
	body       *sample // nil: no body
	answers    map[int]sample
	events     *eventsSample // nil: it has no stream
	run        func(*request) (answer, error)
}

// sample is a type of document with an example.
type sample struct {
	text    string // what it is
	of      any    // zero value of the type; nil for an answer without body
	example string // JSON
}

// eventsSample is what a stream of events is, with an example.
type eventsSample struct{ text, example string }

// answer is what an operation says when it went well.
type answer struct {
	status int
	etag   string
	body   any
	stream func() // writes the answer itself
}

// register routes an operation, and documents it.
func (a *api) register(op operation) {
	a.document(&op)
	a.huma.OpenAPI().AddOperation(&op.Operation)
	a.allowed[op.Path] = append(a.allowed[op.Path], op.Method)
	a.huma.Adapter().Handle(&op.Operation, func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		if err := a.serve(w, r, op); err != nil {
			a.fail(w, r, err)
		}
	})
}

func (a *api) serve(w http.ResponseWriter, r *http.Request, op operation) error {
	req, err := a.read(w, r, op)
	if err != nil {
		return err
	}
	if req.key != "" {
		return a.once(w, req, op)
	}
	ans, err := op.run(req)
	if err != nil && op.Method == http.MethodGet {
		return located(err)
	}
	if err != nil {
		return err
	}
	if ans.stream != nil {
		ans.stream()
		return nil
	}
	kept, err := render(ans)
	if err != nil {
		return err
	}
	send(w, kept)
	return nil
}

// located says where in the request a field is that the store or the logs found wrong: they know it
// by its name only.
func located(err error) error {
	var e *hearth.Error
	if !errors.As(err, &e) || len(e.Fields) != 1 {
		return err
	}
	where := map[string]string{"cursor": "query.", "limit": "query.", "since": "query.", "Idempotency-Key": "header."}
	prefix, ok := where[e.Fields[0].Field]
	if !ok {
		return err
	}
	out := *e
	out.Fields = []hearth.FieldError{{Field: prefix + e.Fields[0].Field, Message: e.Fields[0].Message}}
	return &out
}

// finishTime bounds the note that a write was made, which outlives a client that went away.
const finishTime = 10 * time.Second

// once makes a write once for its Idempotency-Key. Only what was written is kept: a write that failed
// changed nothing and may be tried again under the same key.
func (a *api) once(w http.ResponseWriter, req *request, op operation) error {
	kept, claim, err := a.Store.Begin(req.Context(), adminScope, req.key, req.fingerprint)
	if err != nil {
		return located(err)
	}
	if kept != nil {
		w.Header().Set("Hearth-Idempotent-Replay", "true")
		send(w, *kept)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), finishTime)
	defer cancel()
	finished := false
	defer func() { // a panic gives the key back too
		if !finished {
			if err := a.Store.Abandon(ctx, claim); err != nil {
				a.Log.Warn("idempotency key not given back", "err", err)
			}
		}
	}()
	ans, err := op.run(req)
	if err != nil {
		return err
	}
	made, err := render(ans)
	if err != nil {
		return err
	}
	if err := a.Store.Finish(ctx, claim, made); err != nil {
		// The write is made, and saying so is right; a repetition makes it again, which changes nothing.
		a.Log.Warn("answer not kept for its idempotency key", "err", err)
	} else {
		finished = true
	}
	send(w, made)
	return nil
}

// adminScope keeps the admin token's idempotency keys apart from those of other tokens.
const adminScope = "admin"

func render(ans answer) (store.Answer, error) {
	out := store.Answer{Status: ans.status, Header: map[string]string{}}
	if ans.etag != "" {
		out.Header["ETag"] = ans.etag
	}
	if ans.body == nil {
		return out, nil
	}
	out.Header["Content-Type"] = "application/json"
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(ans.body); err != nil {
		return out, errors.Join(errors.New("encode answer"), err)
	}
	out.Body = b.Bytes()
	return out, nil
}

func send(w http.ResponseWriter, ans store.Answer) {
	for name, v := range ans.Header {
		w.Header().Set(name, v)
	}
	if ans.Status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(ans.Body)))
	}
	w.WriteHeader(ans.Status)
	_, _ = w.Write(ans.Body) // the client is gone: nobody is left to tell
}

// operations are all calls of the API, in the order in which /docs shows them.
func (a *api) operations() []operation {
	var ops []operation
	for _, part := range [][]operation{a.tenants(), a.containers(), a.functions(), a.versions(), a.secrets(), a.logs(), a.packages(), a.nodes()} {
		ops = append(ops, part...)
	}
	return ops
}

// status is 201 for what was made and 200 for what was there.
func status(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

var noContent = map[int]sample{http.StatusNoContent: {text: "It is gone."}}
