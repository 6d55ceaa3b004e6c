package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hearth"
	"hearth/internal/logs"
)

// What the API shows of an entry is the entry itself: cursor, time, stream, text, request, version,
// instance, level, call and dropped.

const (
	logExample = `{"cursor":"1-240","time":"2026-03-01T09:41:00.123456Z","stream":"stdout","text":"paid 12","request":"k3v9","version":3,
		"instance":"b7q2","level":"log"}`
	callExample = `{"cursor":"1-380","time":"2026-03-01T09:41:00.2Z","stream":"call","text":"200 in 3.1 ms, warm","request":"k3v9","version":3,
		"instance":"b7q2","call":{"status":200,"start":"warm","version":3,"queue_ms":0,"assign_ms":0,"fetch_ms":0,"link_ms":0,"load_ms":0,
		"run_ms":2.8,"total_ms":3.1,"memory_bytes":41943040}}`
)

// writeTime bounds how long a follower may take to read one event.
const writeTime = 30 * time.Second

func (a *api) logs() []operation {
	return []operation{
		{Operation: huma.Operation{Method: http.MethodGet, Path: functionPath + "/logs", OperationID: "get-logs", Tags: []string{"Logs"},
			Summary: "Read or follow the log of a function",
			Description: "Entries are in the order in which they came, the oldest kept first; since goes on after a cursor. With follow=true the answer is a " +
				"stream of server-sent events named log, call and dropped, each with its cursor as id, so that Last-Event-ID goes on where a " +
				"connection broke. The text of an entry is whatever the function printed.",
		},
			query: []string{"since", "limit", "follow"},
			answers: map[int]sample{200: {"Entries, or a stream of them.", list[logs.Entry]{},
				`{"items":[` + logExample + `,` + callExample + `],"next":"1-380"}`}},
			events: &eventsSample{"Server-sent events log, call and dropped; data is one entry as JSON on one line.",
				"id: 1-240\nevent: log\ndata: {\"cursor\":\"1-240\",\"stream\":\"stdout\",\"text\":\"paid 12\"}\n\n"},
			run: a.readLogs},
	}
}

func (a *api) readLogs(r *request) (answer, error) {
	s, err := a.Store.GetFunction(r.Context(), r.tenant, r.container, r.function)
	if err != nil {
		return answer{}, err
	}
	if !r.query.follow {
		entries, next, err := a.Logs.Read(r.Context(), s.ID, r.query.since, r.query.limit)
		return answer{status: http.StatusOK, body: page(entries, next, func(e logs.Entry) logs.Entry { return e })}, err
	}
	since := r.query.since
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		if len(last) > maxCursor {
			return answer{}, hearth.Invalid("header.Last-Event-ID", "must be the id of an event")
		}
		since = last
	}
	if since != "" { // a stream that has begun could not say what is wrong with it
		if _, _, err := a.Logs.Read(r.Context(), s.ID, since, 1); err != nil {
			return answer{}, err
		}
	}
	leave, err := a.enterFollowers()
	if err != nil {
		return answer{}, err
	}
	return answer{stream: func() {
		defer leave()
		a.follow(r, s.ID, since)
	}}, nil
}

// enterFollowers takes a place among those who follow something, until leave is called.
func (a *api) enterFollowers() (leave func(), err error) {
	select {
	case a.followers <- struct{}{}:
		return func() { <-a.followers }, nil
	default:
		return nil, &hearth.Error{Code: hearth.CodeUnavailable, Message: fmt.Sprintf("This node's %d followers of logs and deploys are all taken.", maxFollowers),
			Component: hearth.ComponentLimit, Reason: "followers", RetryAfter: 5 * time.Second}
	}
}

// follow streams a log until the client goes, the function is gone or the client reads too slowly.
func (a *api) follow(r *request, functionID, since string) {
	s, err := beginEvents(r)
	if err != nil {
		return
	}
	defer s.end()

	ctx, cancel := context.WithCancel(r.Context())
	entries := make(chan logs.Entry)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(entries)
		for e, err := range a.Logs.Follow(ctx, functionID, since) {
			if err != nil {
				return // the function is gone, or the log cannot be read: a client that comes again is told
			}
			select {
			case entries <- e:
			case <-ctx.Done():
				return
			}
		}
	})
	defer wg.Wait()
	defer cancel()

	alive := time.NewTicker(a.comment)
	defer alive.Stop()
	for {
		var err error
		select {
		case e, ok := <-entries:
			if !ok {
				return
			}
			err = s.entry(e)
		case <-alive.C:
			err = s.write(": \n\n")
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// events writes server-sent events.
type events struct {
	w     http.ResponseWriter
	flush *http.ResponseController
}

// beginEvents begins an answer of events; an error means that nobody reads them.
func beginEvents(r *request) (events, error) {
	h := r.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a proxy in front would hold events back
	r.w.WriteHeader(http.StatusOK)
	s := events{w: r.w, flush: http.NewResponseController(r.w)}
	if r.Method == http.MethodHead {
		return s, errHead
	}
	err := s.write(": hearth\n\n")
	if err != nil {
		s.end()
	}
	return s, err
}

var errHead = errors.New("only the header was asked for")

func (s events) end() { _ = s.flush.SetWriteDeadline(time.Time{}) }

func (s events) entry(e logs.Entry) error {
	data, err := json.Marshal(e) // one line: JSON escapes line breaks
	if err != nil {
		return fmt.Errorf("encode log entry: %w", err)
	}
	name := "log"
	if e.Stream == "call" || e.Stream == "dropped" {
		name = e.Stream
	}
	return s.write("id: " + e.Cursor + "\nevent: " + name + "\ndata: " + string(data) + "\n\n")
}

func (s events) write(text string) error {
	_ = s.flush.SetWriteDeadline(time.Now().Add(writeTime)) // unsupported only where a test has no connection
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.flush.Flush()
}
