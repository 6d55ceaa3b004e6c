package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Conn carries packets with descriptors. Read belongs to one goroutine; Write is safe for several.
type Conn struct {
	c  *net.UnixConn
	mu sync.Mutex // one packet at a time

	buf []byte
	oob []byte
}

// Pair makes the two ends: one as a Conn, the other as a file to hand to a child.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	mine, err := NewConn(os.NewFile(uintptr(fds[0]), "warden"))
	if err != nil {
		unix.Close(fds[1])
		return nil, nil, err
	}
	return mine, os.NewFile(uintptr(fds[1]), "node"), nil
}

// NewConn takes over f, one end of a socket pair.
func NewConn(f *os.File) (*Conn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("open socket pair: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("open socket pair: not a unix socket")
	}
	return &Conn{c: u, buf: make([]byte, MaxMessage+1), oob: make([]byte, unix.CmsgSpace(4*MaxFiles))}, nil
}

// Close ends both directions; a Read that waits returns.
func (c *Conn) Close() error { return c.c.Close() }

// Write sends one packet with the descriptors of files, which stay the caller's.
func (c *Conn) Write(packet []byte, files ...*os.File) error {
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			rc, err := f.SyscallConn()
			if err != nil {
				return fmt.Errorf("send %s: %w", f.Name(), err)
			}
			if err := rc.Control(func(fd uintptr) { fds[i] = int(fd) }); err != nil {
				return fmt.Errorf("send %s: %w", f.Name(), err)
			}
		}
		oob = unix.UnixRights(fds...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, _, err := c.c.WriteMsgUnix(packet, oob, nil); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// Read returns the next packet, valid until the next Read, and the descriptors that came with it,
// which are the caller's. The end of the socket is io.EOF, also that of a peer that died before it
// had read everything, which the kernel tells apart.
func (c *Conn) Read() ([]byte, []*os.File, error) {
	n, oobn, flags, _, err := c.c.ReadMsgUnix(c.buf, c.oob)
	if errors.Is(err, unix.ECONNRESET) {
		return nil, nil, io.EOF
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read message: %w", err)
	}
	files, err := received(c.oob[:oobn])
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("read message: longer than a message may be")
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		CloseAll(files)
		return nil, nil, err
	}
	return c.buf[:n], files, nil
}

// received opens the descriptors of a control message. The runtime asks for them close-on-exec.
func received(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("read descriptors: %w", err)
	}
	var files []*os.File
	for _, m := range msgs {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			CloseAll(files)
			return nil, fmt.Errorf("read descriptors: %w", err)
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

// CloseAll closes files and forgets their errors: there is nothing left to do about them.
func CloseAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
