package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"hearth"
	"hearth/internal/warden/wire"
)

// certificateInterval is how often the files are looked at; certificates are changed days before
// their end.
const certificateInterval = 10 * time.Second

// certificate is the pair that handshakes use now.
type certificate struct {
	current  atomic.Pointer[tls.Certificate]
	certText string // of the last pair that was read, good or bad
	keyText  string
}

func newCertificate(cert, key *os.File) (*certificate, error) {
	c := &certificate{}
	if _, err := c.load(cert, key); err != nil {
		return nil, hearth.Errorf(hearth.CodeInvalid, "the certificate cannot be used: %v", err)
	}
	return c, nil
}

func (c *certificate) get() *tls.Certificate { return c.current.Load() }

// load takes a pair into use, and reports whether it is another one than before.
func (c *certificate) load(cert, key *os.File) (bool, error) {
	certText, err := readFile(cert)
	if err != nil {
		return false, fmt.Errorf("read certificate: %w", err)
	}
	keyText, err := readFile(key)
	if err != nil {
		return false, fmt.Errorf("read key: %w", err)
	}
	if string(certText) == c.certText && string(keyText) == c.keyText {
		return false, nil
	}
	c.certText, c.keyText = string(certText), string(keyText)
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return false, err
	}
	c.current.Store(&pair)
	return true, nil
}

// watchCertificate takes a changed certificate into use. A bad one is logged and the old one stays.
func (n *Node) watchCertificate(ctx context.Context) error {
	if n.cert == nil {
		return nil
	}
	tick := time.NewTicker(certificateInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		cert, key, err := n.client.TLS(ctx)
		if err != nil {
			n.log.Warn("cannot look at the certificate", "err", err)
			continue
		}
		changed, err := n.cert.load(cert, key)
		wire.CloseAll([]*os.File{cert, key})
		switch {
		case err != nil:
			n.log.Error("the new certificate cannot be used; the old one stays", "err", err)
		case changed:
			n.log.Info("new certificate in use")
		}
	}
}
