package node

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"gocloud.dev/secrets/localsecrets"

	"hearth"
	"hearth/internal/module/registry"
	"hearth/internal/module/registry/registrytest"
	"hearth/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRegistersFollowTheStore(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	keeper := localsecrets.NewKeeper([32]byte{1})
	defer keeper.Close()
	s, err := store.Open(ctx, store.Config{Database: "sqlite:" + dir + "/hearth.db", Blobs: "file:" + dir + "/blobs", Keeper: keeper, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	public, own := registrytest.New(t), registrytest.New(t)
	public.Publish("@acme/x", "9.0.0", nil, nil)
	x := own.Publish("@acme/x", "1.0.0", nil, nil)
	own.Require("", "t0k")
	def, err := registry.Detect(ctx, registry.Sources{Flag: public.URL(), Env: func(string) string { return "" }, Home: dir, Global: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	defer def.Close()
	cache, err := registry.OpenCache(dir+"/registry", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	reach := registry.ReachOf([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	r := newRegisters(s, def, reach, registry.Options{Cache: cache, Spool: dir})
	defer r.close()
	put := func(changes ...store.RegistryChange) hearth.Tenant {
		t.Helper()
		out, _, err := s.PutTenant(ctx, hearth.Tenant{Name: "acme"}, store.Precondition{}, changes...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	of := func() (private func(string) string, rs *registry.Registries) {
		t.Helper()
		p, err := r.private(ctx, "acme")
		if err != nil {
			t.Fatal(err)
		}
		if rs, err = r.inState(ctx, "acme", p.State); err != nil {
			t.Fatal(err)
		}
		return p.Whose, rs
	}
	acme := put()
	shared, err := r.byID(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	if whose, rs := of(); whose != nil || rs != shared {
		t.Error("a tenant without registries has some")
	}

	token, wrong := "t0k", "wr0ng"
	put(store.RegistryChange{Scope: "@acme", URL: own.URL(), Token: &wrong})
	whose, first := of()
	if whose("@acme/x") != acme.ID || whose("@ACME/x") != acme.ID || whose("x") != "" || whose("@other/x") != "" {
		t.Error("names are not the tenant's that are to be")
	}
	if _, err := first.Packument(ctx, "@acme/x", registry.Want{}); err == nil {
		t.Error("a wrong token was taken")
	}
	if byID, err := r.byID(ctx, acme.ID); err != nil || byID != first {
		t.Errorf("by id: other registries, %v", err)
	}
	put(store.RegistryChange{Scope: "@acme", URL: own.URL(), Token: &token})
	_, second := of()
	if second == first {
		t.Error("a new token is not used")
	}
	if _, err := second.Packument(ctx, "@acme/x", registry.Want{}); err != nil {
		t.Error(err)
	}
	if tarball, err := second.Tarball(ctx, "@acme/x", "1.0.0", x.Integrity); err != nil {
		t.Error(err)
	} else {
		tarball.Close()
	}
	var he *hearth.Error
	if _, err := r.inState(ctx, "acme", "another"); !errors.As(err, &he) || he.Reason != "registries_changed" || he.Code != hearth.CodeUnavailable {
		t.Errorf("registries that changed meanwhile: %v", err)
	}

	put(store.RegistryChange{Scope: "@acme"})
	whose, closed := of()
	_, err = closed.Packument(ctx, "@acme/x", registry.Want{})
	if !errors.As(err, &he) || he.Reason != "registry_closed" || whose("@acme/x") != acme.ID {
		t.Errorf("a removed registry: %v", err)
	}
	if n := public.Hits(""); n != 0 {
		t.Errorf("the public registry was asked: %v", public.Asked())
	}
	put(store.RegistryChange{Scope: "@acme", Public: true})
	if whose, rs := of(); whose != nil || rs != shared {
		t.Error("a released scope is still private")
	}
	if len(r.kept) != 0 {
		t.Errorf("%d registries are kept of nobody", len(r.kept))
	}

	// What the operator does not allow any more.
	put(store.RegistryChange{Scope: "@acme", URL: own.URL()})
	strict := newRegisters(s, def, registry.Reach{}, registry.Options{})
	if _, err := strict.byID(ctx, acme.ID); hearth.CodeOf(err) != hearth.CodeInvalid || !strings.Contains(err.Error(), "https://") {
		t.Errorf("a registry on loopback: %v", err)
	}
	if err := strict.check(store.RegistryChange{Scope: "@acme", URL: own.URL()}); err == nil {
		t.Error("a registry on loopback may be named")
	}
	if err := s.DeleteTenant(ctx, "acme", true, store.Precondition{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.byID(ctx, acme.ID); !errors.As(err, &he) || he.Reason != "tenant_gone" || he.Code != hearth.CodeInvalid {
		t.Errorf("of a deleted tenant: %v", err)
	}
}
