package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"hearth"
	"hearth/internal/pool/upstream"
)

// Handler finds functions and lends instances. Both calls are on the hot path.
type Handler interface {
	// Route returns what is known of a function, nil if there is no such function.
	Route(tenant, container, function string) *hearth.Route

	// Acquire lends an instance that serves the route's active version, waiting in the container's
	// queue if it must. Its errors are *hearth.Error with a RetryAfter.
	Acquire(ctx context.Context, route *hearth.Route) (Grant, error)
}

// Grant is an instance, lent for one request.
type Grant interface {
	Route() *hearth.Route // what the instance serves: newer than Acquire's if it changed meanwhile
	Conns() *upstream.Pool
	Start() hearth.Start
	Waited() Waits
	Instance() (id string, memoryBytes int64) // for the call's record

	// Gone is closed when the instance has ended; Ended then says why: "died" or "oom".
	Gone() <-chan struct{}
	Ended() string

	// Release gives the instance back, exactly once.
	Release(Outcome)
}

// Outcome is what a request did to its instance.
type Outcome uint8

// The outcomes.
const (
	Done      Outcome = iota // nothing to say against the instance, whatever the status was
	Timeout                  // the function took too long: retire, and destroy if its event loop is stuck
	Leaving                  // the instance said that this was its last answer: retire
	Died                     // the instance ended
	BadAnswer                // the instance spoke nonsense, or closed the connection without an answer
	Panicked                 // we failed in the middle: destroy, since its state is unknown
)

var outcomes = [...]string{"done", "timeout", "leaving", "died", "bad answer", "panicked"}

// String returns the outcome in words.
func (o Outcome) String() string { return outcomes[o] }

// Config is what a proxy needs.
type Config struct {
	Handler Handler
	Log     *slog.Logger

	// Record is called once for each request, after its answer, with a nil route when the function
	// is unknown. It must not block.
	Record func(route *hearth.Route, requestID string, call Call)

	RunDomain      string         // functions are also at {container}.{tenant}.RunDomain; "" is off
	TrustedProxies []netip.Prefix // whose word about the client's address counts
	ExposeStart    bool           // answers carry hearth-version and hearth-start
	SandboxPages   bool           // the console shares the origin of /run: answers get a CSP sandbox
}

// Proxy serves functions over HTTP. It is safe for concurrent use.
type Proxy struct {
	handler   Handler
	log       *slog.Logger
	record    func(*hearth.Route, string, Call)
	runDomain string // with a leading dot
	trusted   trusted
	expose    bool
	sandbox   bool
	tunnels   tunnels
}

// New makes a proxy.
func New(cfg Config) *Proxy {
	p := &Proxy{handler: cfg.Handler, log: cfg.Log, record: cfg.Record, trusted: cfg.TrustedProxies,
		expose: cfg.ExposeStart, sandbox: cfg.SandboxPages}
	if p.record == nil {
		p.record = func(*hearth.Route, string, Call) {}
	}
	if cfg.RunDomain != "" {
		p.runDomain = "." + strings.ToLower(strings.Trim(cfg.RunDomain, "."))
	}
	return p
}

// Serves reports whether a request is for a function, by its path or its host. A router that cleans
// paths or redirects must ask this first: paths of functions pass as they are.
func (p *Proxy) Serves(r *http.Request) bool {
	if _, ok := p.onRunDomain(r.Host); ok {
		return true
	}
	path, _ := splitTarget(r.RequestURI)
	return path == "/run" || strings.HasPrefix(path, "/run/")
}

// Close ends the upgraded connections, which http.Server.Shutdown does not know, and waits until
// their requests have returned.
func (p *Proxy) Close() { p.tunnels.close() }

// ServeHTTP answers one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{p: p, w: w, r: r, began: time.Now()}
	defer x.end()
	x.serve()
}
