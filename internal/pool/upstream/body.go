package upstream

import (
	"bytes"
	"io"
)

type bodyState uint8

const (
	bodyDone      bodyState = iota // all of it was read; also: there is none
	bodyLength                     // left bytes follow
	bodyUntilEnd                   // until the connection ends
	bodyChunkSize                  // a chunk's size line follows
	bodyChunk                      // left bytes of a chunk follow
	bodyChunkEnd                   // the CRLF behind a chunk follows
	bodyTrailer                    // fields and an empty line follow
	bodyFailed
)

// body is the state of a response's body; the bytes stay in the connection's buffer.
type body struct {
	c     *Conn
	state bodyState
	left  int64
	err   error // of bodyFailed
}

// maxSizeLine bounds the digits of a chunk's size: 15 hexadecimal digits fit an int64.
const maxSizeLine = 15

// Next returns bytes of the body that have come already. They are valid until the next call. (nil,
// nil) means that none are here: call Wait, after sending on whatever must not wait. io.EOF is the
// end of a complete body.
func (c *Conn) Next() ([]byte, error) {
	b := &c.body
	for {
		have := c.in[c.r:c.w]
		switch b.state {
		case bodyDone:
			return nil, io.EOF
		case bodyFailed:
			return nil, b.err
		case bodyUntilEnd:
			c.r = c.w
			return nonEmpty(have), nil
		case bodyLength, bodyChunk:
			if len(have) == 0 {
				return nil, nil
			}
			p := have[:min(b.left, int64(len(have)))]
			c.r += len(p)
			if b.left -= int64(len(p)); b.left == 0 {
				b.state = bodyDone
				if c.res.ContentLength < 0 {
					b.state = bodyChunkEnd
				}
			}
			return p, nil
		case bodyChunkSize:
			n, size, err := chunkSize(have)
			if err != nil {
				return nil, c.fail(err)
			}
			if n == 0 {
				return nil, nil
			}
			c.r += n
			if b.left, b.state = size, bodyChunk; size == 0 {
				b.state = bodyTrailer
			}
		case bodyChunkEnd:
			if len(have) > 0 && have[0] != '\r' || len(have) > 1 && have[1] != '\n' {
				return nil, c.fail(malformed("a chunk is longer than its size"))
			}
			if len(have) < 2 {
				return nil, nil
			}
			c.r += 2
			b.state = bodyChunkSize
		case bodyTrailer:
			n, err := block(have)
			if err == nil && n == 0 {
				return nil, nil
			}
			if err == nil {
				c.res.Trailer, err = fields(nil, string(have[:n]))
			}
			if err != nil {
				return nil, c.fail(err)
			}
			c.r += n
			b.state = bodyDone
		}
	}
}

// Wait reads once from the socket. An end before the body's own end is io.ErrUnexpectedEOF.
func (c *Conn) Wait() error {
	b := &c.body
	if b.state == bodyFailed {
		return b.err
	}
	if b.left > int64(len(c.in)) || c.w == len(c.in) {
		c.grow() // long bodies move in long reads
	}
	err := c.fill()
	switch {
	case err == io.EOF && b.state == bodyUntilEnd:
		b.state = bodyDone
		return nil
	case err == io.EOF:
		return c.fail(io.ErrUnexpectedEOF)
	case err != nil:
		return c.fail(err)
	}
	return nil
}

// Read reads the body, waiting where it has to.
func (b *body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c := b.c
	for {
		next, err := c.Next()
		if err != nil {
			return 0, err
		}
		if len(next) > 0 {
			n := copy(p, next)
			if rest := len(next) - n; rest > 0 { // give back what did not fit
				c.r -= rest
				b.unread(int64(rest))
			}
			return n, nil
		}
		if err := c.Wait(); err != nil {
			return 0, err
		}
	}
}

// unread takes back n bytes that Next returned.
func (b *body) unread(n int64) {
	switch b.state {
	case bodyUntilEnd:
	case bodyChunkEnd, bodyChunk:
		b.state = bodyChunk
		b.left += n
	default:
		b.state = bodyLength
		b.left += n
	}
}

func (c *Conn) fail(err error) error {
	c.body.state, c.body.err = bodyFailed, err
	return err
}

// chunkSize parses a size line and returns its length, 0 if it has not all come. Extensions are
// refused: no instance needs them, and they are where parsers disagree.
func chunkSize(p []byte) (n int, size int64, err error) {
	i := bytes.IndexByte(p[:min(len(p), maxSizeLine+2)], '\n')
	line := p[:min(len(p), maxSizeLine+2)]
	if i >= 0 {
		line = p[:i+1]
	}
	digits := 0
	for digits < len(line) {
		d, ok := hex(line[digits])
		if !ok {
			break
		}
		if digits == maxSizeLine {
			return 0, 0, malformed("size of a chunk %.40q", line)
		}
		size = size<<4 | int64(d)
		digits++
	}
	rest := line[digits:]
	switch {
	case digits > 0 && string(rest) == "\r\n":
		return len(line), size, nil
	case i < 0 && (len(rest) == 0 || digits > 0 && string(rest) == "\r"):
		return 0, 0, nil // more has to come
	}
	return 0, 0, malformed("size of a chunk %.40q", line)
}

func hex(b byte) (byte, bool) {
	switch {
	case b >= '0' && b <= '9':
		return b - '0', true
	case b >= 'a' && b <= 'f':
		return b - 'a' + 10, true
	case b >= 'A' && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}

func nonEmpty(p []byte) []byte {
	if len(p) == 0 {
		return nil
	}
	return p
}
