package api

import (
	"fmt"
	"strings"
	"testing"

	"hearth"
	"hearth/internal/module/registry"
	"hearth/internal/store"
)

// checkRegistry is what a node wires.
func checkRegistry(c *Config) {
	c.CheckRegistry = func(c store.RegistryChange) error {
		s := registry.Scope{Scope: c.Scope, URL: c.URL}
		if c.Token != nil {
			s.Token = *c.Token
		}
		return s.Check(registry.Reach{})
	}
}

func TestRegistriesAreMerged(t *testing.T) {
	t.Parallel()
	f := newFixture(t, checkRegistry)
	const tenant = "/v1/tenants/acme"
	said := func(status int, body string) map[string]any {
		t.Helper()
		r := f.must(status, "PUT", tenant, body)
		got := f.must(200, "GET", tenant, "")
		if string(got.body) != string(r.body) {
			t.Errorf("PUT %s answers\n%s, GET\n%s", body, r.body, got.body)
		}
		if strings.Contains(string(r.body), "geheim") {
			t.Errorf("a token is answered: %s", r.body)
		}
		return r.json(t)["registries"].(map[string]any)
	}
	want := func(got map[string]any, want string) {
		t.Helper()
		if s := fmt.Sprint(got); s != want {
			t.Errorf("registries %s, want %s", s, want)
		}
	}
	want(said(201, `{}`), `map[]`)
	want(said(200, `{"registries":{"@acme":{"url":"https://npm.test/","token":"geheim"},"@b":{"url":"https://b.test"}}}`),
		`map[@acme:map[token:true url:https://npm.test/] @b:map[token:false url:https://b.test]]`)
	tag := f.must(200, "GET", tenant, "").header.Get("ETag")
	want(said(200, `{}`), `map[@acme:map[token:true url:https://npm.test/] @b:map[token:false url:https://b.test]]`)
	want(said(200, `{"registries":{"@acme":{"url":"https://npm.test/"}}}`), `map[@acme:map[token:true url:https://npm.test/] @b:map[token:false url:https://b.test]]`)
	if now := f.must(200, "GET", tenant, "").header.Get("ETag"); now != tag {
		t.Errorf("ETag %s after %s, though nothing changed", now, tag)
	}
	want(said(200, `{"registries":{"@b":{"url":"https://b.test","token":"geheim2"}}}`), `map[@acme:map[token:true url:https://npm.test/] @b:map[token:true url:https://b.test]]`)
	if now := f.must(200, "GET", tenant, "").header.Get("ETag"); now == tag {
		t.Error("the same ETag after a token was set")
	}
	want(said(200, `{"registries":{"@b":{"url":"https://b.test","token":null}}}`), `map[@acme:map[token:true url:https://npm.test/] @b:map[token:false url:https://b.test]]`)
	want(said(200, `{"registries":{"@acme":{"url":"https://elsewhere.test/"}}}`), `map[@acme:map[token:false url:https://elsewhere.test/] @b:map[token:false url:https://b.test]]`)
	want(said(200, `{"registries":{"@acme":null,"@never":null}}`), `map[@acme:map[token:false url:<nil>] @b:map[token:false url:https://b.test]]`)
	want(said(200, `{"registries":{"@acme":{"public":true}}}`), `map[@b:map[token:false url:https://b.test]]`)
	if r := f.must(200, "GET", "/v1/tenants", ""); strings.Contains(string(r.body), "registries") {
		t.Errorf("the list has registries: %s", r.body)
	}
	if strings.Contains(f.said.String(), "geheim") {
		t.Error("a token is in the log")
	}
}

