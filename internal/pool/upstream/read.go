package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// ErrMalformed says that the instance sent what is not a well-formed answer.
var ErrMalformed = errors.New("malformed answer")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

// ReadResponse reads the header of the final answer. interim, if not nil, is called with each 1xx
// before it; an error from it ends the exchange. After os.ErrDeadlineExceeded it may be called
// again. Errors: ErrMalformed; io.EOF when the end came before any byte; io.ErrUnexpectedEOF when
// it came later; those of the socket.
func (c *Conn) ReadResponse(interim func(*Response) error) (*Response, error) {
	for {
		res, err := c.ReadHead()
		if err != nil || res.Final() {
			return res, err
		}
		if interim != nil {
			if err := interim(res); err != nil {
				return nil, err
			}
		}
	}
}

// ReadHead reads the header of the next answer, an interim one too. Its errors are those of
// ReadResponse.
func (c *Conn) ReadHead() (*Response, error) {
	if err := c.readHead(); err != nil {
		return nil, err
	}
	if !c.res.Final() {
		if c.interims++; c.interims > maxInterims {
			return nil, malformed("more than %d interim answers", maxInterims)
		}
	}
	return &c.res, nil
}

// Final reports whether no other answer follows: 101 is the last one of HTTP.
func (r *Response) Final() bool {
	return r.Status >= 200 || r.Status == http.StatusSwitchingProtocols
}

// readHead reads one status line and its fields into c.res and c.body.
func (c *Conn) readHead() error {
	const prefix = "HTTP/1."
	n := 0
	for {
		have := c.in[c.r:c.w]
		if m := min(len(prefix), len(have)); string(have[:m]) != prefix[:m] {
			return malformed("begins with %q", have[:min(len(have), 16)])
		}
		var err error
		if n, err = block(have); err != nil {
			return err
		}
		if n > 0 {
			break
		}
		if err := c.fill(); err != nil {
			if err == io.EOF && len(have) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	text := string(c.in[c.r : c.r+n])
	c.r += n
	line, text, _ := strings.Cut(text, "\r\n")
	res := &c.res
	*res = Response{Header: res.Header[:0], ContentLength: -1, Body: &c.body}
	var minor byte
	var err error
	if res.Status, minor, err = statusLine(line); err != nil {
		return err
	}
	if res.Header, err = fields(res.Header, text); err != nil {
		return err
	}
	return c.frame(minor)
}

// block returns the length of the lines up to and with the empty one, 0 if they have not all come.
// Every line must end with CRLF, which is checked as lines come, so that nonsense is refused at
// once and not when a deadline passes.
func block(have []byte) (int, error) {
	start, lines := 0, 0
	for {
		i := bytes.IndexByte(have[start:], '\n')
		end := start + i // of the line, with its LF
		switch {
		case i < 0 && len(have) >= maxHeaderBytes, end >= maxHeaderBytes:
			return 0, malformed("header is longer than %d bytes", maxHeaderBytes)
		case i < 0:
			return 0, nil
		case i == 0 || have[end-1] != '\r':
			return 0, malformed("a line ends without CR")
		case i == 1:
			return end + 1, nil
		}
		if lines++; lines > maxHeaderFields+1 {
			return 0, malformed("more than %d fields", maxHeaderFields)
		}
		start = end + 1
	}
}

// statusLine parses "HTTP/1.1 200 OK". The reason is checked and thrown away.
func statusLine(s string) (status int, minor byte, err error) {
	if len(s) < len("HTTP/1.1 200") || (s[7] != '1' && s[7] != '0') || s[8] != ' ' {
		return 0, 0, malformed("status line %.40q", s)
	}
	for _, d := range []byte(s[9:12]) {
		if d < '0' || d > '9' {
			return 0, 0, malformed("status line %.40q", s)
		}
		status = status*10 + int(d-'0')
	}
	if status < 100 || len(s) > 12 && s[12] != ' ' || !httpguts.ValidHeaderFieldValue(s) {
		return 0, 0, malformed("status line %.40q", s)
	}
	return status, s[7], nil
}

// fields parses lines that end with CRLF up to the empty one.
func fields(h Header, text string) (Header, error) {
	for len(text) > 2 {
		var line string
		line, text, _ = strings.Cut(text, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		// A folded line begins with a space, which no name holds; nor does one before the colon.
		if !ok || !httpguts.ValidHeaderFieldName(name) {
			return nil, malformed("field %.40q", line)
		}
		if value = trim(value); !httpguts.ValidHeaderFieldValue(value) {
			return nil, malformed("value of field %.40q", name)
		}
		if len(h) >= maxHeaderFields {
			return nil, malformed("more than %d fields", maxHeaderFields)
		}
		h = append(h, Field{http.CanonicalHeaderKey(name), value})
	}
	return h, nil
}

// frame decides how the body ends (RFC 9112, section 6.3, less everything that is ambiguous).
func (c *Conn) frame(minor byte) error {
	res := &c.res
	length, chunked := int64(-1), false
	c.keep = minor == '1'
	for _, f := range res.Header {
		switch f.Name {
		case "Content-Length":
			if length >= 0 {
				return malformed("two lengths")
			}
			if length = parseLength(f.Value); length < 0 {
				return malformed("length %.40q", f.Value)
			}
		case "Transfer-Encoding":
			if chunked || minor != '1' || !strings.EqualFold(f.Value, "chunked") {
				return malformed("coding %.40q", f.Value)
			}
			chunked = true
		case "Connection":
			if HasToken(f.Value, "close") {
				c.keep = false
			}
		}
	}
	framed := length >= 0 || chunked
	switch {
	case length >= 0 && chunked:
		return malformed("both a length and a coding")
	case res.Status < 200:
		if framed {
			return malformed("a body after status %d", res.Status)
		}
		if res.Status == http.StatusSwitchingProtocols {
			if !c.upgrade || res.Header.Get("Upgrade") == "" {
				return malformed("an upgrade that nobody asked for")
			}
			c.keep = false
		}
		c.body = body{c: c, state: bodyDone}
	case c.head || res.Status == http.StatusNotModified || res.Status == http.StatusNoContent:
		if res.Status == http.StatusNoContent && (chunked || length > 0) {
			return malformed("a body after status 204")
		}
		res.ContentLength = length
		c.body = body{c: c, state: bodyDone}
	case chunked:
		c.body = body{c: c, state: bodyChunkSize}
	case length == 0:
		res.ContentLength = 0
		c.body = body{c: c, state: bodyDone}
	case length > 0:
		res.ContentLength = length
		c.body = body{c: c, state: bodyLength, left: length}
	default:
		c.keep = false
		c.body = body{c: c, state: bodyUntilEnd}
	}
	return nil
}

// parseLength takes plain digits only; -1 for anything else.
func parseLength(s string) int64 {
	if s == "" || len(s) > 18 {
		return -1
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n
}

// HasToken reports whether a comma separated list holds a token, in any case of letters.
func HasToken(list, token string) bool {
	for list != "" {
		var t string
		t, list, _ = strings.Cut(list, ",")
		if strings.EqualFold(trim(t), token) {
			return true
		}
	}
	return false
}

func trim(s string) string { return strings.Trim(s, " \t") }
