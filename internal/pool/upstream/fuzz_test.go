package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
	"time"
)

// canned is a connection that reads fixed bytes, in pieces of a given size, and takes all writes.
type canned struct {
	left  []byte
	piece int
}

func (c *canned) Read(p []byte) (int, error) {
	if len(c.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.piece)], c.left)
	c.left = c.left[n:]
	return n, nil
}
func (c *canned) Write(p []byte) (int, error)      { return len(p), nil }
func (c *canned) Close() error                     { return nil }
func (c *canned) LocalAddr() net.Addr              { return nil }
func (c *canned) RemoteAddr() net.Addr             { return nil }
func (c *canned) SetDeadline(time.Time) error      { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }

// parse reads the answer in bytes as a Conn does, in pieces.
func parse(t *testing.T, data []byte, method string, piece int) (status int, h http.Header, body []byte, trailer Header, err error) {
	t.Helper()
	p := NewPool(func(context.Context) (net.Conn, error) { return &canned{left: data, piece: piece}, nil })
	defer p.Close()
	c, err := p.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	if err := c.WriteRequest(method, "/", nil, nil, 0); err != nil {
		t.Fatal(err)
	}
	res, err := c.ReadResponse(nil)
	if err != nil {
		return 0, nil, nil, nil, err
	}
	status, h = res.Status, res.Header.HTTP()
	body, err = io.ReadAll(res.Body)
	return status, h, body, res.Trailer, err
}

// Whatever this parser accepts, net/http's must read the same; and the size of the pieces in which
// bytes come must not matter.
func FuzzResponse(f *testing.F) {
	const okLine = "HTTP/1.1 200 OK\r\n"
	for _, s := range []string{okLine + "Content-Length: 5\r\n\r\nhello", okLine + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: b\r\n\r\n", okLine + "\r\nhello",
		"HTTP/1.1 103 X\r\nLink: a\r\n\r\n" + okLine + "Content-Length: 0\r\n\r\n", "HTTP/1.1 204 X\r\n\r\n", "HTTP/1.0 200\r\nA:b\r\n\r\nx", "HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\n",
		okLine + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", okLine + "X : y\r\n\r\n", okLine + "X: y\r\n z\r\n\r\n", "HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n"} {
		f.Add([]byte(s), uint8(1), false)
		f.Add([]byte(s), uint8(200), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, piece uint8, head bool) {
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		status, h, body, trailer, err := parse(t, data, method, int(piece)+1)
		status2, _, body2, _, err2 := parse(t, data, method, 1<<20)
		if status != status2 || !bytes.Equal(body, body2) || (err == nil) != (err2 == nil) {
			t.Errorf("in pieces of %d: %d %q %v, at once: %d %q %v", int(piece)+1, status, body, err, status2, body2, err2)
		}
		if err != nil {
			return
		}
		for name, values := range h {
			if strings.ContainsAny(name+strings.Join(values, ""), "\r\n\x00") {
				t.Errorf("field %q: %q", name, values)
			}
		}
		r := bufio.NewReader(bytes.NewReader(data))
		req := &http.Request{Method: method}
		var res *http.Response
		for {
			var err error
			if res, err = http.ReadResponse(r, req); err != nil {
				return // net/http is stricter here; nothing to compare
			}
			if res.StatusCode >= 200 || res.StatusCode == 101 {
				break
			}
		}
		want, err := io.ReadAll(res.Body)
		if err != nil {
			return
		}
		if status != res.StatusCode || !bytes.Equal(body, want) {
			t.Errorf("%d %q, net/http reads %d %q", status, body, res.StatusCode, want)
		}
		for _, f := range trailer {
			if got := res.Trailer[f.Name]; len(got) == 0 {
				t.Errorf("trailer %q, net/http reads %v", f, res.Trailer)
			}
		}
		for name, values := range res.Header {
			if strings.Join(h[name], "|") != strings.Join(values, "|") && name != "Trailer" && name != "Content-Length" {
				t.Errorf("%s: %q, net/http reads %q", name, h[name], values)
			}
		}
	})
}

// FuzzChunked compares the body reader with net/http's for whatever this one accepts, and reads back
// what the writer wrote.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{"5\r\nhello\r\n0\r\n\r\n", "0\r\n\r\n", "1\r\na\r\n2\r\nbc\r\n0\r\nX: y\r\n\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n", "0x1\r\na\r\n0\r\n\r\n", "1\na\n0\n\n", "ffffffffffffffff\r\n"} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, piece uint8) {
		head := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		_, _, body, _, err := parse(t, append([]byte(head), data...), http.MethodGet, int(piece)+1)
		if err == nil {
			want, werr := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(data)))
			if werr != nil || !bytes.Equal(body, want) {
				t.Errorf("%q is read as %q, net/http reads %q %v", data, body, want, werr)
			}
		} else if !errors.Is(err, ErrMalformed) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: error %v, want malformed or an early end", data, err)
		}

		var sent bytes.Buffer
		p := NewPool(func(context.Context) (net.Conn, error) { return &recorder{canned{}, &sent}, nil })
		defer p.Close()
		c, err := p.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		if err := c.WriteRequest("POST", "/", nil, bytes.NewReader(data), -1); err != nil {
			t.Fatal(err)
		}
		req, err := http.ReadRequest(bufio.NewReader(&sent))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(req.Body); err != nil || !bytes.Equal(back, data) {
			t.Errorf("sent %q, net/http reads %q %v", data, back, err)
		}
	})
}

type recorder struct {
	canned
	sent *bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) { return r.sent.Write(p) }
