package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"hearth"
)

// maxStreams bounds the requests at once of one HTTP/2 connection.
const maxStreams = 250

// maxFrame bounds a frame of HTTP/2, in bytes: what every client must accept anyway. net/http's own
// megabyte is memory that every connection could ask for.
const maxFrame = 16 << 10

// ServerConfig is what a server needs.
type ServerConfig struct {
	Handler http.Handler
	Log     *slog.Logger

	// Certificate turns TLS on. It is asked at every handshake, so a new certificate needs no restart.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	H2C   bool          // HTTP/2 without TLS, for clients that know; never by an upgrade
	Drain time.Duration // how long requests may go on after Run's context has ended
	Close func()        // called when they may not any more: ends what the server does not know of
}

// Server serves HTTP/1.1 and HTTP/2 with the limits of the platform.
type Server struct {
	http  *http.Server
	tls   bool
	drain time.Duration
	close func()
}

// NewServer makes a server. Call Run.
func NewServer(cfg ServerConfig) *Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(cfg.Certificate != nil)
	protocols.SetUnencryptedHTTP2(cfg.H2C && cfg.Certificate == nil)
	s := &Server{drain: cfg.Drain, close: cfg.Close, tls: cfg.Certificate != nil, http: &http.Server{
		Handler:           cfg.Handler,
		ReadHeaderTimeout: hearth.LimitHeaderTime.Duration(),
		IdleTimeout:       hearth.LimitKeepAlive.Duration(),
		MaxHeaderBytes:    hearth.LimitHeaderBytes.Int(),
		ConnState:         watchPhase,
		Protocols:         protocols,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReadFrameSize: maxFrame,
			WriteByteTimeout: hearth.LimitBodyIdle.Duration()},
		// What net/http has to say is about single clients, and may repeat their bytes.
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
		// No ReadTimeout and no WriteTimeout: they would bound whole requests. A body that
		// stands still is ended by the proxy, an answer that is not taken by patient's deadline.
	}}
	if s.tls {
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cfg.Certificate}
	}
	return s
}

// Run serves the listeners until ctx ends or one of them fails. Then it closes them, lets requests
// go on for the drain time, and returns when all have ended.
func (s *Server) Run(ctx context.Context, listeners ...net.Listener) error {
	failed := make(chan error, len(listeners))
	var wg sync.WaitGroup
	for _, l := range listeners {
		wg.Go(func() { failed <- s.serve(patient{l, !s.tls}) })
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drain)
	defer cancel()
	if serr := s.http.Shutdown(drain); serr != nil {
		_ = s.http.Close() // the drain time is over
	}
	if s.close != nil {
		s.close()
	}
	wg.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

func (s *Server) serve(l net.Listener) error {
	serve := s.http.Serve
	if s.tls {
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
	}
	if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// patient is a listener whose connections wait LimitBodyIdle for the client to take a piece of an
// answer, and no longer. net/http's own limit is for the whole answer, which may stream for ever.
type patient struct {
	net.Listener
	plain bool // no TLS above
}

func (l patient) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	pc := &patientConn{Conn: c}
	if l.plain {
		pc.phase.Store(phaseIdle)
	}
	return pc, nil
}

type patientConn struct {
	net.Conn
	until atomic.Int64 // the write deadline, Unix nanoseconds; HTTP/2 writes and closes in two goroutines
	phase phase
}

// Read tells a client that its header took too long, where net/http would say nothing.
func (c *patientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case n > 0 && c.phase.Load() == phaseIdle:
		c.phase.CompareAndSwap(phaseIdle, phaseHeader)
	case errors.Is(err, os.ErrDeadlineExceeded) && c.phase.CompareAndSwap(phaseHeader, phaseAnswer):
		_, _ = c.Write(refuse(http.StatusRequestTimeout, "")) // the client may be gone
	}
	return n, err
}

// Write moves the deadline at most once a second, since that costs more than looking at a clock.
func (c *patientConn) Write(p []byte) (int, error) {
	now := time.Now()
	if time.Duration(c.until.Load()-now.UnixNano()) < hearth.LimitBodyIdle.Duration()-time.Second {
		until := now.Add(hearth.LimitBodyIdle.Duration())
		c.until.Store(until.UnixNano())
		if err := c.Conn.SetWriteDeadline(until); err != nil {
			return 0, err
		}
	}
	if now := c.phase.Load(); now != phaseOther && now != phaseAnswer {
		if !bytes.HasPrefix(p, version11) {
			c.phase.Store(phaseOther)
		} else {
			c.phase.move(phaseAnswer)
			if instead := refusal(p); instead != nil {
				_, err := c.Conn.Write(instead)
				return len(p), err
			}
		}
	}
	return c.Conn.Write(p)
}

// SetDeadline and SetWriteDeadline forget what Write knew.
func (c *patientConn) SetDeadline(t time.Time) error {
	c.until.Store(0)
	return c.Conn.SetDeadline(t)
}

func (c *patientConn) SetWriteDeadline(t time.Time) error {
	c.until.Store(0)
	return c.Conn.SetWriteDeadline(t)
}

// CloseWrite passes a half close on; net/http and upgraded connections use it.
func (c *patientConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}
