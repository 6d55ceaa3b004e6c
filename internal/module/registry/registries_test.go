package registry

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hearth"
	"hearth/internal/module/registry/registrytest"
)

func TestScopesGoToTheirRegistryAlone(t *testing.T) {
	t.Parallel()
	public, own := registrytest.New(t), registrytest.New(t)
	own.Require("", "t0k")
	own.Publish("@acme/x", "1.0.0", nil, nil)
	evil := public.Publish("@acme/x", "99.0.0", nil, nil)
	public.Publish("@acme/gone", "1.0.0", nil, nil)
	public.Publish("@acme-more/y", "1.0.0", nil, nil)
	public.Publish("acme", "1.0.0", nil, nil)
	for _, p := range []string{"@acme/x", "@acme/gone", "acme", "@acme-more/y"} {
		public.On(p, nil)
	}
	cache := newCache(t, 1<<20)
	def := of(t, public, Options{Cache: cache})
	rs, err := ForTenant(def, []Scope{{Scope: "@acme", URL: own.URL(), Token: "t0k"}, {Scope: "@acme2", URL: own.URL(), Token: "t0k"}}, Reach{Loopback: true}, Options{Tenant: "one", Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()
	if rs.Scopes["@acme"] != rs.Scopes["@acme2"] {
		t.Error("two scopes of one registry have two clients")
	}
	doc, err := rs.Packument(t.Context(), "@acme/x", Want{})
	if err != nil || parse(t, doc.At("")).Tags["latest"] != "1.0.0" {
		t.Errorf("Packument: %s, %v", doc.At(""), err)
	}
	_, err = rs.Packument(t.Context(), "@acme/gone", Want{})
	if e := wantReason(t, err, "package_missing"); strings.Contains(e.Error(), "--npm-registry") {
		t.Errorf("%v: a tenant cannot do that", e)
	}
	_, err = rs.Tarball(t.Context(), "@acme/x", "99.0.0", evil.Integrity)
	wantReason(t, err, "package_missing")
	for _, name := range []string{"acme", "@acme-more/y"} {
		if _, err := rs.Packument(t.Context(), name, Want{}); err != nil {
			t.Errorf("Packument(%s): %v", name, err)
		}
	}
	if n := public.Hits("@acme/x") + public.Hits("@acme/gone") + public.Hits("@acme/x@99.0.0"); n != 0 {
		t.Errorf("the public registry was asked for %v", public.Asked())
	}

	t.Run("another tenant sees nothing of it", func(t *testing.T) {
		other, err := ForTenant(def, []Scope{{Scope: "@acme", URL: own.URL(), Token: "wrong"}}, Reach{Loopback: true}, Options{Tenant: "two", Cache: cache})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		before := own.Hits("@acme/x")
		_, err = other.Packument(t.Context(), "@acme/x", Want{})
		wantReason(t, err, "package_missing")
		if own.Hits("@acme/x") != before+1 {
			t.Error("the registry was not asked, so that the time tells what is kept")
		}
		keys := map[string]bool{}
		for _, rs := range []*Registries{rs, other} {
			keys[rs.Scopes["@acme"].key("@acme/x", false)] = true
		}
		third, err := ForTenant(def, []Scope{{Scope: "@acme", URL: own.URL(), Token: "t0k"}}, Reach{Loopback: true}, Options{Tenant: "three"})
		if err != nil {
			t.Fatal(err)
		}
		defer third.Close()
		keys[third.Scopes["@acme"].key("@acme/x", false)] = true
		if len(keys) != 3 {
			t.Errorf("%d keys for three tenants", len(keys))
		}
	})
	t.Run("the public one gets no credentials", func(t *testing.T) {
		public.Require("", "t0k")
		defer public.Require("", "")
		fresh, err := def.With(Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer fresh.Close()
		rs := &Registries{Default: fresh, Scopes: rs.Scopes}
		_, err = rs.Packument(t.Context(), "acme", Want{})
		wantReason(t, err, "package_missing")
	})
}

func TestRegistriesOfTenantsAreJudged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ scope, url, token, words string }{
		{"@a", "https://npm.test/x", "t", ""},
		{"@a", "https://npm.test:8443", "", ""},
		{"@a", "https://8.8.8.8/", "", ""},
		{"a", "https://npm.test/", "", "is not a scope"},
		{"@", "https://npm.test/", "", "is not a scope"},
		{"@a/b", "https://npm.test/", "", "is not a scope"},
		{"@a", "http://npm.test/", "", "https://"},
		{"@a", "http://127.0.0.1/", "", "https://"},
		{"@a", "ftp://npm.test/", "", "https://"},
		{"@a", "https://", "", "needs a URL"},
		{"@a", "npm.test", "", "needs a URL"},
		{"@a", "https://u:geheim@npm.test/", "", "credentials in its URL"},
		{"@a", "https://geheim@npm.test:x/", "", "cannot be read"},
		{"@a", "https://npm.test/?geheim", "", "needs a URL"},
		{"@a", "https://npm.test/a/../b", "", "needs a URL"},
		{"@a", "https://npm.test/a/%2e%2e/b", "", "needs a URL"},
		{"@a", "https://127.0.0.1/", "", "not a public address"},
		{"@a", "https://[::1]/", "", "not a public address"},
		{"@a", "https://[::ffff:10.0.0.1]/", "", "not a public address"},
		{"@a", "https://169.254.169.254/", "", "not a public address"},
		{"@a", "https://npm.test/", "geheim\r\nX: y", "token"},
		{"@a", "https://npm.test/", strings.Repeat("x", 5000), "token"},
	} {
		rs, err := ForTenant(nil, []Scope{{c.scope, c.url, c.token}}, Reach{}, Options{Tenant: "t"})
		if c.words == "" {
			if err != nil {
				t.Errorf("%+v: %v", c, err)
			} else {
				rs.Close()
			}
			continue
		}
		var e *hearth.Error
		if !errors.As(err, &e) || e.Code != hearth.CodeInvalid || len(e.Fields) != 1 || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%+v: %v, want the words %q", c, err, c.words)
		}
	}
	if _, err := ForTenant(nil, []Scope{{"@a", "https://a.test", ""}, {"@a", "https://b.test", ""}}, Reach{}, Options{Tenant: "t"}); err == nil {
		t.Error("a scope has two registries")
	}
	if _, err := ForTenant(nil, []Scope{{"@a", "https://a.test", ""}}, Reach{}, Options{}); err == nil {
		t.Error("nobody's registry was made")
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	r := Reach{Private: prefixes("10.1.0.0/16", "fd00:1::/32")}
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1": true, "10.1.2.3": true, "fd00:1::5": true, "::ffff:10.1.2.3": true,
		"10.2.0.1": false, "127.0.0.1": false, "::1": false, "0.0.0.0": false, "::": false, "169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false, "192.168.1.1": false, "172.16.0.1": false,
		"100.64.0.1": false, "198.18.0.1": false, "224.0.0.1": false, "ff02::1": false, "255.255.255.255": false, "240.0.0.1": false, "fd00:2::1": false, "fec0::1": false,
		"::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001:0:1::1": false, "0.1.2.3": false,
	} {
		if got := r.allows(netip.MustParseAddr(address)); got != want {
			t.Errorf("allows(%s) = %v, want %v", address, got, want)
		}
		host := address
		if strings.Contains(address, ":") {
			host = "[" + address + "]"
		}
		if err := r.guard("tcp", host+":443", nil); (err == nil) != want {
			t.Errorf("guard(%s): %v", host, err)
		}
	}
}

