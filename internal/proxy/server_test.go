package proxy_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"hearth/internal/proxy"
)

// h2specWant is how many of h2spec's 145 cases net/http passes at least.
const h2specWant = 140

func TestH2Spec(t *testing.T) {
	t.Parallel()
	tool := filepath.Join(t.TempDir(), "h2spec")
	build := exec.Command("go", "build", "-o", tool, "github.com/summerwind/h2spec/cmd/h2spec")
	build.Dir = "../../tools/h2spec"
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("h2spec cannot be built (it needs the Go module proxy once): %v\n%s", err, out)
	}
	h := newHouse(serve(t, always(ok("hello"))))
	cert := certificate(t, "h2.example")
	addr := front(t, h, func(_ *proxy.Config, s *proxy.ServerConfig) {
		s.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }
	})
	host, port, _ := net.SplitHostPort(addr)
	report := filepath.Join(t.TempDir(), "report.xml")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, tool, "-h", host, "-p", port, "-P", "/run/t/c/f", "-o", "3", "-t", "-k", "-j", report).CombinedOutput()
	xml, rerr := os.ReadFile(report)
	if rerr != nil {
		t.Fatalf("h2spec: %v, %v\n%s", err, rerr, out)
	}
	all := bytes.Count(xml, []byte("<testcase "))
	bad := bytes.Count(xml, []byte("<failure")) + bytes.Count(xml, []byte("<error")) + bytes.Count(xml, []byte("<skipped"))
	t.Logf("h2spec: %d of %d", all-bad, all)
	if all < 145 || all-bad < h2specWant {
		i := bytes.Index(out, []byte("Failures:"))
		t.Errorf("h2spec passes %d of %d, want at least %d of 145\n%s", all-bad, all, h2specWant, out[max(i, 0):])
	}
}

// certificate makes a self-signed certificate for name.
func certificate(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	var current atomic.Pointer[tls.Certificate]
	current.Store(certificate(t, "one.example"))
	h := newHouse(serve(t, echo))
	addr := front(t, h, func(_ *proxy.Config, s *proxy.ServerConfig) {
		s.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil }
	})
	for _, want := range []struct{ name, proto string }{{"one.example", "HTTP/1.1"}, {"two.example", "HTTP/2.0"}} {
		if want.name == "two.example" {
			current.Store(certificate(t, want.name)) // as a reload does
		}
		cl := client(t)
		tr := cl.Transport.(*http.Transport)
		tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		tr.ForceAttemptHTTP2 = want.proto == "HTTP/2.0"
		res, err := cl.Get("https://" + addr + "/run/t/c/f")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.Proto != want.proto || res.TLS.PeerCertificates[0].DNSNames[0] != want.name || !strings.Contains(string(b), "X-Forwarded-Proto: https\r\n") {
			t.Errorf("%s from %v: %q, want %v", res.Proto, res.TLS.PeerCertificates[0].DNSNames, b, want)
		}
	}
	if c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		c.Close()
		t.Error("TLS 1.1 is spoken")
	}
}

func TestNoHTTP2WithoutBeingAsked(t *testing.T) {
	t.Parallel()
	addr := front(t, newHouse(serve(t, echo)))
	if got := raw(t, addr, http2.ClientPreface, time.Second); strings.HasPrefix(got, "\x00") {
		t.Errorf("the preface was answered with frames: %q", got)
	}
}

