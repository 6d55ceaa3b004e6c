package lock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"hearth"
	"hearth/internal/module/builder"
	"hearth/internal/module/registry"
	"hearth/internal/module/semver"
)

const (
	resolveTime = 60 * time.Second // npm takes 2 s for 600 packages whose packuments are at hand
	mostLock    = 32 << 20         // 20,000 packages have about 8
	mostWords   = 64 << 10
)

// Request is all that decides a lock.
type Request struct {
	Dependencies, OptionalDependencies, PeerDependencies map[string]string

	PeerDependenciesMeta json.RawMessage // as in package.json; nil: none
	Overrides            json.RawMessage // as in package.json; nil: none
	Lock                 []byte          // the user's package-lock.json; nil: none
	MinReleaseAge        time.Duration   // of versions that no spec names exactly
	Refresh              bool            // what the registry said before now does not count
}

// Sandbox is a build sandbox that is ready; what connects to 127.0.0.1:4873 inside comes to Registry.
type Sandbox interface {
	Lock(ctx context.Context, q builder.LockRequest) (json.RawMessage, error)
	Registry() net.Listener
	Close(ctx context.Context) error
}

// Options are what a Resolve works with.
type Options struct {
	Registries *registry.Registries
	Open       func(ctx context.Context) (Sandbox, error) // not called for a lock that is taken as it is
	Time       time.Duration                              // for all; default resolveTime
	Log        *slog.Logger
}

// Result is a lock.
type Result struct {
	Lock  []byte // lockfileVersion 3, with packages alone, keys sorted
	Taken bool   // it is the user's
	Stale bool   // a registry was away, and something it said before was used
}

// Error is a manifest for which there is no lock: its owner has to change something. Everything else
// that Resolve returns may be tried again.
type Error struct {
	Code    string // npm's: ERESOLVE, E404, ETARGET, EUSAGE …
	Failure hearth.Failure
}

// Reason is that of every Failure in an Error.
const Reason = "dependencies"

func (e *Error) Error() string { return e.Code + ": " + e.Failure.Message }

func failed(code, format string, args ...any) *Error {
	return &Error{Code: code, Failure: hearth.Failure{Reason: Reason, Message: fmt.Sprintf(format, args...)}}
}

// Resolve returns the lock for a manifest. Its errors are *Error when the manifest is at fault, and
// else a *hearth.Error of CodeUnavailable, or the context's.
func Resolve(ctx context.Context, req Request, o Options) (*Result, error) {
	if len(req.Lock) > 0 {
		lock, old, err := readUserLock(req)
		if err != nil || !old {
			return &Result{Lock: lock, Taken: true}, err
		}
	}
	limit := o.Time
	if limit == 0 {
		limit = resolveTime
	}
	short, cancel := context.WithTimeoutCause(ctx, limit, errSlow)
	defer cancel()
	box, err := o.Open(short)
	if err != nil {
		return nil, fmt.Errorf("open build sandbox: %w", err)
	}
	defer func() {
		if err := box.Close(context.WithoutCancel(ctx)); err != nil {
			o.Log.Error("cannot end build sandbox", "err", err)
		}
	}()
	proxy := registry.NewProxy(proxyOptions(req, o))
	served := make(chan error, 1)
	serving, stop := context.WithCancel(short)
	go func() { served <- proxy.Serve(serving, box.Registry()) }() // ends with stop
	lock, err := ask(short, req, box)
	stop()
	if served := <-served; err == nil {
		err = served
	}
	if err != nil {
		return nil, explain(ctx, short, req, proxy, limit, err)
	}
	lock, err = settle(lock, req)
	if err != nil {
		return nil, err
	}
	return &Result{Lock: lock, Stale: proxy.Stale()}, nil
}

var errSlow = errors.New("it took too long")

func proxyOptions(req Request, o Options) registry.ProxyOptions {
	exact := req.exact()
	p := registry.ProxyOptions{Registries: o.Registries, MinAge: req.MinReleaseAge, Log: o.Log,
		Exact: func(name, version string) bool { return exact[name+"@"+version] }}
	if req.Refresh {
		p.Since = time.Now()
	}
	return p
}

// ours are npm's codes for a way to the proxy that is broken, or a sandbox that is short of something:
// no manifest brings them about by what it asks for.
var ours = regexp.MustCompile(`^(?:ECONN.*|EPIPE|E?TIMEDOUT|.*TIMEOUT|ENOTFOUND|EAI_.*|EHOSTUNREACH|ENETUNREACH|E5\d\d|E408|E429|ENOMEM|ENOSPC|EDQUOT|EMFILE|ENFILE|EIO|EROFS|EACCES|EPERM|ENOENT|EBUSY)$`)

