package proxy

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hearth"
	"hearth/internal/pool/upstream"
)

// errSlowClient says that the function's time passed while the client did not take the answer.
var errSlowClient = errors.New("the client took the answer too slowly")

// interim passes an answer like 103 on. Its fields must not stay in the final one.
func (x *exchange) interim(res *upstream.Response) {
	if !x.r.ProtoAtLeast(1, 1) {
		return
	}
	h := x.w.Header()
	own := h.Clone()
	clear(h)
	copyHeader(h, res.Header)
	x.w.WriteHeader(res.Status)
	clear(h)
	for name, v := range own {
		h[name] = v
	}
}

// respond gives the client the instance's answer.
func (x *exchange) respond(res *upstream.Response) error {
	x.call.timing(res.Header.Get("Hearth-Timing"))
	if reason := outcomeReason(res.Header.Get("Hearth-Outcome")); reason != "" {
		x.call.Component, x.call.Reason = hearth.ComponentCode, reason
		if reason == "exit" { // believed, since it can only hurt its own container
			x.outcome = Leaving
		}
	}
	if res.Status == http.StatusSwitchingProtocols {
		return x.upgrade(res)
	}
	parsed := x.route.Loaded.Parsed
	if parsed && res.ContentLength > hearth.LimitParsedBody.Value && x.r.Method != http.MethodHead {
		return answerTooLarge()
	}
	x.answerHeader(res)
	if x.r.ProtoMajor == 2 {
		// A stream whose window the client keeps shut would hold the instance for ever. HTTP/1.1 has
		// the deadline of its connection.
		_ = http.NewResponseController(x.w).SetWriteDeadline(x.deadline.Add(drainTime)) // HTTP/2 supports it
	}
	x.call.Status = res.Status
	x.sent = true
	x.w.WriteHeader(res.Status)
	total, unflushed := int64(0), true
	for {
		p, err := x.conn.Next()
		switch {
		case err == io.EOF:
			x.answerTrailer(res)
			return nil
		case err != nil:
			return err
		case p == nil:
			// Nothing that came may wait for what has not come: events, and the header itself.
			if unflushed {
				if err := http.NewResponseController(x.w).Flush(); err != nil {
					return errClientGone
				}
				unflushed = false
			}
			if time.Now().After(x.deadline) {
				// The last wait ended in time, so it was the client that used up the rest.
				return errSlowClient
			}
			if err := x.conn.Wait(); err != nil {
				return err
			}
		default:
			if total += int64(len(p)); parsed && total > hearth.LimitParsedBody.Value {
				return answerTooLarge()
			}
			if _, err := x.w.Write(p); err != nil {
				return errClientGone
			}
			unflushed = true
		}
	}
}

func answerTooLarge() error {
	e := hearth.Exceeded(hearth.CodeBadAnswer, hearth.LimitParsedBody)
	e.Reason = "answer_too_large"
	return e
}

// answerHeader fills the header of the client's answer.
func (x *exchange) answerHeader(res *upstream.Response) {
	h := x.w.Header()
	copyHeader(h, res.Header)
	switch {
	case res.Status == http.StatusNoContent:
	case res.ContentLength >= 0:
		// Not the instance's text: it may have leading zeros.
		x.own[4] = strconv.FormatInt(res.ContentLength, 10)
		h["Content-Length"] = x.own[4:5:5]
	default:
		x.announceTrailer(res)
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // else net/http guesses one from the body
	}
	if x.unfinished() {
		x.closes()
	}
}

func (x *exchange) announceTrailer(res *upstream.Response) {
	for _, f := range res.Header {
		if f.Name != "Trailer" {
			continue
		}
		for name := range strings.SplitSeq(f.Value, ",") {
			name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
			if trailerAllowed(name) {
				x.w.Header().Add("Trailer", name)
			}
		}
	}
}

// answerTrailer sets the fields behind the body, announced or not.
func (x *exchange) answerTrailer(res *upstream.Response) {
	if len(res.Trailer) == 0 {
		return
	}
	h := x.w.Header()
	announced := h["Trailer"]
	for _, f := range res.Trailer {
		if !trailerAllowed(f.Name) {
			continue
		}
		if !listed(announced, f.Name) {
			f.Name = http.TrailerPrefix + f.Name
		}
		h[f.Name] = append(h[f.Name], f.Value)
	}
}