// HTTP/2 carries header bytes that HTTP/1.1 cannot. None may come out at an instance.
func TestHTTP2Downgrade(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, echo))
	addr := front(t, h, func(_ *proxy.Config, s *proxy.ServerConfig) { s.H2C = true })
	plain := []hpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "h"}, {Name: ":path", Value: "/run/t/c/f"}}
	with := func(i int, name, value string) []hpack.HeaderField {
		all := append([]hpack.HeaderField(nil), plain...)
		if i < 0 {
			return append(all, hpack.HeaderField{Name: name, Value: value})
		}
		all[i] = hpack.HeaderField{Name: name, Value: value}
		return all
	}
	for name, fields := range map[string][]hpack.HeaderField{
		"line break in a value":  with(-1, "x-a", "b\r\nSmuggled: 1"),
		"LF in a value":          with(-1, "x-a", "b\nSmuggled: 1"),
		"NUL in a value":         with(-1, "x-a", "b\x00Smuggled"),
		"line break in a name":   with(-1, "x-a: b\r\nsmuggled", "1"),
		"colon in a name":        with(-1, "smuggled:", "1"),
		"space in a name":        with(-1, "smuggled x", "1"),
		"space in the path":      with(3, ":path", "/run/t/c/f/ HTTP/1.1 smuggled"),
		"line break in the path": with(3, ":path", "/run/t/c/f HTTP/1.1\r\nSmuggled: 1\r\nx: "),
		"tab in the path":        with(3, ":path", "/run/t/c/f\tsmuggled"),
		"line break in method":   with(0, ":method", "GET /smuggled HTTP/1.1\r\nx:"),
		"space in method":        with(0, ":method", "GET /smuggled"),
		"line break in host":     with(2, ":authority", "h\r\nSmuggled: 1"),
		"space in host":          with(2, ":authority", "h smuggled"),
		"coding":                 with(-1, "transfer-encoding", "chunked"),
		"connection":             with(-1, "connection", "x-smuggled"),
		"upgrade":                with(-1, "upgrade", "smuggled"),
		"wrong length":           with(-1, "content-length", "smuggled"),
		"two lengths":            append(with(-1, "content-length", "0"), hpack.HeaderField{Name: "content-length", Value: "9"}),
		"length that lies":       with(-1, "content-length", "5"),
		"capitals":               with(-1, "Smuggled", "1"),
		"second path":            with(-1, ":path", "/smuggled"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, http2.ClientPreface)
			f := http2.NewFramer(c, c)
			f.WriteSettings()
			var block bytes.Buffer
			enc := hpack.NewEncoder(&block)
			for _, hf := range fields {
				enc.WriteField(hf)
			}
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
			c.SetReadDeadline(time.Now().Add(5 * time.Second))
			f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					return // the connection was ended: a refusal too
				}
				switch frame := frame.(type) {
				case *http2.MetaHeadersFrame:
					if frame.PseudoValue("status") != "200" {
						return
					}
				case *http2.RSTStreamFrame, *http2.GoAwayFrame:
					return
				case *http2.DataFrame:
					// A length that lies may pass, since it is not passed on.
					if got := string(frame.Data()); strings.Contains(got, "muggled") || strings.Count(got, "\r\nContent-Length: 0\r\n") != 1 {
						t.Errorf("the function saw %q", got)
					}
					return
				}
			}
		})
	}
}

func TestHTTP2Abort(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, always("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")))
	h.route.Manifest.TimeoutMS = 200
	addr := front(t, h, func(_ *proxy.Config, s *proxy.ServerConfig) { s.H2C = true })
	cl := client(t)
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	cl.Transport.(*http.Transport).Protocols = p
	if status, _, body, err := get(cl, "http://"+addr+"/run/t/c/f"); err == nil {
		t.Errorf("GET = %d %q, want an error in the body", status, body)
	}
	h.route.Manifest.TimeoutMS = 5000
	h.refuse = context.DeadlineExceeded
	if status, _, body, err := get(cl, "http://"+addr+"/run/t/c/f"); status != 500 || err != nil || !json.Valid([]byte(body)) {
		t.Errorf("the connection's next stream = %d %q %v", status, body, err)
	}
}

func TestSlowHeaderIsEnded(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes the 10 s of LimitHeaderTime")
	}
	t.Parallel()
	c, err := net.Dial("tcp", front(t, newHouse(serve(t, echo))))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /run/t/c/f HTTP/1.1\r\nHo")
	began := time.Now()
	c.SetReadDeadline(began.Add(15 * time.Second))
	io.Copy(io.Discard, c)
	if d := time.Since(began); d < 9*time.Second || d > 13*time.Second {
		t.Errorf("half a header was waited for %v, want 10 s", d)
	}
}
