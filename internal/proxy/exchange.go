package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"golang.org/x/net/http/httpguts"

	"hearth"
	"hearth/internal/pool/upstream"
	"hearth/internal/problem"
)

// continueWait is how long a client's Expect: 100-continue waits for the instance's word before the
// body is sent anyway (RFC 9110, section 10.1.1, lets a proxy; curl waits as long).
const continueWait = time.Second

// drainTime bounds how long net/http may read the rest of a body that nobody wants, which it does
// so that the client sees the answer before the connection closes.
const drainTime = time.Second

// exchange is one request on its way through.
type exchange struct {
	p     *Proxy
	w     http.ResponseWriter
	r     *http.Request
	began time.Time
	id    string
	own   [5]string // values of our own fields, so that they need no slice each

	target target
	origin origin
	peer   [1]string // the origin's chain, when it has one link
	route  *hearth.Route
	body   []byte // a short body, read before an instance is taken

	grant    Grant
	conn     *upstream.Conn
	unwatch  func() bool // stops breaking conn when the client goes
	deadline time.Time   // of the function
	protocol string      // to upgrade to
	up       *upload     // a long body on its way

	call    Call
	outcome Outcome
	sent    bool // the answer's header is out
	abort   bool // the answer cannot be completed truthfully
}

func (x *exchange) serve() {
	x.id = rand.Text() // 130 random bits, base32
	x.ownHeader()
	if err := x.admit(); err != nil {
		x.fail(err)
		return
	}
	if err := x.acquire(); err != nil {
		x.fail(err)
		return
	}
	res, err := x.forward()
	if err == nil {
		err = x.respond(res)
	}
	if err != nil {
		x.fail(x.diagnose(err))
	}
}

// ownHeader sets the fields that every answer carries.
func (x *exchange) ownHeader() {
	h := x.w.Header()
	x.own[0] = x.id
	h["Hearth-Request-Id"] = x.own[0:1:1]
	if len(x.r.TransferEncoding) > 0 {
		// net/http hides a Content-Length beside Transfer-Encoding. Who stands before us may have
		// believed the other one: nothing that follows on this connection is taken for a request.
		x.closes()
	}
	if x.p.sandbox {
		x.own[1] = "sandbox"
		h["Content-Security-Policy"] = x.own[1:2:2]
	}
}

// closes makes net/http close an HTTP/1.1 connection after the answer.
func (x *exchange) closes() {
	if x.r.ProtoMajor == 1 {
		x.w.Header()["Connection"] = closeValue
	}
}

var closeValue = []string{"close"}

// admit judges the request by itself, before any instance is taken.
func (x *exchange) admit() error {
	r := x.r
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		x.w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
		return &hearth.Error{Code: hearth.CodeMethodNotAllowed, Message: "The methods CONNECT and TRACE are not for functions."}
	}
	if len(r.RequestURI) > hearth.LimitURIBytes.Int() {
		return hearth.Exceeded(hearth.CodeURITooLong, hearth.LimitURIBytes)
	}
	bytes, fields := countHeader(r)
	if bytes > hearth.LimitHeaderBytes.Int() {
		return hearth.Exceeded(hearth.CodeHeadersTooLarge, hearth.LimitHeaderBytes)
	}
	if fields > hearth.LimitHeaderFields.Int() {
		return hearth.Exceeded(hearth.CodeHeadersTooLarge, hearth.LimitHeaderFields)
	}
	// HTTP/2 lets more through than a request line can hold.
	if !httpguts.ValidHeaderFieldName(r.Method) || !plainTarget(r.RequestURI) || !httpguts.ValidHostHeader(r.Host) {
		return &hearth.Error{Code: hearth.CodeMalformed, Message: "The method, the target or the host of the request has characters that it may not have."}
	}
	var ok bool
	if x.target, ok = x.p.route(r); ok {
		x.route = x.p.handler.Route(x.target.tenant, x.target.container, x.target.function)
	}
	if x.route == nil {
		return errNoFunction
	}
	x.version()
	if x.route.Active == 0 {
		return inactive(x.route)
	}
	if x.route.Loaded.Parsed && r.ContentLength > hearth.LimitParsedBody.Value {
		return hearth.Exceeded(hearth.CodeTooLarge, hearth.LimitParsedBody)
	}
	return x.readShort()
}

// version says which version answers.
func (x *exchange) version() {
	x.call.Version = x.route.Active
	if x.p.expose && x.route.Active > 0 {
		x.own[2] = strconv.Itoa(x.route.Active)
		x.w.Header()["Hearth-Version"] = x.own[2:3:3]
	}
}

