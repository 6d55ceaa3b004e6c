package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/sys/unix"
)

// ErrField says that the caller gave a field or a target that HTTP/1.1 cannot carry.
var ErrField = errors.New("the request has bytes that HTTP/1.1 cannot carry")

// Start begins a request. The target is written as it is, in the given pieces.
func (c *Conn) Start(method string, target ...string) {
	c.out = append(append(c.out[:0], method...), ' ')
	for _, t := range target {
		c.out = append(c.out, t...)
	}
	c.out = append(c.out, " HTTP/1.1\r\n"...)
	c.head = method == http.MethodHead
}

// Field adds a field whose value is the join of the given pieces. Names and values come from
// net/http or from us, both of which let no control character through.
func (c *Conn) Field(name string, value ...string) {
	c.out = append(append(c.out, name...), ": "...)
	for _, v := range value {
		c.out = append(c.out, v...)
	}
	c.out = append(c.out, '\r', '\n')
}

// IntField adds a field with a number.
func (c *Conn) IntField(name string, n int64) {
	c.out = append(append(c.out, name...), ": "...)
	c.out = append(strconv.AppendInt(c.out, n, 10), '\r', '\n')
}

// Upgrade adds the fields that ask for another protocol; a 101 is then an answer.
func (c *Conn) Upgrade(protocol string) {
	c.upgrade = true
	c.out = append(append(append(c.out, "Connection: Upgrade\r\nUpgrade: "...), protocol...), '\r', '\n')
}

// NoBody ends the header of a request that has no body and no length.
func (c *Conn) NoBody() {
	c.left, c.ended = 0, true
	c.out = append(c.out, '\r', '\n')
}

// EndHeader ends the header of a request with a body of n bytes, or in chunks when n is negative.
func (c *Conn) EndHeader(n int64) {
	c.chunked, c.left = n < 0, max(n, 0)
	if c.chunked {
		c.out = append(c.out, "Transfer-Encoding: chunked\r\n\r\n"...)
		return
	}
	c.IntField("Content-Length", n)
	c.out = append(c.out, '\r', '\n')
	c.ended = n == 0
}

// Flush writes what is buffered.
func (c *Conn) Flush() error {
	if len(c.out) == 0 {
		return nil
	}
	n, err := c.nc.Write(c.out)
	c.note(n)
	if err == nil {
		c.out = c.out[:0]
	}
	return err
}

// Buffer puts a whole body, of the length that EndHeader was given, behind the header, to leave with it.
func (c *Conn) Buffer(p []byte) {
	c.out = append(c.out, p...)
	c.left -= int64(len(p))
	c.ended = c.left == 0
}

// turned is where Turn stands.
type turned struct {
	sent bool // all of the request is out
	n    int  // bytes that came
	err  error
}

// Turn writes what is buffered, which ends the request, and waits for the first bytes of the answer. It
// is Flush and the first read of ReadHead in one: the read then comes when there is something to read,
// and not a moment after the write, when there is nothing yet. A system call in seven of a warm request.
func (c *Conn) Turn() error {
	if c.raw == nil || len(c.out) == 0 || c.r != c.w {
		return c.Flush()
	}
	c.r, c.w = 0, 0
	c.turned = turned{}
	// The wait begins before the write, so no answer can come unnoticed in between.
	err := c.raw.Read(c.turn)
	switch t := &c.turned; {
	case err == nil && t.err != nil:
		return t.err
	case err == nil && t.sent && t.n == 0:
		return io.EOF
	case err == nil && t.sent:
		c.w, c.got = t.n, true
		return nil
	case err == nil: // the socket took a part only
		return c.Flush()
	}
	return err
}

// turnStep is called at once, and then whenever the socket has become readable.
func (c *Conn) turnStep(fd uintptr) (done bool) {
	t := &c.turned
	if !t.sent {
		n, err := retry(unix.Write, fd, c.out)
		if n > 0 {
			c.note(n)
			c.out = c.out[:copy(c.out, c.out[n:])]
		}
		if err != nil && err != unix.EAGAIN {
			t.err = fmt.Errorf("write: %w", err)
			return true
		}
		t.sent = len(c.out) == 0
		return !t.sent
	}
	n, err := retry(unix.Read, fd, c.in)
	switch {
	case err == unix.EAGAIN:
		return false
	case err != nil:
		t.err = fmt.Errorf("read: %w", err)
	}
	t.n = max(n, 0)
	return true
}

// retry makes a system call again that a signal ended.
func retry(call func(fd int, p []byte) (int, error), fd uintptr, p []byte) (int, error) {
	for {
		n, err := call(int(fd), p)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// Write sends bytes of the body, in a chunk if its length is not known.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !c.chunked {
		if int64(len(p)) > c.left {
			return 0, errors.New("the body is longer than its length")
		}
		c.left -= int64(len(p))
		if err := c.send(p); err != nil {
			return 0, err
		}
		c.ended = c.left == 0
		return len(p), nil
	}
	c.out = append(strconv.AppendInt(c.out, int64(len(p)), 16), '\r', '\n')
	c.out = append(append(c.out, p...), '\r', '\n')
	if err := c.Flush(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// End ends the body; a trailer follows only a body in chunks.
func (c *Conn) End(trailer http.Header) error {
	if !c.chunked {
		if c.left > 0 {
			return io.ErrUnexpectedEOF
		}
		c.ended = true
		return c.Flush()
	}
	c.out = append(c.out, "0\r\n"...)
	for name, values := range trailer {
		for _, v := range values {
			if httpguts.ValidHeaderFieldName(name) && httpguts.ValidHeaderFieldValue(v) {
				c.Field(name, v)
			}
		}
	}
	c.out = append(c.out, '\r', '\n')
	if err := c.Flush(); err != nil {
		return err
	}
	c.ended = true
	return nil
}

func (c *Conn) send(p []byte) error {
	if len(c.out) > 0 {
		if len(c.out)+len(p) <= BufferSize+outSize {
			c.out = append(c.out, p...)
			return c.Flush()
		}
		if err := c.Flush(); err != nil {
			return err
		}
	}
	n, err := c.nc.Write(p)
	c.note(n)
	return err
}

// note notes that n bytes of the request have left in one write.
func (c *Conn) note(n int) {
	if n > 0 {
		c.writes++
		c.sent += n
	}
}

// WriteRequest sends a whole request: header, body of n bytes (in chunks when n is negative, none
// when body is nil). Fields of h that frame the message are ignored.
func (c *Conn) WriteRequest(method, target string, h http.Header, body io.Reader, n int64) error {
	if !httpguts.ValidHeaderFieldName(method) || !validTarget(target) {
		return ErrField
	}
	c.Start(method, target)
	if h.Get("Host") == "" {
		c.Field("Host", "instance")
	}
	for name, values := range h {
		switch http.CanonicalHeaderKey(name) {
		case "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade":
			continue
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(v) {
				return ErrField
			}
			c.Field(name, v)
		}
	}
	if body == nil {
		c.NoBody()
		return c.Flush()
	}
	c.EndHeader(n)
	if n >= 0 {
		body = io.LimitReader(body, n)
	}
	if _, err := io.Copy(writer{c}, body); err != nil {
		return err
	}
	return c.End(nil)
}

// writer hides Conn's other methods from io.Copy.
type writer struct{ c *Conn }

func (w writer) Write(p []byte) (int, error) { return w.c.Write(p) }

func validTarget(t string) bool {
	return t != "" && !strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r == 0x7f })
}
