package registry

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"syscall"

	"golang.org/x/net/http/httpproxy"

	"hearth"
)

// Scope says that a tenant's packages of one scope are at a registry of its own.
type Scope struct {
	Scope string // "@acme"
	URL   string
	Token string // "" when the registry asks for none
}

// Registries are those of one tenant: a mapped scope is asked for at its registry and nowhere else,
// whatever that answers, since whoever can publish the same name at the public one would otherwise be
// installed instead.
type Registries struct {
	Default *Registry
	Scopes  map[string]*Registry // by scope, with the @, in lower case
	Closed  map[string]bool      // scopes, in lower case, whose packages are nowhere: they had a registry once
}

// Reach says which addresses the registries of tenants may be at. A tenant names its registry, so the
// node would be its way into the operator's network.
type Reach struct {
	Private  []netip.Prefix // beside all public addresses
	Loopback bool           // this machine, and there without TLS
}

// ReachOf is what an operator allows by naming networks.
func ReachOf(private []netip.Prefix) Reach {
	r := Reach{Private: private}
	for _, p := range private {
		r.Loopback = r.Loopback || p.Addr().IsLoopback()
	}
	return r
}

const (
	mostScopes = 100
	mostToken  = 4 << 10
)

var scopeForm = regexp.MustCompile(`^@[A-Za-z0-9~-][A-Za-z0-9._~-]{0,100}$`)

// ForTenant makes the registries of a tenant. Connections to its own are made here, and end with
// Close; def stays whoever's it is. The error is a *hearth.Error with a field for each mistake.
func ForTenant(def *Registry, scopes []Scope, reach Reach, o Options) (*Registries, error) {
	rs := &Registries{Default: def, Scopes: map[string]*Registry{}}
	if len(scopes) == 0 {
		return rs, nil
	}
	if o.Tenant == "" {
		return nil, fmt.Errorf("make registries of a tenant: no tenant is named")
	}
	if len(scopes) > mostScopes {
		return nil, hearth.Invalid("registries", "are more than %d", mostScopes)
	}
	mistakes := &hearth.Error{Code: hearth.CodeInvalid, Component: hearth.ComponentRequest}
	made := map[Scope]*Registry{}
	for _, s := range scopes {
		field := fmt.Sprintf("registries.%.110s", s.Scope)
		same := Scope{URL: s.URL, Token: s.Token}
		var err error
		switch {
		case !scopeForm.MatchString(s.Scope):
			err = fmt.Errorf("%.110q is not a scope, such as @acme", s.Scope)
		case rs.Scopes[strings.ToLower(s.Scope)] != nil:
			err = fmt.Errorf("is named twice")
		case made[same] == nil:
			made[same], err = forScope(def, s, reach, o)
		}
		if err != nil {
			mistakes.Fields = append(mistakes.Fields, hearth.FieldError{Field: field, Message: err.Error()})
			continue
		}
		rs.Scopes[strings.ToLower(s.Scope)] = made[same]
	}
	if len(mistakes.Fields) > 0 {
		mistakes.Message = mistakes.Fields[0].Field + " " + mistakes.Fields[0].Message
		return nil, mistakes
	}
	return rs, nil
}

// Check says why a tenant may not have this registry, in words that the scope stands before, or nil.
func (s Scope) Check(reach Reach) error {
	_, err := s.parse(reach)
	return err
}

