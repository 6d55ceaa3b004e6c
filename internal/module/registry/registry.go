package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"hearth"
)

// Registry is one npm registry. It is safe for concurrent use.
type Registry struct {
	Source  string   // where its URL was found, for people: "--npm-registry", "/root/.npmrc"
	Skipped []string // npmrc files that are there but may not be read by this user

	site
	client *http.Client
	stall  time.Duration // without a byte of a body
	most   int64         // bytes of a tarball
	large  chan struct{} // of one: who reads a large document
	away   atomic.Int64  // until when, Unix nanoseconds, the registry is taken to be away where there is a copy

	wait func(context.Context, time.Duration) error // between tries; tests replace it
	now  func() time.Time
}

// site is where a registry is and how it is used.
type site struct {
	base     *url.URL                                               // path ends in "/", no user
	ca       []byte                                                 // of npm's cafile
	auth     string                                                 // value of the Authorization header, or ""
	authPath string                                                 // where it may go: paths that begin so; "" is the URL's own
	private  bool                                                   // a tenant's, who reads its errors
	guard    func(network, address string, _ syscall.RawConn) error // judges what is connected to; may be nil
	options  Options
}

// URL returns the registry's URL, which holds no credentials and ends in a slash.
func (r *Registry) URL() string { return r.base.String() }

// Sources says where to look for the registry, in this order: Flag, the environment, the user's and
// the machine's npmrc files, and at last the installed npm. Zero fields mean this process's own.
type Sources struct {
	Flag   string                                // --npm-registry
	Env    func(string) string                   // default os.Getenv
	Home   string                                // default the user's home folder
	Global []string                              // the machine's npmrc files; default $PREFIX/etc/npmrc and /etc/npmrc
	NPM    func(context.Context) (string, error) // default `npm config get registry`
}

// Detect finds the registry and its credentials. It reads files and may run npm (30 s at most), but
// does not talk to the registry. Its errors are *hearth.Error and say how to name a registry.
func Detect(ctx context.Context, s Sources) (*Registry, error) {
	s = s.withDefaults()
	merged, skipped, err := s.npmrc()
	if err != nil {
		return nil, err
	}
	raw, source := s.Flag, "--npm-registry"
	for _, name := range []string{"npm_config_registry", "NPM_CONFIG_REGISTRY"} {
		if raw == "" {
			raw, source = s.Env(name), name
		}
	}
	if raw == "" {
		raw, source = merged.get("registry"), merged.source["registry"]
	}
	if raw == "" {
		if raw, err = s.NPM(ctx); err != nil {
			return nil, &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "registry_unknown",
				Message: "no npm registry is known: give --npm-registry URL, write registry=URL into ~/.npmrc, or install npm", Cause: err}
		}
		source = "npm config get registry"
	}
	r, err := newRegistry(raw, merged)
	if err != nil {
		return nil, &hearth.Error{Code: hearth.CodeInvalid, Component: hearth.ComponentPlatform, Reason: "registry_unknown",
			Message: fmt.Sprintf("the npm registry that %s names cannot be used: %v", source, err)}
	}
	r.Source, r.Skipped = source, skipped
	return r, nil
}

func (s Sources) withDefaults() Sources {
	if s.Env == nil {
		s.Env = os.Getenv
	}
	if s.Home == "" {
		s.Home, _ = os.UserHomeDir()
	}
	if s.Global == nil {
		if prefix := s.Env("PREFIX"); prefix != "" {
			s.Global = append(s.Global, filepath.Join(prefix, "etc", "npmrc"))
		}
		s.Global = append(s.Global, "/etc/npmrc")
	}
	if s.NPM == nil {
		s.NPM = askNPM
	}
	return s
}

// npmrc merges the npmrc files, the user's first since the first to name a key wins. A project's
// .npmrc is never read: it comes with foreign code.
func (s Sources) npmrc() (merged npmrc, skipped []string, err error) {
	env := func(lower, upper, fallback string) string {
		return first(s.Env(lower), s.Env(upper), fallback)
	}
	files := []string{env("npm_config_userconfig", "NPM_CONFIG_USERCONFIG", filepath.Join(s.Home, ".npmrc"))}
	if global := env("npm_config_globalconfig", "NPM_CONFIG_GLOBALCONFIG", ""); global != "" {
		files = append(files, global)
	} else {
		files = append(files, s.Global...)
	}
	merged = newNpmrc()
	for _, name := range files {
		text, err := readBounded(name)
		switch {
		case err == nil:
			merged.add(name, text, s.Env)
		case errors.Is(err, fs.ErrPermission):
			skipped = append(skipped, name)
		case !errors.Is(err, fs.ErrNotExist):
			return merged, nil, &hearth.Error{Code: hearth.CodeInvalid, Component: hearth.ComponentPlatform, Reason: "registry_unknown",
				Message: fmt.Sprintf("the npm configuration %s cannot be read: %v", name, err)}
		}
	}
	return merged, skipped, nil
}

func newRegistry(raw string, rc npmrc) (*Registry, error) {
	base, err := url.Parse(strings.TrimSpace(raw))
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL") // the parser's error would print credentials
	case base.Scheme != "https" && base.Scheme != "http", base.Host == "", base.Opaque != "":
		return nil, errors.New("it is not an https:// or http:// URL")
	case base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("it has a query or a fragment")
	}
	auth, authPath := rc.auth(base)
	if base.User != nil && auth == "" {
		password, _ := base.User.Password()
		auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(base.User.Username()+":"+password))
	}
	base.User = nil
	base.Path = strings.TrimRight(base.Path, "/") + "/"
	base.RawPath = ""
	var ca []byte
	if name := rc.get("cafile"); name != "" {
		if ca, err = readBounded(name); err != nil {
			return nil, fmt.Errorf("read npm's cafile: %w", err)
		}
	}
	return connect(site{base: base, auth: auth, authPath: authPath, ca: ca})
}

// connections is how many requests are under way at once at one registry; npm has 15.
const connections = 32

// connect makes the client; it sends nothing yet.
func connect(s site) (*Registry, error) {
	roots, err := certificates(s.ca)
	if err != nil {
		return nil, err
	}
	if s.authPath == "" {
		s.authPath = s.base.Path
	}
	s.options = s.options.withDefaults()
	r := &Registry{site: s, stall: s.options.Stall, most: MostTarball, large: make(chan struct{}, 1), wait: sleep, now: time.Now}
	r.client = &http.Client{
		CheckRedirect: r.checkRedirect,
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: connectTime, Control: s.guard}).DialContext,
			TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:   connectTime,
			ResponseHeaderTimeout: s.options.Header,
			IdleConnTimeout:       idleTime,
			MaxConnsPerHost:       connections,
			MaxIdleConnsPerHost:   connections,
			// HTTP/1.1, whose connection is idle, and so can be closed, once its body was read; and
			// one lost packet does not hold up every package.
			DisableCompression: true, // a tarball's hash is of its bytes as they come
		},
	}
	return r, nil
}

// Close drops the connections that are kept for the next request.
func (r *Registry) Close() { r.client.CloseIdleConnections() }

// certificates is the system's, and those of ca.
func certificates(ca []byte) (*x509.CertPool, error) {
	if len(ca) == 0 {
		return nil, nil // the system's
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("there is no certificate in npm's cafile")
	}
	return pool, nil
}

// askNPM runs the installed npm outside of any project. What npm warns about goes to its stderr.
func askNPM(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, npmTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "config", "get", "registry")
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second // its grandchildren may hold the pipe
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run npm config get registry: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
