package auth

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"hearth"
)

// Hosts returns a check that a request names this machine by a loopback name or one of the given
// ones. A listener on loopback needs it: with DNS rebinding a web page reaches it under a name of
// the page's owner. Ports are not looked at.
func Hosts(names ...string) func(*http.Request) error {
	return func(r *http.Request) error {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
		addr, err := netip.ParseAddr(host)
		if host == "localhost" || err == nil && addr.IsLoopback() || slices.Contains(names, host) {
			return nil
		}
		return hearth.Errorf(hearth.CodeForbidden, "This address does not serve the host %.100q.", r.Host)
	}
}
