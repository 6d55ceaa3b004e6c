package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"hearth"
)

// ProxyOptions are what one build sandbox may ask for. Zero numbers mean the defaults.
type ProxyOptions struct {
	Registries *Registries
	Origin     string                          // the proxy as the sandbox reaches it; default SandboxOrigin
	MinAge     time.Duration                   // versions that are younger are not there; 0: all are
	Exact      func(name, version string) bool // those that the manifest names exactly are there whatever their age; may be nil
	Since      time.Time                       // packuments that were asked for before are asked for again
	Requests   int64                           // in all
	Bytes      int64                           // of answers, in all
	Log        *slog.Logger
}

// SandboxOrigin is where a build sandbox reaches its proxy.
const SandboxOrigin = "http://127.0.0.1:4873"

const (
	proxyRequests    = 20_000
	proxyBytes       = 2 << 30
	proxyConnections = 64 // npm opens 15
	proxyHeader      = 16 << 10
	proxyPatience    = 10 * time.Second // for a header, or for a client that does not read
	proxyHidden      = 1000             // names that Hidden returns
)

// Proxy is all that a build sandbox reaches: npm's registry, of which it can read packuments and
// tarballs. Its client is hostile. Nothing of a request goes on but the name and version, which were
// checked; credentials are added behind the proxy, and never leave it. It serves one job.
type Proxy struct {
	o      ProxyOptions
	before time.Time // versions that came later are not there; zero: all are

	requests, bytes atomic.Int64

	mu      sync.Mutex
	failure error
	stale   bool
	hidden  map[string]int
}

// NewProxy makes the proxy of one job.
func NewProxy(o ProxyOptions) *Proxy {
	if o.Origin == "" {
		o.Origin = SandboxOrigin
	}
	if o.Requests == 0 {
		o.Requests = proxyRequests
	}
	if o.Bytes == 0 {
		o.Bytes = proxyBytes
	}
	if o.Exact == nil {
		o.Exact = func(string, string) bool { return false }
	}
	p := &Proxy{o: o, hidden: map[string]int{}}
	if o.MinAge > 0 {
		p.before = time.Now().Add(-o.MinAge)
	}
	return p
}

// Serve answers on l until ctx is done, closes l, and returns when the last request has ended.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	var open sync.WaitGroup // connections; each is counted before Serve can return
	server := &http.Server{Handler: p, ReadHeaderTimeout: proxyPatience, IdleTimeout: time.Minute, MaxHeaderBytes: proxyHeader,
		BaseContext: func(net.Listener) context.Context { return ctx }, ErrorLog: slog.NewLogLogger(p.o.Log.Handler(), slog.LevelDebug),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed:
				open.Done()
			}
		}}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	err := server.Serve(netutil.LimitListener(l, proxyConnections))
	server.Close()
	open.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve registry proxy: %w", err)
}

// Failure returns the first thing that went wrong between us and a registry, nil if nothing did. What
// npm makes of it is less than what we know. That a package is not there is no failure.
func (p *Proxy) Failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure
}

// Stale says whether some packument was older than it may be, since its registry was away.
func (p *Proxy) Stale() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stale
}

// Hidden returns, of each package that was asked for, how many versions were too young to be there.
func (p *Proxy) Hidden() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]int{}
	for name, n := range p.hidden {
		out[name] = n
	}
	return out
}

// ServeHTTP answers one request of the sandbox.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, version, ok := parsePath(r.URL.EscapedPath())
	status := http.StatusOK
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		status = refuse(w, http.StatusMethodNotAllowed, "this registry can only be read")
	case !ok || r.URL.RawQuery != "":
		status = refuse(w, http.StatusNotFound, "not found")
	case p.requests.Add(1) > p.o.Requests:
		status = refuse(w, http.StatusForbidden, fmt.Sprintf("a job may ask the registry %d times", p.o.Requests))
	case p.bytes.Load() > p.o.Bytes:
		status = refuse(w, http.StatusForbidden, fmt.Sprintf("a job may read %d MiB of the registry", p.o.Bytes>>20))
	case version != "":
		status = p.tarball(w, r, name, version)
	default:
		status = p.packument(w, r, name)
	}
	p.o.Log.LogAttrs(r.Context(), slog.LevelDebug, "registry proxy answered", slog.String("package", name), slog.String("version", version), slog.Int("status", status))
}

func (p *Proxy) want() Want { return Want{Full: !p.before.IsZero(), Since: p.o.Since} }

func (p *Proxy) packument(w http.ResponseWriter, r *http.Request, name string) int {
	doc, err := p.document(r.Context(), name)
	if err != nil {
		return p.fail(w, r, err)
	}
	return p.answer(w, r, "application/vnd.npm.install-v1+json", doc.At(p.o.Origin+"/"))
}

