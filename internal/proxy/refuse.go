package proxy

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"hearth"
	"hearth/internal/problem"
)

// net/http refuses by itself, with a line of text, what it cannot read as a request, and ends a
// connection without a word when a header takes too long. A client of Hearth gets a problem with a
// request id for these, too: the connection sees the phases of its requests, and replaces what
// net/http writes. Below TLS there is nothing to see, so there it stays as it is.

// phase is where a connection of HTTP/1.1 without TLS is with a request.
type phase struct{ atomic.Uint32 }

const (
	phaseOther  = iota // TLS or HTTP/2: nothing here is ours to read
	phaseIdle          // no byte of a request was read
	phaseHeader        // some were
	phaseRead          // the header is read, for good or bad
	phaseAnswer        // an answer has begun
)

// move goes on to the next phase, unless the connection has left HTTP/1.1.
func (p *phase) move(next uint32) {
	for {
		now := p.Load()
		if now == phaseOther || p.CompareAndSwap(now, next) {
			return
		}
	}
}

// watchPhase is a http.Server's ConnState.
func watchPhase(c net.Conn, s http.ConnState) {
	pc, ok := c.(*patientConn)
	switch {
	case !ok:
	case s == http.StateActive:
		pc.phase.move(phaseRead)
	case s == http.StateIdle:
		pc.phase.move(phaseIdle)
	}
}

// Parts of what net/http writes: every other answer has fields between them, the request id at least.
var (
	version11    = []byte("HTTP/1.1 ")
	refusalField = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")
	noBody       = []byte("\r\nContent-Length: 0\r\n\r\n")
	ownID        = []byte("\r\nHearth-Request-Id: ")
)

// refusal returns the problem that replaces p, if p is a refusal of net/http's own.
func refusal(p []byte) []byte {
	line, rest, _ := bytes.Cut(p, []byte("\r\n"))
	if len(line) < len("HTTP/1.1 400") || line[9] != '4' && line[9] != '5' {
		return nil
	}
	own := bytes.HasPrefix(p[len(line):], refusalField) ||
		bytes.HasPrefix(line, []byte("HTTP/1.1 417 ")) && bytes.HasSuffix(p, noBody) && !bytes.Contains(p, ownID)
	status, err := strconv.Atoi(string(line[9:12]))
	if !own || err != nil || status < 400 {
		return nil
	}
	_, why, _ := bytes.Cut(rest, []byte("\r\n\r\n"))
	return refuse(status, string(why))
}

// refuse is a whole answer of HTTP/1.1 with a problem, after which the connection closes. why is
// net/http's text, "" for none.
func refuse(status int, why string) []byte {
	e := &hearth.Error{Code: hearth.CodeMalformed, Component: hearth.ComponentRequest, Message: "The request is not well formed."}
	if _, text, ok := strings.Cut(why, ": "); ok {
		e.Message = "The request is not well formed: " + text + "."
	}
	switch status {
	case http.StatusRequestTimeout:
		e = hearth.Exceeded(hearth.CodeRequestTimeout, hearth.LimitHeaderTime)
		e.Component = hearth.ComponentRequest
	case http.StatusRequestHeaderFieldsTooLarge:
		e = hearth.Exceeded(hearth.CodeHeadersTooLarge, hearth.LimitHeaderBytes)
	case http.StatusNotImplemented:
		e.Message = "The transfer encoding of the request is not supported; chunked is."
	case http.StatusExpectationFailed:
		e.Message = "The expectation of the request is not supported; 100-continue is."
	}
	id := rand.Text()
	p := problem.From(id, e)
	p.Status = status
	body, err := json.Marshal(p)
	if err != nil { // a Problem holds nothing but strings
		body = []byte(`{}`)
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nCache-Control: no-store\r\n"+
		"X-Content-Type-Options: nosniff\r\nHearth-Request-Id: %s\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), problem.ContentType, len(body), id, body)
}
