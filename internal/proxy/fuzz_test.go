package proxy

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"hearth"
)

func FuzzRoute(f *testing.F) {
	for _, s := range []string{"/run/t/c/f", "/run/t/c/f/x?y", "/run//c/f", "/run/t/c/f//", "http://h/run/t/c/f?q", "*", "", "/run/t%2f/c/f", "/f/x", "://?"} {
		f.Add(s, "h")
		f.Add(s, "c.t.run.example:80")
	}
	p := New(Config{RunDomain: "run.example"})
	f.Fuzz(func(t *testing.T, uri, host string) {
		r := &http.Request{RequestURI: uri, Host: host}
		got, ok := p.route(r)
		path, query := splitTarget(uri)
		if !ok {
			return
		}
		for _, name := range []string{got.tenant, got.container, got.function} {
			if !hearth.ValidName(name) {
				t.Errorf("route(%q, %q) has the name %q", uri, host, name)
			}
		}
		if got.prefix+got.rest != path || got.query != query || !strings.HasSuffix(uri, path+query) {
			t.Errorf("route(%q, %q) = %+v loses bytes of %q %q", uri, host, got, path, query)
		}
		if got.rest != "" && got.rest[0] != '/' || got.query != "" && got.query[0] != '?' {
			t.Errorf("route(%q, %q) = %+v", uri, host, got)
		}
		if !p.Serves(r) {
			t.Errorf("Serves(%q, %q) is false for a route", uri, host)
		}
	})
}

func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"for=1.1.1.1", `for="[2001:db8::1]:80";proto=https;host="a.b"`, "for=unknown", "for=1.1.1.1, for=10.0.0.1", `for="a\"b"`, ";", "for=", `for="1.1.1.1`, "proto=http;for=1.1.1.1;by=x"} {
		f.Add(s, "1.1.1.1, 10.0.0.2", "https", "h")
		f.Add(s, "", "", "")
	}
	all := trusted{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, forwarded, xff, proto, host string) {
		r := &http.Request{RemoteAddr: "10.0.0.1:5", Host: "real", Header: http.Header{"Forwarded": {forwarded}, "X-Forwarded-Proto": {proto}, "X-Forwarded-Host": {host}}}
		if xff != "" {
			r.Header["X-Forwarded-For"] = []string{xff}
		}
		var o origin
		var one [1]string
		all.originOf(r, &o, &one)
		if n := len(o.chain); n == 0 || n > maxHops+1 || o.chain[n-1] != "10.0.0.1" {
			t.Fatalf("chain %q", o.chain)
		}
		for i, s := range o.chain {
			a, err := netip.ParseAddr(s)
			if err != nil {
				t.Errorf("chain %q has what is no address", o.chain)
			}
			if i > 0 && !all.has(a) {
				t.Errorf("chain %q goes on behind %s, which nobody trusts", o.chain, s)
			}
		}
		if o.proto != "http" && o.proto != "https" || !validHost(o.host) {
			t.Errorf("origin %+v", o)
		}
		r.RemoteAddr = "8.8.8.8:1"
		all.originOf(r, &o, &one)
		if len(o.chain) != 1 || o.chain[0] != "8.8.8.8" || o.proto != "http" || o.host != "real" {
			t.Errorf("a stranger was believed: %+v", o)
		}
	})
}

func TestPeer(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{"1.2.3.4:5": "1.2.3.4", "[::1]:5": "::1", "[fe80::1%eth0]:5": "fe80::1", "[::ffff:1.2.3.4]:5": "1.2.3.4", "@": "unknown", "": "unknown"} {
		var o origin
		var one [1]string
		trusted(nil).originOf(&http.Request{RemoteAddr: remote}, &o, &one)
		if o.chain[0] != want {
			t.Errorf("peer %q is %q, want %q", remote, o.chain[0], want)
		}
	}
}
