package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// answerTime bounds the wait for one answer: the time that a request may wait for an instance and
// the default time limit of a function, together.
const answerTime = 45 * time.Second

// target is where requests go: one address and one path.
type target struct {
	addr string // host:port
	host string
	path string
}

func (t target) request() []byte {
	return []byte("GET " + t.path + " HTTP/1.1\r\nHost: " + t.host + "\r\n\r\n")
}

// conn is one keep-alive HTTP/1.1 connection of the load generator. It knows just enough of the
// protocol to count answers, so that it costs little beside what it measures; net/http's client
// would take more of the processor than the proxy does.
type conn struct {
	net.Conn
	buf  []byte // what was read and not yet used is buf[r:w]
	r, w int
}

// answer is what the load generator looks at.
type answer struct {
	status int
	start  string // the hearth-start header, "" on the bare sides
}

func dial(ctx context.Context, addr string) (*conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, buf: make([]byte, 64<<10)}, nil
}

// call sends the prepared request and reads the whole answer.
func (c *conn) call(request []byte) (answer, error) {
	if err := c.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return answer{}, err
	}
	if _, err := c.Write(request); err != nil {
		return answer{}, err
	}
	head, err := c.until([]byte("\r\n\r\n"))
	if err != nil {
		return answer{}, err
	}
	a, length, err := parseHead(head)
	if err != nil {
		return answer{}, err
	}
	if length >= 0 {
		return a, c.skip(length)
	}
	for { // chunks
		line, err := c.until([]byte("\r\n"))
		if err != nil {
			return answer{}, err
		}
		size, err := strconv.ParseUint(string(bytes.TrimRight(line, "\r\n")), 16, 31)
		if err != nil {
			return answer{}, errors.New("bad chunk")
		}
		if err := c.skip(int(size) + 2); err != nil {
			return answer{}, err
		}
		if size == 0 {
			return a, nil
		}
	}
}

// parseHead returns the length of the body, or -1 for chunks.
func parseHead(head []byte) (a answer, length int, err error) {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return a, 0, fmt.Errorf("not an HTTP/1.1 answer: %.40q", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, 0, fmt.Errorf("not a status: %.40q", line)
	}
	length = -2
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		switch {
		case is(name, "content-length"):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil || length < 0 {
				return a, 0, errors.New("bad content-length")
			}
		case is(name, "transfer-encoding"):
			length = -1
		case is(name, "hearth-start"):
			a.start = string(bytes.TrimSpace(value))
		}
	}
	if length == -2 {
		return a, 0, errors.New("an answer without length")
	}
	return a, length, nil
}

func is(name []byte, lower string) bool {
	return len(name) == len(lower) && strings.EqualFold(string(name), lower)
}

// until returns everything up to and with the mark; it is valid until the next read.
func (c *conn) until(mark []byte) ([]byte, error) {
	for {
		if i := bytes.Index(c.buf[c.r:c.w], mark); i >= 0 {
			part := c.buf[c.r : c.r+i+len(mark)]
			c.r += len(part)
			return part, nil
		}
		if c.r > 0 {
			c.w = copy(c.buf, c.buf[c.r:c.w])
			c.r = 0
		}
		if c.w == len(c.buf) {
			return nil, errors.New("the header is too long")
		}
		n, err := c.Read(c.buf[c.w:])
		if err != nil {
			return nil, err
		}
		c.w += n
	}
}

func (c *conn) skip(n int) error {
	for {
		have := min(n, c.w-c.r)
		c.r += have
		if n -= have; n == 0 {
			return nil
		}
		c.r, c.w = 0, 0
		got, err := c.Read(c.buf)
		if err != nil {
			return err
		}
		c.w = got
	}
}
