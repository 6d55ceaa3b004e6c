package module

import (
	"context"
	"strings"
	"sync"
	"testing"
)

// A lock holds for the registries that it was made by, and names of a tenant's scopes are that tenant's.
func TestRegistriesDecideLocks(t *testing.T) {
	t.Parallel()
	id := func(tenant string) string {
		return strings.Repeat(tenant[:1],
			26)
	} // as long as they are
	var mu sync.Mutex
	state := map[string]string{}
	set := func(tenant, s string) { mu.Lock(); state[tenant] = s; mu.Unlock() }
	w := newWorld(t, func(c *Config) {
		c.Private = func(_ context.Context, tenant string) (Private, error) {
			mu.Lock()
			defer mu.Unlock()
			if state[tenant] == "" {
				return Private{}, nil
			}
			return Private{State: state[tenant], Whose: func(name string) string {
				if strings.HasPrefix(name, "@acme/") {
					return id(tenant)
				}
				return ""
			}}, nil
		}
	})
	resolve := w.resolve
	var asked []string
	w.resolve = func(r LockRequest) ([]byte, error) {
		w.mu.Lock()
		asked = append(asked, r.Tenant+":"+r.Registries)
		w.mu.Unlock()
		return resolve(r)
	}
	w.run(true)
	deps := map[string]string{"@acme/x": "1.0.0", "b": "1.0.0"}
	settle := func(tenant, name string) []string {
		t.Helper()
		v := w.put(tenant, name, deps)
		if err := w.m.Settled(t.Context(), tenant, "main", name, v.Number); err != nil {
			t.Fatal(err)
		}
		v, err := w.GetVersion(t.Context(), tenant, "main", name, v.Number)
		if err != nil || !v.Settled {
			t.Fatalf("%s/%s: %+v, %v", tenant, name, v, err)
		}
		tree, err := w.Tree(t.Context(), v.Tree)
		if err != nil {
			t.Fatal(err)
		}
		whose := make([]string, 2)
		for _, p := range tree.Packages {
			if p.Package == "@acme/x" {
				whose[0] = p.Tenant
			} else {
				whose[1] = p.Tenant
			}
		}
		return whose
	}
	one, two := strings.Repeat("1", 64), strings.Repeat("2", 64)
	for _, step := range []struct{ tenant, state, name, whose, asked string }{
		{"acme", "", "f1", "", "acme:"},
		{"acme", "", "f2", "", ""},
		{"acme", one, "f3", id("acme"), "acme:" + one},
		{"acme", one, "f4", id("acme"), ""},
		{"acme", two, "f5", id("acme"), "acme:" + two},
		{"other", "", "f1", "", "other:"},
		{"other", two, "f2", id("other"), "other:" + two},
	} {
		asked = nil
		set(step.tenant, step.state)
		if whose := settle(step.tenant, step.name); whose[0] != step.whose || whose[1] != "" {
			t.Errorf("%+v: packages are %q's", step, whose)
		}
		if got := strings.Join(asked, " "); got != step.asked {
			t.Errorf("%+v: the locker was asked %q", step, got)
		}
	}
	all, _, err := w.Packages(t.Context(), "", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string]int{}
	for _, c := range all {
		contents[c.Package+" of "+c.Tenant]++
	}
	for _, c := range []string{"@acme/x of ", "@acme/x of " + id("acme"), "@acme/x of " + id("other"), "b of "} {
		if contents[c] != 1 {
			t.Errorf("contents: %v, want one %s", contents, c)
		}
	}
}