// readShort reads a short body now, so that a slow client keeps no instance waiting and the request
// leaves in one write.
func (x *exchange) readShort() error {
	n := x.r.ContentLength
	if n <= 0 || n > upstream.BufferSize || len(x.r.Trailer) > 0 {
		return nil
	}
	x.body = make([]byte, n)
	rc := http.NewResponseController(x.w)
	_ = rc.SetReadDeadline(time.Now().Add(hearth.LimitBodyIdle.Duration())) // both servers support it
	_, err := io.ReadFull(x.r.Body, x.body)
	if err != nil {
		x.body = nil
		x.closes()
		return x.bodyFault(err)
	}
	return rc.SetReadDeadline(time.Time{}) // the same connection now waits for the client to go
}

func (x *exchange) acquire() error {
	grant, err := x.p.handler.Acquire(x.r.Context(), x.route)
	if err != nil {
		if x.r.Context().Err() != nil {
			return errClientGone
		}
		return err
	}
	x.grant = grant
	if now := grant.Route(); now != x.route {
		x.route = now
		x.version()
	}
	x.call.Start = grant.Start()
	x.call.Waits = grant.Waited()
	x.call.Instance, x.call.MemoryBytes = grant.Instance()
	if x.p.expose {
		x.own[3] = string(x.call.Start)
		x.w.Header()["Hearth-Start"] = x.own[3:4:4]
	}
	x.deadline = time.Now().Add(time.Duration(x.route.Manifest.TimeoutMS) * time.Millisecond)
	x.protocol = upgradeOf(x.r)
	return nil
}

// forward sends the request and reads the header of the answer.
func (x *exchange) forward() (*upstream.Response, error) {
	conn := x.grant.Conns().Idle()
	another, fresh := false, false
	for {
		if conn == nil {
			var err error
			if conn, err = x.dial(); err != nil {
				if another || !x.dead() {
					return nil, err
				}
				another = true
				if err := x.acquireAnother(); err != nil {
					return nil, err
				}
				conn = x.grant.Conns().Idle()
				continue
			}
		}
		x.use(conn)
		res, err := x.attempt()
		if err == nil || !x.mayRetry(err) || !conn.Reused() && fresh {
			return res, err
		}
		fresh = fresh || !conn.Reused() // one more new connection, and no third: so this loop ends
		x.letGo()
		conn = nil
	}
}

// dead waits for the news that the instance which took no connection has ended.
func (x *exchange) dead() bool {
	news := time.NewTimer(deathNews)
	defer news.Stop()
	select {
	case <-x.grant.Gone():
		return true
	case <-x.r.Context().Done():
	case <-news.C:
	}
	return false
}

// acquireAnother takes an instance in the place of one that ended. Either nothing was sent to it yet,
// or mayRetry has found that the request may be sent again.
func (x *exchange) acquireAnother() error {
	x.grant.Release(Died)
	x.grant = nil
	return x.acquire()
}

func (x *exchange) dial() (*upstream.Conn, error) {
	ctx, cancel := context.WithDeadline(x.r.Context(), x.deadline)
	defer cancel()
	return x.grant.Conns().Dial(ctx)
}

// use makes conn the exchange's connection. It breaks when the client goes, so that the function
// learns of it at once.
func (x *exchange) use(conn *upstream.Conn) {
	x.conn = conn
	x.unwatch = context.AfterFunc(x.r.Context(), conn.Break)
}

// letGo gives the connection back, or closes it if it is not as it should be.
func (x *exchange) letGo() {
	if x.conn == nil {
		return
	}
	if !x.unwatch() {
		x.conn.Break() // it is about to be broken anyway; nobody may get it before that
	}
	x.conn.Release()
	x.conn = nil
}

func (x *exchange) attempt() (*upstream.Response, error) {
	if err := x.conn.SetDeadline(x.deadline); err != nil {
		return nil, err
	}
	x.writeHeader()
	var err error
	if x.long() {
		err = x.conn.Flush()
	} else {
		x.conn.Buffer(x.body)
		err = x.conn.Turn()
	}
	if err != nil {
		return nil, err
	}
	expects := false
	if x.long() {
		if expects = listed(x.r.Header["Expect"], "100-continue"); expects {
			err = x.conn.SetReadDeadline(earlier(x.deadline, time.Now().Add(continueWait)))
		} else {
			x.startUpload()
		}
	}
	for err == nil {
		var res *upstream.Response
		res, err = x.conn.ReadHead()
		switch {
		case err == nil && res.Final():
			return res, nil
		case err == nil && res.Status != http.StatusContinue:
			x.interim(res)
		case expects && x.up == nil && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)):
			// The instance wants the body, or says nothing: net/http tells the client to go on.
			x.startUpload()
			err = x.conn.SetReadDeadline(x.deadline)
		}
	}
	return nil, err
}