// document is what the sandbox may see of a package.
func (p *Proxy) document(ctx context.Context, name string) (Document, error) {
	doc, err := p.o.Registries.Packument(ctx, name, p.want())
	if err != nil {
		return doc, err
	}
	gone := 0
	if !p.before.IsZero() {
		all, err := doc.decode()
		if err != nil {
			return doc, err
		}
		// What a tenant has at its own registry it trusts, and few of those say when it came.
		r, private, err := p.o.Registries.For(name)
		if err != nil {
			return doc, err
		}
		dated := len(all.times) > 0 || len(all.versions) == 0
		gone = all.age(p.before, private, func(version string) bool { return p.o.Exact(name, version) })
		if !dated && len(all.versions) == 0 {
			return doc, &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "registry_answer",
				Message: fmt.Sprintf("the npm registry %s does not say when the versions of %s were published, so that --min-release-age cannot be kept; name its version exactly", r.URL(), name)}
		}
		doc.body = all.encode()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stale = p.stale || doc.Stale
	if gone > 0 && len(p.hidden) < proxyHidden {
		p.hidden[name] = gone
	}
	return doc, nil
}

func (p *Proxy) tarball(w http.ResponseWriter, r *http.Request, name, version string) int {
	doc, err := p.document(r.Context(), name)
	if err != nil {
		return p.fail(w, r, err)
	}
	integrity, ok := doc.Integrity(version)
	if !ok {
		return refuse(w, http.StatusNotFound, "not found")
	}
	t, err := p.o.Registries.Tarball(r.Context(), name, version, integrity)
	if err != nil {
		return p.fail(w, r, err)
	}
	defer t.Close()
	return p.answer(w, r, "application/octet-stream", t)
}

// answer sends a body in pieces, so that a client that does not read is given up.
func (p *Proxy) answer(w http.ResponseWriter, r *http.Request, kind string, body any) int {
	var in io.Reader
	var size int64
	switch b := body.(type) {
	case []byte:
		in, size = bytes.NewReader(b), int64(len(b))
	case *Tarball:
		in, size = b, b.Size()
	}
	p.bytes.Add(size)
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	if r.Method == http.MethodHead {
		return http.StatusOK
	}
	control := http.NewResponseController(w)
	for {
		// A recorder in a test has no deadline.
		if err := control.SetWriteDeadline(time.Now().Add(proxyPatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return http.StatusOK
		}
		if _, err := io.CopyN(w, in, 256<<10); err != nil {
			return http.StatusOK
		}
	}
}

// fail answers with what went wrong, in words for npm's output.
func (p *Proxy) fail(w http.ResponseWriter, r *http.Request, err error) int {
	var e *hearth.Error
	switch {
	case r.Context().Err() != nil: // nobody waits for it any more, which is no fault of a registry
		return refuse(w, http.StatusServiceUnavailable, "the job has ended")
	case !errors.As(err, &e):
		p.remember(err)
		return refuse(w, http.StatusBadGateway, "the registry cannot be asked")
	case e.Reason == "registry_closed":
		p.remember(err) // so that not even an optional dependency is left out silently
		return refuse(w, http.StatusForbidden, e.Message)
	case e.Code == hearth.CodeInvalid:
		return refuse(w, http.StatusNotFound, e.Message)
	case e.Reason == "package_missing":
		return refuse(w, http.StatusNotFound, "not found")
	case e.Reason == "registry_denied":
		p.remember(err)
		return refuse(w, http.StatusForbidden, e.Message)
	}
	p.remember(err)
	return refuse(w, http.StatusBadGateway, e.Message)
}

func (p *Proxy) remember(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure == nil {
		p.failure = err
	}
}

// refuse answers in the form in which npm prints a registry's words.
func refuse(w http.ResponseWriter, status int, words string) int {
	text, err := json.Marshal(map[string]string{"error": words})
	if err != nil { // a string can always be encoded
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", "GET, HEAD")
		w.Header().Set("Connection", "close") // its body is not read
	}
	w.WriteHeader(status)
	_, _ = w.Write(text)
	return status
}

// parsePath reads /name and /name/-/file-version.tgz, with a scope or without, its slash escaped or
// not. Everything else, such as /-/npm/v1/…, is not served.
func parsePath(escaped string) (name, version string, ok bool) {
	path, err := url.PathUnescape(escaped)
	if err != nil || len(path) > 600 || !strings.HasPrefix(path, "/") {
		return "", "", false
	}
	name, file, tarball := strings.Cut(path[1:], "/-/")
	if !ValidName(name) {
		return "", "", false
	}
	if !tarball {
		return name, "", true
	}
	version, isTgz := strings.CutSuffix(file, ".tgz")
	version, isName := strings.CutPrefix(version, name[strings.IndexByte(name, '/')+1:]+"-")
	if !isTgz || !isName || !validVersion.MatchString(version) {
		return "", "", false
	}
	return name, version, true
}
