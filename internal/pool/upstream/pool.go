package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// maxIdle bounds the connections that wait in a pool. A busy instance has as many as requests at
// once; more than this many are only worth their memory during a burst.
const maxIdle = 64

// ErrClosed says that the instance of a pool is gone.
var ErrClosed = errors.New("the instance's connections are closed")

// Pool holds the connections of one instance. It is safe for concurrent use; its lock is held for
// the push or pop of one connection and is shared by the requests of one instance only.
type Pool struct {
	dial func(ctx context.Context) (net.Conn, error)

	mu     sync.Mutex
	idle   []*Conn            // last in, first out: the warmest, and the rest may grow old
	live   map[*Conn]struct{} // all of them, also those in use
	closed bool
}

// NewPool makes the pool of the instance that dial connects to.
func NewPool(dial func(ctx context.Context) (net.Conn, error)) *Pool {
	return &Pool{dial: dial, live: map[*Conn]struct{}{}}
}

// Get returns a connection that is ready for a request: an idle one whose socket is silent, or a
// new one. The caller calls Release once.
func (p *Pool) Get(ctx context.Context) (*Conn, error) {
	if c := p.Idle(); c != nil {
		return c, nil
	}
	return p.Dial(ctx)
}

// Idle returns an idle connection whose socket is silent, nil if there is none.
func (p *Pool) Idle() *Conn {
	for {
		c := p.pop()
		if c == nil {
			return nil
		}
		if c.silent() {
			c.reused = true
			return c
		}
		c.close()
	}
}

// Dial returns a new connection, also for a caller whose idle one proved to be dead.
func (p *Pool) Dial(ctx context.Context) (*Conn, error) {
	nc, err := p.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to instance: %w", err)
	}
	c := newConn(p, nc)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = nc.Close()
		return nil, ErrClosed
	}
	p.live[c] = struct{}{}
	return c, nil
}

// Add takes over a connection on which the last exchange is complete, as an idle one. It reports
// false when there is no place for it, and then it is still the caller's.
func (p *Pool) Add(nc net.Conn) bool {
	c := newConn(p, nc)
	if c.raw == nil || nc.SetDeadline(time.Time{}) != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdle {
		return false
	}
	p.live[c] = struct{}{}
	p.idle = append(p.idle, c)
	return true
}

// Close breaks every connection, also those in use, and makes Get fail. The instance is gone.
func (p *Pool) Close() {
	p.mu.Lock()
	live := p.live
	p.live, p.idle, p.closed = nil, nil, true
	p.mu.Unlock()
	for c := range live {
		c.Break()
	}
}

func (p *Pool) pop() *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle) - 1
	if n < 0 {
		return nil
	}
	c := p.idle[n]
	p.idle[n] = nil
	p.idle = p.idle[:n]
	return c
}

// push takes c as idle; false if there is no place for it.
func (p *Pool) push(c *Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdle {
		return false
	}
	p.idle = append(p.idle, c)
	return true
}

func (p *Pool) forget(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.live, c)
}
