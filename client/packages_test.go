package client

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth"
	"hearth/internal/store/storetest"
)

// withPackage deploys acme/shop/paid, whose second version has the package @s/a@1.0.0.
func withPackage(t *testing.T, h *house) {
	t.Helper()
	ctx := t.Context()
	_, err := h.PutTenant(ctx, "acme", TenantSpec{})
	if err == nil {
		_, err = h.PutContainer(ctx, "acme", "shop", ContainerSpec{})
	}
	if err == nil {
		_, err = h.PutFunction(ctx, "acme", "shop", "paid", FunctionSpec{Code: "1"}, 10*time.Second)
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := h.PutFunction(ctx, "acme", "shop", "paid", FunctionSpec{Code: "2", Dependencies: map[string]string{"@s/a": "1"}}, 0)
	if err != nil || f.Progress == nil || f.Progress.Stage != "queued" {
		t.Fatalf("%+v, %v", f, err)
	}
	tree := storetest.Tree(storetest.Pure("@s/a", "1"))
	if _, err := h.store.AddTree(ctx, tree, "acme"); err != nil {
		t.Fatal(err)
	}
	v, err := h.store.GetVersion(ctx, "acme", "shop", "paid", 2)
	if err == nil {
		err = h.store.SettleTree(ctx, v, tree.Key, "")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestPackages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	withPackage(t, h)
	ctx := t.Context()
	list := func(ctx context.Context, p Page) (List[Package], error) { return h.ListPackages(ctx, "@s/a", p) }
	n := 0
	for p, err := range Each(ctx, list) {
		if n++; err != nil || p.Name != "@s/a" || p.Version != "1.0.0" || p.State != "queued" || p.Functions != 1 || p.BuiltAt != nil || p.CreatedAt.IsZero() {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if n != 1 {
		t.Errorf("%d packages", n)
	}
	users, err := h.PackageUsers(ctx, "@s/a", "1.0.0")
	if err != nil || len(users) != 1 || users[0].Name != "paid" || users[0].Versions[0] != 2 {
		t.Errorf("users %+v, %v", users, err)
	}
	r, err := h.RevokePackage(ctx, "@s/a", "1.0.0", "bad", IdempotencyKey("k"))
	if err != nil || r.Reason != "bad" || len(r.Functions) != 1 || r.Functions[0].Tenant != "acme" {
		t.Errorf("revoked %+v, %v", r, err)
	}
	all, err := h.ListRevocations(ctx)
	if err != nil || len(all) != 1 || all[0].Name != "@s/a" || all[0].RevokedAt.IsZero() {
		t.Errorf("revocations %+v, %v", all, err)
	}
	if err := h.RestorePackage(ctx, "@s/a", "1.0.0"); err != nil {
		t.Error(err)
	}
	if err := h.RestorePackage(ctx, "@s/a", "1.0.0"); !IsCode(err, "not_found") {
		t.Errorf("restored twice: %v", err)
	}
	if _, err := h.RevokePackage(ctx, "@s/a", "^1", ""); !IsCode(err, "invalid") {
		t.Errorf("a range: %v", err)
	}
	v, err := h.VerifyPackages(ctx, true)
	if err != nil || v.Files != 3 || v.Damaged != 1 || v.Healed != 1 || v.Items[0].Path != "index.js" {
		t.Errorf("verified %+v, %v", v, err)
	}
	doc, err := h.Bill(ctx, "acme", "shop", "paid", 2)
	if err != nil || !strings.Contains(string(doc), "pkg:npm/%40s/a@1.0.0") {
		t.Errorf("bill %s, %v", doc, err)
	}
	if doc, err = h.Bill(ctx, "acme", "shop", "paid", 0); err != nil || strings.Contains(string(doc), "%40s") {
		t.Errorf("the active one's bill %s, %v", doc, err)
	}
}

func TestProgressIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	withPackage(t, h)
	h.retry = func(int) time.Duration { return time.Millisecond }
	if d, err := h.GetProgress(t.Context(), "acme", "shop", "paid", 0); err != nil || d.Version != 2 || d.Status != Building || d.Progress.Stage != "trial" {
		t.Errorf("%+v, %v", d, err)
	}
	// The first connection breaks.
	broken := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h.edge.Store(nil)
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
	})
	h.edge.Store(&broken)
	var last Deploy
	for d, err := range h.FollowProgress(t.Context(), "acme", "shop", "paid", 2) {
		if err != nil {
			t.Fatal(err)
		}
		last = d
	}
	if last.Status != Ready || last.Version != 2 || last.Progress != nil {
		t.Errorf("the last is %+v", last)
	}
	n := 0
	for d, err := range h.FollowProgress(t.Context(), "acme", "shop", "none", 2) {
		if n++; !IsCode(err, "not_found") || d.Status != "" {
			t.Errorf("of nothing: %+v, %v", d, err)
		}
	}
	if n != 1 {
		t.Errorf("%d events of nothing", n)
	}
}

func TestRefreshResolvesAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	withPackage(t, h)
	ctx := t.Context()
	spec := FunctionSpec{Code: "2", Dependencies: map[string]string{"@s/a": "1"}}
	f, err := h.PutFunction(ctx, "acme", "shop", "paid", spec, 10*time.Second)
	if err != nil || f.Version != 2 || f.Status != Ready || len(f.Packages) != 1 || f.Packages[0] != "@s/a@1.0.0" {
		t.Fatalf("the same: %+v, %v", f, err)
	}
	f, err = h.PutFunction(ctx, "acme", "shop", "paid", spec, 10*time.Second, Refresh())
	if err != nil || f.Version != 3 {
		t.Errorf("refreshed: %+v, %v", f, err)
	}
	v, err := h.store.GetVersion(ctx, "acme", "shop", "paid", 3)
	if err != nil || v.Status != hearth.StatusReady {
		t.Errorf("%+v, %v", v, err)
	}
}
