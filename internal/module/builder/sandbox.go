package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"hearth/internal/warden/wire"
)

// Limits of a build sandbox. The files in /work are memory, so half of it is left to the compiler.
var Limits = wire.Limits{MemoryMiB: 2048, MilliCPUs: 2000, Pids: 512, TmpMiB: 256, WorkMiB: 1024}

// startTime bounds how long the driver takes to answer: it needs 50 ms on a quiet machine.
const startTime = 30 * time.Second

// Warden is what this room needs of it.
type Warden interface {
	StartBuild(ctx context.Context, runtime string, l wire.Limits) (*wire.Sandbox, error)
	Destroy(ctx context.Context, id string) error
}

// Driver is the host's side of a build sandbox's driver. Its calls are made one after the other.
type Driver struct {
	ID string // of its sandbox

	client *http.Client
	said   *tail // what it printed
}

// NewDriver speaks to the driver behind dial, for who has a sandbox of another kind.
func NewDriver(id string, dial func(ctx context.Context) (net.Conn, error)) *Driver {
	return &Driver{ID: id, said: &tail{}, client: &http.Client{
		Transport: &http.Transport{
			DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
			DisableKeepAlives:      true, // a few calls in all
			DisableCompression:     true,
			MaxResponseHeaderBytes: mostHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Sandbox is one build sandbox.
type Sandbox struct {
	*Driver

	warden   Warden
	box      *wire.Sandbox
	registry net.Listener
	readers  sync.WaitGroup
}

// Start makes a build sandbox and returns when its driver answers.
func Start(ctx context.Context, w Warden, runtime string) (_ *Sandbox, err error) {
	box, err := w.StartBuild(ctx, runtime, Limits)
	if err != nil {
		return nil, err
	}
	s := &Sandbox{warden: w, box: box, Driver: NewDriver(box.ID, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d", box.Control.Fd()))
	})}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start build sandbox %s: %w", s.ID, err), s.Close(context.WithoutCancel(ctx)))
		}
	}()
	for _, f := range []*os.File{box.Stdout, box.Stderr} {
		s.readers.Go(func() { io.Copy(s.said, io.LimitReader(f, mostSaid)) }) // ends with Close
	}
	if s.registry, err = net.FileListener(box.Registry); err != nil {
		return nil, fmt.Errorf("listen for registry: %w", err)
	}
	ping, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("no answer for %s", startTime))
	defer cancel()
	if err := s.plain(ping, "GET", "/ping", nil); err != nil {
		return nil, err
	}
	return s, nil
}

// Registry is the listener on which the caller serves the registry. Close closes it.
func (s *Sandbox) Registry() net.Listener { return s.registry }

// Close ends the sandbox with everything in it, and returns when nothing is left.
func (s *Sandbox) Close(ctx context.Context) error {
	if s.registry != nil {
		s.registry.Close()
	}
	err := s.warden.Destroy(ctx, s.ID)
	s.client.CloseIdleConnections()
	s.box.Close() // and with it the pipes that the readers wait for
	s.readers.Wait()
	return err
}

// mostSaid bounds what is read of a standard stream. Only the driver itself prints there, when it
// fails; a script that floods it has to wait.
const mostSaid = 64 << 10

// tail keeps the end of what was written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 1 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailBytes; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