func TestBadRegistries(t *testing.T) {
	t.Parallel()
	f := newFixture(t, checkRegistry)
	f.must(201, "PUT", "/v1/tenants/acme", `{"registries":{"@kept":{"url":"https://npm.test/"}}}`)
	before := string(f.must(200, "GET", "/v1/tenants/acme", "").body)
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"@s%d":{"url":"https://npm.test"}`, i)
		}
		return "{" + b.String()[1:] + "}"
	}
	for _, c := range []struct{ registries, field, words string }{
		{`[]`, "registries", "must be"},
		{`null`, "registries", "must be"},
		{`{"acme":null}`, "registries.acme", "is not a scope"},
		{`{"":null}`, `registries[""]`, "is not a scope"},
		{`{"@":null}`, `registries["@"]`, "is not a scope"},
		{`{"@Acme":null}`, `registries["@Acme"]`, "is not a scope"},
		{`{"@a/b":{"url":"https://npm.test"}}`, `registries["@a/b"]`, "is not a scope"},
		{`{"@../x":{"url":"https://npm.test"}}`, `registries["@../x"]`, "is not a scope"},
		{`{"@аcme":null}`, `registries["@аcme"]`, "is not a scope"},
		{`{"@` + strings.Repeat("a", 102) + `":null}`, "", "is not a scope"},
		{`{"@a":"https://npm.test"}`, `registries["@a"]`, "must be"},
		{`{"@a":{}}`, `registries["@a"].url`, "is missing"},
		{`{"@a":{"url":null}}`, `registries["@a"].url`, "must be"},
		{`{"@a":{"url":""}}`, `registries["@a"].url`, "is missing"},
		{`{"@a":{"url":7}}`, `registries["@a"].url`, "must be"},
		{`{"@a":{"url":"https://npm.test","token":7}}`, `registries["@a"].token`, "must be"},
		{`{"@a":{"url":"https://npm.test","user":"x"}}`, `registries["@a"].user`, "is not a field here"},
		{`{"@a":{"public":"yes"}}`, `registries["@a"].public`, "must be"},
		{`{"@a":{"public":false}}`, `registries["@a"].url`, "is missing"},
		{`{"@a":{"public":true,"url":"https://npm.test"}}`, `registries["@a"]`, "not both"},
		{`{"@a":{"public":true,"token":"geheim"}}`, `registries["@a"]`, "not both"},
		{`{"@a":{"url":"http://npm.test"}}`, `registries["@a"]`, "https://"},
		{`{"@a":{"url":"file:///etc/passwd"}}`, `registries["@a"]`, "needs a URL"},
		{`{"@a":{"url":"https://u:geheim@npm.test"}}`, `registries["@a"]`, "credentials in its URL"},
		{`{"@a":{"url":"https://npm.test/?geheim"}}`, `registries["@a"]`, "needs a URL"},
		{`{"@a":{"url":"https://169.254.169.254/"}}`, `registries["@a"]`, "not a public address"},
		{`{"@a":{"url":"https://[::ffff:127.0.0.1]/"}}`, `registries["@a"]`, "not a public address"},
		{`{"@a":{"url":"https://npm.test/` + strings.Repeat("a", 3000) + `"}}`, `registries["@a"]`, "cannot be read"},
		{`{"@a":{"url":"https://npm.test","token":"geheim\r\nX: y"}}`, `registries["@a"]`, "token"},
		{`{"@a":{"url":"https://npm.test","token":"geheim` + strings.Repeat("x", 5000) + `"}}`, `registries["@a"]`, "token"},
		{`{"@a":{"url":"https://npm.test"},"@a":null}`, "", ""}, // one name twice is no JSON here
		{many(hearth.LimitRegistries.Int() + 1), "registries", "20"},
		{many(hearth.LimitRegistries.Int()), "", "20"}, // with the one there is
	} {
		r := f.do("PUT", "/v1/tenants/acme", `{"registries":`+c.registries+`}`)
		name := fmt.Sprintf("%.80s", c.registries)
		if r.status != 422 && r.status != 400 || !strings.Contains(string(r.body), c.words) {
			t.Errorf("%s: %d %s, want the words %q", name, r.status, r.body, c.words)
		}
		if p := r.json(t); c.field != "" {
			errs, _ := p["errors"].([]any)
			if len(errs) == 0 || !strings.Contains(fmt.Sprint(errs[0]), c.field) {
				t.Errorf("%s: the field is not named: %s", name, r.body)
			}
		}
		if strings.Contains(string(r.body), "geheim") {
			t.Errorf("%s: a secret is answered: %s", name, r.body)
		}
	}
	if after := string(f.must(200, "GET", "/v1/tenants/acme", "").body); after != before {
		t.Errorf("a refused document changed something:\n%s\n%s", before, after)
	}
	if strings.Contains(f.said.String(), "geheim") {
		t.Error("a token is in the log")
	}
}
