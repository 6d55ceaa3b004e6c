package instance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"
)

// maxControl bounds an answer on the control socket, in bytes: its header, and its body unless that is
// code.
const maxControl = 256 << 10

// Dial connects to the socket for requests.
func (i *Instance) Dial(ctx context.Context) (net.Conn, error) {
	return i.dial(ctx, i.requests)
}

// dial connects to the socket behind f. Control holds the descriptor open meanwhile: a number that
// was closed and used again would lead to another instance.
func (i *Instance) dial(ctx context.Context, f *os.File) (net.Conn, error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("dial instance %s: %w", i.id, err)
	}
	var conn net.Conn
	held := rc.Control(func(fd uintptr) {
		conn, err = connect(ctx, "/proc/self/fd/"+strconv.FormatUint(uint64(fd), 10))
	})
	if err = errors.Join(held, err); err != nil {
		return nil, fmt.Errorf("dial instance %s: %w", i.id, err)
	}
	return conn, nil
}

// connect dials a unix socket and waits while its backlog is full, which Linux tells of with EAGAIN
// where a blocking socket would wait.
func connect(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		conn, err := d.DialContext(ctx, "unix", path)
		if !errors.Is(err, syscall.EAGAIN) {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// exchange sends one request over conn and returns the answer, whose body has most bytes at most.
func exchange(ctx context.Context, conn net.Conn, r *bufio.Reader, req *http.Request, most int64) (*http.Response, []byte, error) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	res, body, err := talk(conn, r, req, most)
	if err != nil && ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return res, body, err
}

func talk(conn net.Conn, r *bufio.Reader, req *http.Request, most int64) (*http.Response, []byte, error) {
	if err := req.Write(conn); err != nil {
		return nil, nil, err
	}
	res, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(body)) > most {
		return nil, nil, fmt.Errorf("an answer longer than %d bytes", most)
	}
	return res, body, nil
}