// long reports whether a body remains that is sent while the answer may already come.
func (x *exchange) long() bool {
	return x.body == nil && x.r.Body != http.NoBody && x.r.ContentLength != 0
}

// writeHeader puts the request's header into the connection's buffer.
func (x *exchange) writeHeader() {
	c, r, t := x.conn, x.r, &x.target
	slash := ""
	if t.rest == "" {
		slash = "/"
	}
	c.Start(r.Method, slash, t.rest, t.query)
	c.Field("Host", r.Host)
	peer, ok := peerOf(r.RemoteAddr)
	forwardHeader(c, r.Header, ok && x.p.trusted.has(peer))
	x.p.trusted.originOf(r, &x.origin, &x.peer)
	x.origin.write(c)
	c.Field("Hearth-Function", t.function)
	c.IntField("Hearth-Version", int64(x.route.Active))
	c.Field("Hearth-Request-Id", x.id)
	c.IntField("Hearth-Timeout-Ms", max(1, time.Until(x.deadline).Milliseconds()))
	c.Field("Hearth-Prefix", t.prefix)
	switch {
	case x.protocol != "":
		c.Upgrade(x.protocol)
		c.NoBody()
	case x.body != nil:
		c.EndHeader(int64(len(x.body)))
	case x.long():
		if v := r.Header["Expect"]; listed(v, "100-continue") {
			c.Field("Expect", "100-continue")
		}
		n := r.ContentLength
		for name := range r.Trailer {
			if trailerAllowed(name) {
				c.Field("Trailer", name)
				n = -1 // only chunks carry a trailer
			}
		}
		c.EndHeader(n)
	case r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch:
		c.EndHeader(0)
	default:
		c.NoBody()
	}
}

// mayRetry reports whether a failed attempt may be made again on a new connection. The instance closed
// the one that was used before it said anything: either before it read the request, as one does that
// ends by itself, or while it did, and then only a method may be repeated whose effect is the same
// twice, and only if the connection was one that may be closed out of habit.
func (x *exchange) mayRetry(err error) bool {
	if x.up != nil || x.r.Context().Err() != nil {
		return false
	}
	if x.conn.Unread(err) || x.conn.Unanswered(err) && x.conn.Unsent() {
		return true
	}
	if !x.conn.Unanswered(err) {
		return false
	}
	switch x.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return x.body == nil && x.protocol == ""
	}
	return false
}

// fail answers with a problem; once the header is out it can only abort.
func (x *exchange) fail(err error) {
	var e *hearth.Error
	if errors.As(err, &e) {
		x.call.Error, x.call.Component, x.call.Reason = e.Message, e.Component, e.Reason
	} else {
		x.call.Error, x.call.Component = err.Error(), hearth.ComponentPlatform
	}
	if errors.Is(err, errClientGone) || errors.Is(err, errSlowClient) {
		x.call.Component = hearth.ComponentRequest
		x.abort = true
		if x.call.Status == 0 {
			x.call.Status = statusClientGone
		}
		return
	}
	if x.call.Status == 0 {
		x.call.Status = problem.Status(err)
	}
	if problem.Status(err) == http.StatusInternalServerError {
		x.p.log.LogAttrs(x.r.Context(), slog.LevelError, "request failed", slog.String("request", x.id), slog.Any("err", err))
	}
	if x.sent {
		x.abort = true
		return
	}
	if x.r.ContentLength != 0 && x.body == nil {
		if x.grant != nil {
			x.closes() // part of it may have been read
		}
		x.stopUpload()
		_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(drainTime)) // both servers support it
	}
	x.sent = true
	problem.Write(x.w, x.id, err)
}

// end is the edge of a request. It runs for every one, in the one place that recovers.
func (x *exchange) end() {
	v := recover()
	if v != nil && v != http.ErrAbortHandler { //nolint:errorlint // a panic's value
		x.outcome = Panicked
		x.p.log.Error("request panicked", "request", x.id, "err", v, "stack", string(debug.Stack()))
		x.fail(errPanic)
	}
	x.stopUpload()
	x.letGo()
	if x.grant != nil {
		x.grant.Release(x.outcome)
	}
	x.call.Total = time.Since(x.began)
	x.p.record(x.route, x.id, x.call)
	if x.abort || v == http.ErrAbortHandler { //nolint:errorlint // a panic's value
		panic(http.ErrAbortHandler) // net/http closes the connection, or resets the stream
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