// A name that is public when the URL is checked may lead inside when it is connected to.
func TestNameThatLeadsInside(t *testing.T) {
	t.Parallel()
	rs, err := ForTenant(nil, []Scope{{"@a", "https://localhost:1/", "t0k"}}, Reach{}, Options{Tenant: "t"})
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()
	_, err = rs.Packument(within(t), "@a/x", Want{})
	if e := wantReason(t, err, "registry_answer"); !strings.Contains(e.Error(), "is not a public address") {
		t.Errorf("%v", e)
	}
}

// A scope whose registry was removed is not the public registry's by itself, and a slip of the keyboard
// in a scope leads nowhere else either.
func TestClosedScopes(t *testing.T) {
	t.Parallel()
	public, own := registrytest.New(t), registrytest.New(t)
	for _, name := range []string{"@acme/x", "@Acme/x", "@old/x", "@OLD/x", "@older/x"} {
		public.Publish(name, "9.0.0", nil, nil)
	}
	x := own.Publish("@acme/x", "1.0.0", nil, nil)
	def, err := newRegistry(public.URL(), newNpmrc())
	if err != nil {
		t.Fatal(err)
	}
	defer def.Close()
	rs, err := ForTenant(def, []Scope{{"@acme", own.URL(), ""}}, ReachOf(prefixes("127.0.0.0/8")), Options{Tenant: "t"})
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()
	rs.Closed = map[string]bool{"@old": true}
	wantClosed := func(err error) {
		t.Helper()
		var e *hearth.Error
		if !errors.As(err, &e) || e.Code != hearth.CodeInvalid || e.Reason != "registry_closed" || !strings.Contains(e.Message, "@old was removed") {
			t.Errorf("%v, want that the scope is closed", err)
		}
	}
	for _, name := range []string{"@old/x", "@OLD/x", "@Old/y"} {
		_, err := rs.Packument(t.Context(), name, Want{})
		wantClosed(err)
		_, err = rs.Tarball(t.Context(), name, "9.0.0", x.Integrity)
		wantClosed(err)
	}
	_, err = rs.Packument(t.Context(), "@Acme/x", Want{})
	wantReason(t, err, "package_missing")
	if n := public.Hits(""); n != 0 {
		t.Errorf("the public registry was asked %d times: %v", n, public.Asked())
	}
	if _, err := rs.Packument(t.Context(), "@older/x", Want{}); err != nil {
		t.Error(err)
	}
	proxy := NewProxy(ProxyOptions{Registries: rs, Log: slog.New(slog.DiscardHandler)})
	w := httptest.NewRecorder()
	proxy.ServeHTTP(w, httptest.NewRequest("GET", "/@old%2fx", nil))
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "was removed") {
		t.Errorf("the proxy answers %d %s", w.Code, w.Body)
	}
	wantClosed(proxy.Failure())
}

func TestReachOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		networks []string
		url      string
		ok       bool
	}{
		{nil, "https://10.0.0.1/", false},
		{[]string{"10.0.0.0/8"}, "https://10.0.0.1/", true},
		{[]string{"10.0.0.0/8"}, "http://10.0.0.1/", false},
		{[]string{"10.0.0.0/8"}, "http://127.0.0.1:4873/", false},
		{[]string{"10.0.0.0/8"}, "https://127.0.0.1:4873/", false},
		{[]string{"127.0.0.1/32"}, "http://127.0.0.1:4873/", true},
		{[]string{"::1/128"}, "http://[::1]:4873/", true},
	} {
		if err := (Scope{Scope: "@a", URL: c.url}).Check(ReachOf(prefixes(c.networks...))); (err == nil) != c.ok {
			t.Errorf("%s with %v: %v", c.url, c.networks, err)
		}
	}
}

// The operator's cafile holds for the registries of tenants, as it does for npm's; nothing else of it does.
func TestRegistryOfTenantBehindThePrivateCA(t *testing.T) {
	t.Parallel()
	own := registrytest.NewTLS(t)
	own.Publish("@acme/x", "1.0.0", nil, nil)
	cafile := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(cafile, own.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ca := range []string{"", "cafile=" + cafile} {
		rc := newNpmrc()
		rc.add("npmrc", []byte(ca+"\n"), func(string) string { return "" })
		def, err := newRegistry("https://npm.test/", rc)
		if err != nil {
			t.Fatal(err)
		}
		defer def.Close()
		rs, err := ForTenant(def, []Scope{{"@acme", own.URL(), ""}}, ReachOf(prefixes("127.0.0.0/8")), Options{Tenant: "t"})
		if err != nil {
			t.Fatal(err)
		}
		defer rs.Close()
		if _, err := rs.Packument(t.Context(), "@acme/x", Want{}); (err == nil) != (ca != "") {
			t.Errorf("with %q: %v", ca, err)
		}
	}
}
