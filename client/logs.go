package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The bounds of what is followed.
const (
	maxEvent   = 1 << 20          // bytes of a line: an entry has 64 KiB of text, six times that when escaped
	silence    = 45 * time.Second // three signs of life that did not come
	maxTries   = 10               // connections in a row that break at once
	firstDelay = 500 * time.Millisecond
	lastDelay  = 10 * time.Second
)

// ReadLogs returns at most limit entries (100 if it is 0) after the cursor since, the oldest first,
// and the cursor from which to go on. Since "" is the oldest entry that is kept.
func (c *Client) ReadLogs(ctx context.Context, tenant, container, function, since string, limit int) ([]LogEntry, string, error) {
	q := Page{Limit: limit}.query()
	if since != "" {
		q.Set("since", since)
	}
	var l List[LogEntry]
	_, err := c.call(ctx, http.MethodGet, functionPath(tenant, container, function, "logs"), q, nil, &l)
	return l.Items, l.Next, err
}

// FollowLogs yields the entries after the cursor since, then those that come, until ctx ends. A
// connection that breaks is made again where it broke. What cannot be mended by trying again (the
// function is gone, the token is wrong, nobody answers) is yielded as the last, with a zero entry.
func (c *Client) FollowLogs(ctx context.Context, tenant, container, function, since string) iter.Seq2[LogEntry, error] {
	return func(yield func(LogEntry, error) bool) {
		f := follower{client: c, path: functionPath(tenant, container, function, "logs"), query: url.Values{}, since: since}
		f.event = func(data []byte) (bool, error) {
			var e LogEntry
			if err := json.Unmarshal(data, &e); err != nil {
				return false, err
			}
			return yield(e, nil), nil
		}
		if err := f.run(ctx); err != nil {
			yield(LogEntry{}, err)
		}
	}
}

// follower reads a stream of events, over as many connections as it takes.
type follower struct {
	client  *Client
	path    string
	query   url.Values
	event   func(data []byte) (more bool, err error)
	since   string // id of the last event
	seen    int    // events
	lived   bool   // connected once
	stopped bool   // the reader has seen enough
}

// run follows until the reader has seen enough or ctx ends, and otherwise returns what cannot be mended
// by trying again.
func (f *follower) run(ctx context.Context) error {
	for try := 0; ; {
		seen, began := f.seen, time.Now()
		err := f.connect(ctx)
		if f.stopped || ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = errEnded
		}
		if f.seen != seen || time.Since(began) > silence/3 {
			try = 0 // it worked for a while
		}
		try++
		wait, again := f.again(err, try)
		if !again {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// again says whether and when to connect again after err.
func (f *follower) again(err error, try int) (time.Duration, bool) {
	wait := f.client.retry(try)
	var refused *Error
	switch {
	case errors.As(err, &refused):
		wait = max(wait, refused.RetryAfter)
		return wait, refused.Status >= 500 && try < maxTries
	case errors.Is(err, errNotEvents):
		return 0, false
	}
	return wait, f.lived && try < maxTries
}

func backOff(try int) time.Duration {
	d := min(firstDelay<<min(try-1, 10), lastDelay)
	return d/2 + rand.N(d/2) // spread: many followers lose one server at once
}

var (
	errNotEvents = errors.New("the answer is not a stream of events")
	errEnded     = errors.New("the stream of events ends again and again")
)

// connect follows over one connection.
func (f *follower) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f.query.Set("follow", "true")
	r, err := f.client.request(ctx, http.MethodGet, f.path, f.query, nil, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "text/event-stream")
	if f.since != "" {
		r.Header.Set("Last-Event-ID", f.since)
	}
	// A connection can die without a word; then the signs of life stop.
	watch := time.AfterFunc(silence, func() { cancel(errors.New("nothing came for " + silence.String())) })
	defer watch.Stop()
	res, err := f.client.http.Do(r)
	if err != nil {
		return fmt.Errorf("call Hearth: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10)) // a problem cut short is still an error
		return newError(res, body)
	}
	if media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); media != "text/event-stream" {
		return errNotEvents
	}
	f.lived = true
	return f.read(res.Body, func() { watch.Reset(silence) })
}

// read takes the events of one connection apart.
func (f *follower) read(body io.Reader, alive func()) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 4096), maxEvent)
	var id, data string
	for lines.Scan() {
		alive()
		field, v, _ := strings.Cut(lines.Text(), ":")
		v = strings.TrimPrefix(v, " ")
		switch {
		case lines.Text() == "":
			if data == "" {
				continue
			}
			more, err := f.event([]byte(data))
			if err != nil {
				return fmt.Errorf("decode event %s: %w", strconv.Quote(id), err)
			}
			f.seen++
			f.since = id
			if !more {
				f.stopped = true
				return nil
			}
			data = ""
		case field == "id":
			id = v
		case field == "data":
			data = v
		}
	}
	return lines.Err()
}
