package upstream

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hearth"
)

// Sizes of a connection's buffers, in bytes.
const (
	inSize  = 8 << 10  // what an idle connection keeps for reading
	outSize = 4 << 10  // what an idle connection keeps for writing
	maxIn   = 64 << 10 // while an exchange needs it: the greatest header, and long bodies

	// BufferSize is the longest piece of a body that leaves together with the header, in one write.
	BufferSize = 16 << 10
)

// Conn is one connection to an instance. One goroutine at a time writes the request and one reads
// the response; they may be two. Break and SetDeadline may be called from anywhere.
type Conn struct {
	pool   *Pool
	nc     net.Conn
	raw    syscall.RawConn             // nil when nc is no socket; then it is never used twice
	poll   func(fd uintptr) (yes bool) // made once, so that silent costs no allocation
	quiet  bool                        // what poll found
	turn   func(fd uintptr) (yes bool) // one step of Turn; made once as well
	turned turned
	broken atomic.Bool

	// Written by the goroutine that sends the request.
	out     []byte
	chunked bool  // the request's body goes in chunks
	left    int64 // bytes of the body that are still to be written, unless chunked
	writes  int   // in how many pieces the request has left so far
	sent    int   // how many bytes of it
	ended   bool  // the request is complete

	// Written by the goroutine that reads the response.
	in       []byte
	r, w     int // in[r:w] is read and not parsed
	got      bool
	reused   bool
	head     bool // a response to HEAD has no body
	upgrade  bool // 101 was asked for
	keep     bool // the response allows another request
	interims int
	res      Response
	body     body
}

func newConn(p *Pool, nc net.Conn) *Conn {
	c := &Conn{pool: p, nc: nc, in: make([]byte, inSize), out: make([]byte, 0, outSize)}
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	c.turn = c.turnStep
	c.poll = func(fd uintptr) bool {
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}}
		n, err := unix.Poll(fds[:], 0)
		c.quiet = n == 0 && err == nil
		return true
	}
	return c
}

// silent reports whether the idle connection's socket has neither bytes nor an end to read. Bytes
// there were sent without a request; taken as the answer to the next one they would poison it.
func (c *Conn) silent() bool {
	if c.raw == nil || c.broken.Load() {
		return false
	}
	c.quiet = false
	return c.raw.Read(c.poll) == nil && c.quiet
}

// SetDeadline bounds the reads and writes of this exchange.
func (c *Conn) SetDeadline(t time.Time) error { return c.nc.SetDeadline(t) }

// SetReadDeadline bounds the reads only.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.nc.SetReadDeadline(t) }

// Break closes the socket at once: what waits on it fails, the instance sees the end, and Release
// will not keep the connection.
func (c *Conn) Break() {
	if !c.broken.Swap(true) {
		_ = c.nc.Close() // nothing is lost: the exchange is given up
	}
}

// Broken reports whether Break was called.
func (c *Conn) Broken() bool { return c.broken.Load() }

// Release ends the exchange. The connection is kept if both sides are done with it, the response
// allows it and nothing more than the response was read; otherwise it is closed.
func (c *Conn) Release() {
	ok := c.ended && c.keep && c.body.state == bodyDone && c.r == c.w && !c.broken.Load() && c.raw != nil
	if !ok {
		c.close()
		return
	}
	c.reset()
	if !c.pool.push(c) {
		c.close()
	}
}

// Hijack takes the connection out of the pool after a 101. It returns what was read beyond the
// header, which stays valid. The caller closes the connection; Release must not be called.
func (c *Conn) Hijack() (net.Conn, []byte) {
	c.pool.forget(c)
	return c.nc, c.in[c.r:c.w]
}

// Unanswered reports whether err says that the other side closed the connection before it sent a
// byte of a response. Only a connection that was used before can be closed out of habit.
func (c *Conn) Unanswered(err error) bool {
	return c.reused && !c.got && !c.broken.Load() &&
		(errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET))
}

// Unsent reports whether no byte of the request has left.
func (c *Conn) Unsent() bool { return c.writes == 0 }

// wholeMost is how long a request may be that Node.js reads whole or not at all: Linux keeps what one
// write sent in one piece (half a socket's buffer, about 100 KiB), and Node.js reads 64 KiB at a time.
const wholeMost = 48 << 10

// Unread reports whether err says that the other side closed the connection and had read nothing of
// the request: it left in one piece, and a unix socket that is closed with bytes unread, or before it
// was accepted, resets the connection, while one that has read them all ends it.
func (c *Conn) Unread(err error) bool {
	_, unix := c.nc.(*net.UnixConn)
	if !unix || c.got || c.broken.Load() {
		return false
	}
	reset := errors.Is(err, syscall.ECONNRESET)
	return c.writes == 0 && (reset || errors.Is(err, syscall.EPIPE)) || c.writes == 1 && c.sent <= wholeMost && reset
}

// Reused reports whether the connection carried an earlier exchange.
func (c *Conn) Reused() bool { return c.reused }

func (c *Conn) close() {
	c.Break()
	c.pool.forget(c)
}

func (c *Conn) reset() {
	if len(c.in) > inSize {
		c.in = make([]byte, inSize)
	}
	if cap(c.out) > BufferSize+outSize {
		c.out = make([]byte, 0, outSize)
	}
	c.out, c.r, c.w = c.out[:0], 0, 0
	c.chunked, c.left, c.writes, c.sent, c.ended = false, 0, 0, 0, false
	c.got, c.head, c.upgrade, c.keep, c.interims = false, false, false, false, 0
	clear(c.res.Header) // no text of this answer stays while the connection waits
	c.res = Response{Header: c.res.Header[:0]}
	c.body = body{}
}

// fill reads once from the socket behind what is buffered. It returns errBufferFull when the
// buffer holds maxIn bytes already, and io.EOF at the end.
func (c *Conn) fill() error {
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
	if c.w == len(c.in) {
		if c.r > 0 {
			c.w = copy(c.in, c.in[c.r:c.w])
			c.r = 0
		} else if len(c.in) < maxIn {
			c.grow()
		} else {
			return errBufferFull
		}
	}
	n, err := c.nc.Read(c.in[c.w:])
	if n > 0 {
		c.w += n
		c.got = true
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// grow gives the buffer its greatest size, for a header or a body that needs it.
func (c *Conn) grow() {
	if len(c.in) < maxIn {
		in := make([]byte, maxIn)
		c.w = copy(in, c.in[c.r:c.w])
		c.in, c.r = in, 0
	}
}

var errBufferFull = errors.New("buffer is full")

// Header is a list of fields in the order in which they came; names are in the canonical form of
// net/http.
type Header []Field

// Field is one field of a header.
type Field struct{ Name, Value string }

// Get returns the first value of a field, "" if there is none. The name is in canonical form.
func (h Header) Get(name string) string {
	for i := range h {
		if h[i].Name == name {
			return h[i].Value
		}
	}
	return ""
}

// HTTP returns the fields as a map.
func (h Header) HTTP() http.Header {
	m := make(http.Header, len(h))
	for _, f := range h {
		m[f.Name] = append(m[f.Name], f.Value)
	}
	return m
}

// Response is the header of an answer. It is valid until the connection is released.
type Response struct {
	Status        int
	Header        Header
	ContentLength int64     // -1: not known before the end
	Trailer       Header    // after the end of the body
	Body          io.Reader // reads the body, for who does not use Next
}

// The bounds of a header.
var (
	maxHeaderBytes  = hearth.LimitHeaderBytes.Int()
	maxHeaderFields = hearth.LimitHeaderFields.Int()
)

const maxInterims = 5
