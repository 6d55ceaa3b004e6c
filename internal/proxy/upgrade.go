package proxy

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hearth"
	"hearth/internal/pool/upstream"
)

// upgrade answers 101 and then carries bytes both ways until both sides are done, one breaks, or
// nothing has moved for LimitUpgradeIdle. The function's time limit ends with the 101.
func (x *exchange) upgrade(res *upstream.Response) error {
	if !strings.EqualFold(res.Header.Get("Upgrade"), x.protocol) && !listed([]string{x.protocol}, res.Header.Get("Upgrade")) {
		return upstream.ErrMalformed
	}
	h := x.w.Header()
	copyHeader(h, res.Header)
	h["Connection"] = []string{"Upgrade"}
	h["Upgrade"] = []string{res.Header.Get("Upgrade")}
	if !x.unwatch() {
		x.conn.Break()
		return errClientGone
	}
	client, rw, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return err
	}
	x.sent = true
	x.call.Status = http.StatusSwitchingProtocols
	instance, first := x.conn.Hijack()
	x.conn = nil

	var head bytes.Buffer
	head.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = h.Write(&head) // a buffer does not fail
	head.WriteString("\r\n")
	early, _ := rw.Reader.Peek(rw.Reader.Buffered()) // of what is buffered, so it does not fail

	t := &tunnel{client: client, instance: instance}
	if !x.p.tunnels.add(t) {
		t.cut()
		return errClientGone
	}
	defer x.p.tunnels.remove(t)
	_ = errors.Join(client.SetDeadline(time.Time{}), instance.SetDeadline(time.Time{})) // a dead one fails below
	t.run(append(head.Bytes(), first...), early)
	return nil
}

// tunnel is an upgraded connection.
type tunnel struct {
	client, instance net.Conn
	moved            atomic.Int64 // when a byte last moved, in Unix nanoseconds
}

// run carries bytes until both directions have ended.
func (t *tunnel) run(toClient, toInstance []byte) {
	t.moved.Store(time.Now().UnixNano())
	var wg sync.WaitGroup
	wg.Go(func() { t.carry(t.instance, t.client, toInstance) })
	t.carry(t.client, t.instance, toClient)
	wg.Wait()
	t.cut()
}

// carry copies one direction and passes its end on, so that the other side may still answer.
func (t *tunnel) carry(dst, src net.Conn, first []byte) {
	buf := make([]byte, 16<<10)
	p := first
	for {
		if len(p) > 0 {
			_ = dst.SetWriteDeadline(time.Now().Add(hearth.LimitBodyIdle.Duration())) // a dead one fails below
			if _, err := dst.Write(p); err != nil {
				t.cut()
				return
			}
		}
		_ = src.SetReadDeadline(time.Unix(0, t.moved.Load()).Add(hearth.LimitUpgradeIdle.Duration()))
		n, err := src.Read(buf)
		if n > 0 {
			t.moved.Store(time.Now().UnixNano())
		}
		p = buf[:n]
		if err == nil {
			continue
		}
		idle := time.Since(time.Unix(0, t.moved.Load()))
		if errors.Is(err, os.ErrDeadlineExceeded) && idle < hearth.LimitUpgradeIdle.Duration() {
			continue // the other direction moved meanwhile
		}
		half, ok := dst.(interface{ CloseWrite() error })
		if errors.Is(err, os.ErrDeadlineExceeded) || !ok || half.CloseWrite() != nil {
			t.cut()
		}
		return
	}
}

func (t *tunnel) cut() {
	_ = errors.Join(t.client.Close(), t.instance.Close()) // closing twice is fine
}

// tunnels are the upgraded connections of a proxy.
type tunnels struct {
	mu     sync.Mutex
	open   map[*tunnel]struct{} // bounded by the requests that instances take at once
	closed bool
	wg     sync.WaitGroup
}

func (s *tunnels) add(t *tunnel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.open == nil {
		s.open = map[*tunnel]struct{}{}
	}
	s.open[t] = struct{}{}
	s.wg.Add(1)
	return true
}

func (s *tunnels) remove(t *tunnel) {
	s.mu.Lock()
	delete(s.open, t)
	s.mu.Unlock()
	s.wg.Done()
}

func (s *tunnels) close() {
	s.mu.Lock()
	s.closed = true
	for t := range s.open {
		t.cut()
	}
	s.mu.Unlock()
	s.wg.Wait()
}
