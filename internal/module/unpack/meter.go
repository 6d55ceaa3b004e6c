package unpack

import (
	"context"
	"errors"
	"io"
)

// source counts the packed bytes, stops at their limit and at the end of ctx, and remembers an error of
// the reader below, which is no fault of the archive.
type source struct {
	ctx  context.Context
	r    io.Reader
	n    int64
	most int64
	err  error // a refusal, or the reader's
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.err = ended(s.ctx); s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.n += int64(n)
	switch {
	case s.n > s.most:
		s.err = refuse(ReasonTooLarge, "it is larger than %d bytes", s.most)
		return 0, s.err
	case err != nil && !errors.Is(err, io.EOF):
		s.err = err
	}
	return n, err
}

// meter counts what comes out of the decompressor: it holds the ratio, and lets through no more than the
// reader of the tar has asked for at each step, so that no header can be endless.
type meter struct {
	ctx   context.Context
	r     io.Reader
	src   *source
	ratio int64 // 0: none, for archives that are checked against a digest
	n     int64
	left  int64
	dry   bool // it was asked for more than there is
	err   error
}

func (m *meter) Read(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	if m.left <= 0 {
		m.err = refuse(ReasonHeaders, "it has more than %d bytes of headers for one entry", mostHeader)
		return 0, m.err
	}
	if int64(len(p)) > m.left {
		p = p[:m.left]
	}
	n, err := m.r.Read(p)
	m.n += int64(n)
	m.left -= int64(n)
	if m.ratio > 0 && m.n > freeRatio && m.n/m.ratio > m.src.n {
		m.err = refuse(ReasonBomb, "it unpacks to more than %d times its size", m.ratio)
		return 0, m.err
	}
	m.dry = m.dry || n == 0 && errors.Is(err, io.EOF)
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}