// explain chooses whose fault it is. What we know of the registry is more than what npm made of it.
func explain(ctx, short context.Context, req Request, proxy *registry.Proxy, limit time.Duration, err error) error {
	var words *Error
	cause := err
	if errors.As(err, &words) { // in the chain it would say that the manifest is at fault
		cause = errors.New(words.Error())
	}
	switch failure := proxy.Failure(); {
	case ctx.Err() != nil:
		return fmt.Errorf("resolve dependencies: %w", context.Cause(ctx))
	case failure != nil:
		return failure
	case context.Cause(short) == errSlow:
		return &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "lock_timeout",
			Message: fmt.Sprintf("npm did not settle the dependencies within %s; try again, or send a package-lock.json", limit), Cause: cause}
	case words != nil && !ours.MatchString(words.Code):
		if hidden := proxy.Hidden(); words.Code == "ETARGET" || words.Code == "ENOVERSIONS" {
			for name, n := range hidden {
				if strings.Contains(words.Failure.Message, name) {
					words.Failure.Message += fmt.Sprintf("\n%d versions of %s are younger than %s and are not used here (--min-release-age); name one exactly to have it.", n, name, req.MinReleaseAge)
				}
			}
		}
		return words
	}
	return &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "lock_sandbox",
		Message: "the sandbox in which npm settles dependencies failed; try again", Cause: cause}
}

// exact lists, as name@version, what the manifest names exactly.
func (r Request) exact() map[string]bool {
	out := map[string]bool{}
	add := func(name, spec string) {
		if alias, ok := cutAlias(spec); ok {
			name, spec = cutName(alias)
		}
		spec = strings.TrimSpace(spec)
		if _, ok := semver.Parse(spec); ok {
			out[name+"@"+strings.TrimLeft(spec, "=v ")] = true
		}
	}
	for _, specs := range []map[string]string{r.Dependencies, r.OptionalDependencies, r.PeerDependencies} {
		for name, spec := range specs {
			add(name, spec)
		}
	}
	var walk func(name string, v any)
	walk = func(name string, v any) {
		switch v := v.(type) {
		case string:
			add(name, v)
		case map[string]any:
			for key, inner := range v {
				if key == "." {
					walk(name, inner)
					continue
				}
				child, _ := cutName(key)
				walk(child, inner)
			}
		}
	}
	var overrides any
	if json.Unmarshal(r.Overrides, &overrides) == nil {
		walk("", overrides)
	}
	return out
}

// cutAlias returns what stands behind "npm:".
func cutAlias(spec string) (string, bool) {
	spec = strings.TrimSpace(spec)
	if len(spec) < 4 || !strings.EqualFold(spec[:4], "npm:") {
		return "", false
	}
	return spec[4:], true
}

// cutName cuts name@rest; a name may begin with an @.
func cutName(s string) (name, rest string) {
	if at := strings.IndexByte(s[min(1, len(s)):], '@'); at >= 0 {
		return s[:at+1], s[at+2:]
	}
	return s, ""
}

// manifest is the package.json that npm gets. It has no scripts and no name.
func (r Request) manifest() map[string]any {
	m := map[string]any{}
	for key, specs := range r.specs() {
		if len(specs) > 0 {
			m[key] = specs
		}
	}
	if len(r.PeerDependenciesMeta) > 0 {
		m["peerDependenciesMeta"] = r.PeerDependenciesMeta
	}
	return m
}

func (r Request) specs() map[string]map[string]string {
	return map[string]map[string]string{"dependencies": r.Dependencies, "optionalDependencies": r.OptionalDependencies, "peerDependencies": r.PeerDependencies}
}

// ask has the driver of the sandbox make a lock.
func ask(ctx context.Context, req Request, box Sandbox) (json.RawMessage, error) {
	manifest := req.manifest()
	if len(req.Overrides) > 0 {
		manifest["overrides"] = req.Overrides
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	// The age of versions is the proxy's affair, which spares those that are named exactly.
	lock, err := box.Lock(ctx, builder.LockRequest{Package: text, Lock: req.Lock})
	var refusal *builder.Refusal
	if errors.As(err, &refusal) && refusal.Status == http.StatusUnprocessableEntity {
		return nil, failed(cleanCode(refusal.Code), "%s", clean(refusal.Message))
	}
	return lock, err
}
