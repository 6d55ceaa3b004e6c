package proxy

import (
	"net"
	"net/http"
	"strings"

	"hearth"
)

// target is a request's target, taken apart. The names are literal and valid; rest and query are as
// the client sent them, byte for byte.
type target struct {
	tenant, container, function string

	prefix string // what the function does not see: "/run/t/c/f", or "/f" on the run domain
	rest   string // begins with '/' or is empty, which means '/'
	query  string // begins with '?' or is empty
}

// route takes a request's target apart. ok is false for whatever is not exactly the path of a
// function: encoded or empty names, dots, backslashes and parameters are no valid names.
func (p *Proxy) route(r *http.Request) (t target, ok bool) {
	path, query := splitTarget(r.RequestURI)
	t.query = query
	if name, on := p.onRunDomain(r.Host); on {
		t.container, t.tenant, _ = strings.Cut(name, ".")
		t.function, t.rest, ok = segment(path)
		t.prefix = path[:len(path)-len(t.rest)]
		return t, ok && hearth.ValidName(t.tenant) && hearth.ValidName(t.container) && hearth.ValidName(t.function)
	}
	t.rest, ok = strings.CutPrefix(path, "/run")
	for _, name := range []*string{&t.tenant, &t.container, &t.function} {
		if ok {
			*name, t.rest, ok = segment(t.rest)
			ok = ok && hearth.ValidName(*name)
		}
	}
	t.prefix = path[:len(path)-len(t.rest)]
	return t, ok
}

// segment cuts "/name" off a path.
func segment(path string) (name, rest string, ok bool) {
	if path == "" || path[0] != '/' {
		return "", path, false
	}
	if i := strings.IndexByte(path[1:], '/'); i >= 0 {
		return path[1 : i+1], path[i+1:], true
	}
	return path[1:], "", true
}

// splitTarget cuts a request's target into path and query, both raw. An absolute target loses its
// scheme and authority, which net/http has made the host already.
func splitTarget(uri string) (path, query string) {
	if uri == "" || uri[0] != '/' {
		_, after, ok := strings.Cut(uri, "://")
		if !ok {
			return "", ""
		}
		i := strings.IndexAny(after, "/?")
		if i < 0 {
			return "/", ""
		}
		uri = after[i:]
	}
	if i := strings.IndexByte(uri, '?'); i >= 0 {
		return uri[:i], uri[i:]
	}
	return uri, ""
}

// onRunDomain returns the part of a host before the run domain.
func (p *Proxy) onRunDomain(host string) (string, bool) {
	if p.runDomain == "" {
		return "", false
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(host) // no copy when it is lower case already
	return strings.CutSuffix(host, p.runDomain)
}

// plainTarget reports whether a target can stand in a request line and means the same to every
// parser: HTTP/2 lets a space through, and a fragment is no part of a target.
func plainTarget(uri string) bool {
	for i := range len(uri) {
		if c := uri[i]; c <= ' ' || c == 0x7f || c == '#' {
			return false
		}
	}
	return true
}