func (s Scope) parse(reach Reach) (*url.URL, error) {
	base, err := url.Parse(s.URL)
	switch {
	case err != nil || len(s.URL) > 2048:
		return nil, fmt.Errorf("has a URL that cannot be read") // the parser's error would print it
	case base.User != nil:
		return nil, fmt.Errorf("has credentials in its URL; give them as its token")
	case base.Host == "" || base.Opaque != "" || base.RawQuery != "" || base.ForceQuery || base.Fragment != "" || strings.Contains("/"+base.Path+"/", "/../"):
		return nil, fmt.Errorf("needs a URL such as https://npm.example.com/path/")
	}
	address, literal := netip.ParseAddr(base.Hostname())
	local := reach.Loopback && (literal == nil && address.IsLoopback() || base.Hostname() == "localhost")
	switch {
	case base.Scheme != "https" && (base.Scheme != "http" || !local):
		return nil, fmt.Errorf("needs an https:// URL")
	case literal == nil && !reach.allows(address):
		return nil, fmt.Errorf("has a URL at %s, which is not a public address; the operator can allow it with --private-registries", address)
	case len(s.Token) > mostToken || strings.ContainsFunc(s.Token, func(c rune) bool { return c <= ' ' || c > '~' }):
		return nil, fmt.Errorf("has a token with characters that none has, or too many of them")
	}
	base.Path = strings.TrimRight(base.Path, "/") + "/"
	base.RawPath = ""
	return base, nil
}

func forScope(def *Registry, s Scope, reach Reach, o Options) (*Registry, error) {
	base, err := s.parse(reach)
	if err != nil {
		return nil, err
	}
	where := site{base: base, private: true, options: o, guard: reach.guard}
	if def != nil {
		where.ca = def.ca // npm, too, trusts its cafile for every registry
	}
	// Behind an HTTP proxy all that is connected to is the proxy, which has its own rules.
	if proxy, err := httpproxy.FromEnvironment().ProxyFunc()(base); err == nil && proxy != nil {
		where.guard = nil
	}
	if s.Token != "" {
		where.auth = "Bearer " + s.Token
	}
	r, err := connect(where)
	if err != nil {
		return nil, err
	}
	r.Source = s.Scope
	return r, nil
}

// guard judges an address after the name was looked up, so that the answer of a DNS server cannot
// change between check and use.
func (r Reach) guard(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return final("registry_answer", "connect to %q: %w", address, err)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !r.allows(ip) {
		return final("registry_answer", "connect to %s: it is not a public address", host)
	}
	return nil
}

// special are addresses that netip has no word for: this network, shared (carriers), IETF, 6to4 relays,
// benchmarks, reserved; and of IPv6 those in which an address of IPv4 is wrapped, and old site-local ones.
var special = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fec0::/10")

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

func (r Reach) allows(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, p := range r.Private {
		if p.Contains(ip) {
			return true
		}
	}
	if ip.IsLoopback() {
		return r.Loopback
	}
	for _, p := range special {
		if p.Contains(ip) {
			return false
		}
	}
	return ip.IsGlobalUnicast() && !ip.IsPrivate()
}

// For returns the registry that has a package, and whether it is the tenant's own. One of a closed
// scope has none, which is an error of CodeInvalid. The case of a scope does not count: a slip of the
// keyboard must not lead to the public registry.
func (rs *Registries) For(name string) (r *Registry, private bool, err error) {
	scope, _, ok := strings.Cut(strings.ToLower(name), "/")
	switch {
	case !ok:
	case rs.Scopes[scope] != nil:
		return rs.Scopes[scope], true, nil
	case rs.Closed[scope]:
		return nil, true, &hearth.Error{Code: hearth.CodeInvalid, Component: hearth.ComponentRequest, Reason: "registry_closed",
			Message: fmt.Sprintf("%.220s is not taken from anywhere: the registry that the tenant had for %s was removed; name one, or say that the scope is public", name, scope)}
	}
	return rs.Default, false, nil
}

// Packument asks the registry that has name.
func (rs *Registries) Packument(ctx context.Context, name string, want Want) (Document, error) {
	r, _, err := rs.For(name)
	if err != nil {
		return Document{}, err
	}
	return r.Packument(ctx, name, want)
}

// Tarball downloads from the registry that has name.
func (rs *Registries) Tarball(ctx context.Context, name, version, integrity string) (*Tarball, error) {
	r, _, err := rs.For(name)
	if err != nil {
		return nil, err
	}
	return r.Tarball(ctx, name, version, integrity)
}

// Close drops the connections to the tenant's own registries.
func (rs *Registries) Close() {
	for _, r := range rs.Scopes {
		r.Close()
	}
}
