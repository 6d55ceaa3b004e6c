package proxy

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"hearth"
)

// upload sends a long body while the answer may already come. It ends with the body, with a fault
// on either side, or when stopUpload is called, which every exchange does before it ends.
type upload struct {
	done    chan struct{}
	fault   error       // the client's, if any; readable once done is closed
	waiting atomic.Bool // for the client, at this moment
	last    atomic.Bool // only the end is left to be written
	stopped atomic.Bool // what fails from now on is our doing
}

// uploadBuffer is the piece in which a long body moves, in bytes.
const uploadBuffer = 32 << 10

func (x *exchange) startUpload() {
	x.up = &upload{done: make(chan struct{})}
	// Without it net/http reads the whole body before the answer's header leaves.
	_ = http.NewResponseController(x.w).EnableFullDuplex() // HTTP/2 is so anyway
	go x.up.run(x)                                         // ends before the exchange: stopUpload
}

func (u *upload) run(x *exchange) {
	defer close(u.done)
	conn, body := x.conn, x.r.Body
	rc := http.NewResponseController(x.w)
	idle := hearth.LimitBodyIdle.Duration()
	total, size := int64(0), x.r.ContentLength
	buf := make([]byte, uploadBuffer)
	var allowed time.Time // what the read deadline is now
	for {
		if now := time.Now(); allowed.Sub(now) < idle-time.Second {
			allowed = now.Add(idle)
			_ = rc.SetReadDeadline(allowed) // both servers support it
		}
		u.waiting.Store(true)
		n, err := body.Read(buf)
		u.waiting.Store(false)
		if total += int64(n); x.route.Loaded.Parsed && total > hearth.LimitParsedBody.Value {
			u.fault = hearth.Exceeded(hearth.CodeTooLarge, hearth.LimitParsedBody)
			conn.Break() // wakes the reader
			return
		}
		if err != nil && err != io.EOF {
			if !u.stopped.Load() {
				u.fault = x.bodyFault(err)
			}
			conn.Break()
			return
		}
		u.last.Store(err == io.EOF || total == size)
		if err == nil {
			if _, werr := conn.Write(buf[:n]); werr != nil {
				return // the instance takes no more; it may have answered already
			}
			continue
		}
		_ = rc.SetReadDeadline(time.Time{}) // the same connection now waits for the client to go
		if _, werr := conn.Write(buf[:n]); werr != nil {
			return
		}
		for name := range x.r.Trailer {
			if !trailerAllowed(name) {
				delete(x.r.Trailer, name)
			}
		}
		_ = conn.End(x.r.Trailer) // the reader finds out by itself
		return
	}
}

// unfinished reports whether the client's body is not yet sent. When nothing but the end is left to
// be written it waits for that, which takes no time unless the instance does not read.
func (x *exchange) unfinished() bool {
	if x.up == nil {
		return x.long()
	}
	if x.up.last.Load() {
		patience := time.NewTimer(10 * time.Millisecond)
		defer patience.Stop()
		select {
		case <-x.up.done:
		case <-patience.C:
		}
	}
	select {
	case <-x.up.done:
		return !x.up.last.Load()
	default:
		return true
	}
}

// stopUpload ends the upload and waits for it. A body that is not finished by then costs both
// connections: what is left of it must never be read as a request.
func (x *exchange) stopUpload() {
	if x.up == nil {
		return
	}
	select {
	case <-x.up.done:
		return
	default:
	}
	x.up.stopped.Store(true)
	x.conn.Break()
	rc := http.NewResponseController(x.w)
	_ = rc.SetReadDeadline(time.Unix(1, 0)) // both servers support it
	<-x.up.done
	_ = rc.SetReadDeadline(time.Now().Add(drainTime))
}
