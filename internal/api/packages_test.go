package api

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth"
	"hearth/internal/module/host"
	"hearth/internal/module/plan"
	"hearth/internal/store"
	"hearth/internal/store/storetest"
)

// useTree deploys a version of paid that depends on something, and settles it with a tree.
func (f *fixture) useTree(tree *plan.Tree) hearth.Version {
	f.t.Helper()
	r := f.must(200, "PUT", paid, fmt.Sprintf(`{"code":%q,"dependencies":{"a":"1"}}`, tree.Key)).json(f.t)
	v, err := f.store.GetVersion(f.t.Context(), "acme", "billing", "paid", int(r["version"].(float64)))
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.store.AddTree(f.t.Context(), tree, "acme"); err != nil {
		f.t.Fatal(err)
	}
	if err := f.store.SettleTree(f.t.Context(), v, tree.Key, ""); err != nil {
		f.t.Fatal(err)
	}
	f.must(200, "PUT", paid+"?wait=10s", fmt.Sprintf(`{"code":%q,"dependencies":{"a":"1"}}`, tree.Key))
	return v
}

func items(t *testing.T, r reply) []map[string]any {
	t.Helper()
	var all []map[string]any
	for _, item := range r.json(t)["items"].([]any) {
		all = append(all, item.(map[string]any))
	}
	return all
}

func TestPackagesAreListedWithTheirUsers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.furnish()
	b := storetest.Scripted("@scope/b", "2")
	f.useTree(storetest.Tree(storetest.Pure("a", "1", b), b))

	// One is built, one dies.
	jobs, err := f.store.ClaimContents(t.Context(), "me", true, 10)
	if err != nil || len(jobs) != 1 {
		t.Fatalf("claimed %v, %v", jobs, err)
	}
	_, err = f.store.FailContent(t.Context(), jobs[0], store.FaultPackage, hearth.Failure{Reason: "dependencies", Message: "gcc: \x1b[31mno"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if queued, building, failed, err := f.store.ContentStates(t.Context()); queued != 1 || building != 0 || failed != 1 || err != nil {
		t.Errorf("states %d, %d, %d, %v", queued, building, failed, err)
	}
	all := items(t, f.must(200, "GET", "/v1/packages", ""))
	if len(all) != 2 {
		t.Fatalf("packages %v", all)
	}
	dead, queued := all[0], all[1]
	if dead["name"] != "@scope/b" || dead["state"] != "failed" || dead["scripts"] != true || dead["error"].(map[string]any)["message"] != "@scope/b@2.0.0: gcc: \x1b[31mno" ||
		dead["built_at"] != nil || dead["retry_at"] == nil {
		t.Errorf("dead letter %v", dead)
	}
	if queued["name"] != "a" || queued["version"] != "1.0.0" || queued["functions"] != 1.0 || queued["registry"] != "default" || queued["revoked"] != false || queued["error"] != nil {
		t.Errorf("queued %v", queued)
	}
	if got := items(t, f.must(200, "GET", "/v1/packages?name=%40scope%2Fb", "")); len(got) != 1 || got[0]["id"] != dead["id"] {
		t.Errorf("by name: %v", got)
	}
	first := f.must(200, "GET", "/v1/packages?limit=1", "").json(t)
	if got := items(t, f.must(200, "GET", "/v1/packages?limit=1&cursor="+first["next"].(string), "")); len(got) != 1 || got[0]["name"] != "a" {
		t.Errorf("second page: %v", got)
	}
	users := items(t, f.must(200, "GET", "/v1/packages/functions?package=%40scope%2Fb%402.0.0", ""))
	if len(users) != 1 || fmt.Sprint(users[0]) != "map[active:true container:billing name:paid tenant:acme versions:[2]]" {
		t.Errorf("users %v", users)
	}
	if got := items(t, f.must(200, "GET", "/v1/packages/functions?package=none@1.0.0", "")); len(got) != 0 {
		t.Errorf("users of nothing %v", got)
	}
}

func TestARevokedPackageNamesWhomItHits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.furnish()
	tree := storetest.Tree(storetest.Pure("a", "1"))
	f.useTree(tree)
	const body = `{"name":"a","version":"1.0.0","reason":"CVE-1"}`
	r := f.must(200, "POST", "/v1/packages/revoke", body, "Idempotency-Key: k1").json(t)
	if fmt.Sprint(r["functions"]) != "[map[active:true container:billing name:paid tenant:acme versions:[2]]]" || r["reason"] != "CVE-1" {
		t.Errorf("revoked: %v", r)
	}
	if got := f.must(200, "POST", "/v1/packages/revoke", body, "Idempotency-Key: k1"); got.header.Get("Hearth-Idempotent-Replay") != "true" {
		t.Error("a repetition was made again")
	}
	if got := items(t, f.must(200, "GET", "/v1/packages", "")); got[0]["revoked"] != true {
		t.Errorf("listed as %v", got)
	}
	if got := items(t, f.must(200, "GET", "/v1/packages/revocations", "")); len(got) != 1 || got[0]["name"] != "a" || got[0]["revoked_at"] == "" {
		t.Errorf("revocations %v", got)
	}
	_, err := f.store.AddTree(t.Context(), tree, "acme")
	if hearth.CodeOf(err) != hearth.CodeConflict || !strings.Contains(err.Error(), "CVE-1") {
		t.Errorf("a new deploy is told %v", err)
	}
	f.must(204, "POST", "/v1/packages/restore", `{"name":"a","version":"1.0.0"}`)
	f.must(404, "POST", "/v1/packages/restore", `{"name":"a","version":"1.0.0"}`)
	if got := items(t, f.must(200, "GET", "/v1/packages/revocations", "")); len(got) != 0 {
		t.Errorf("revocations %v", got)
	}
	// One that nobody uses is revoked ahead.
	if r := f.must(200, "POST", "/v1/packages/revoke", `{"name":"@x/y","version":"1.0.0-rc.1"}`).json(t); fmt.Sprint(r["functions"]) != "[]" {
		t.Errorf("revoked ahead: %v", r)
	}
}

func TestABillListsWhatAVersionHas(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.furnish()
	if r := f.must(200, "GET", paid+"/sbom", "").json(t); r["bomFormat"] != "CycloneDX" || fmt.Sprint(r["components"]) != "[]" {
		t.Errorf("without packages: %v", r)
	}
	b := storetest.Pure("@scope/b", "2")
	f.useTree(storetest.Tree(storetest.Pure("a", "1", b), b))
	r := f.must(200, "GET", paid+"/sbom", "").json(t)
	var names []string
	for _, c := range r["components"].([]any) {
		names = append(names, c.(map[string]any)["purl"].(string))
	}
	if want := []string{"pkg:npm/%40scope/b@2.0.0", "pkg:npm/a@1.0.0"}; !slices.Equal(names, want) {
		t.Errorf("components %v, want %v", names, want)
	}
	if r := f.must(200, "GET", paid+"/sbom?version=1", "").json(t); fmt.Sprint(r["components"]) != "[]" {
		t.Errorf("the older one: %v", r)
	}
	f.must(200, "PUT", paid, `{"code":"3","dependencies":{"a":"2"}}`)
	if p := f.must(409, "GET", paid+"/sbom?version=3", "").problem(t); !strings.Contains(p.Detail, "not settled yet") {
		t.Errorf("not settled: %v", p)
	}
}

func TestProgressIsShownAndFollowed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.furnish()
	f.packs.say(Progress{Stage: "locking"})
	r := f.must(200, "PUT", paid, `{"code":"2","dependencies":{"a":"1"}}`).json(t)
	if fmt.Sprint(r["progress"]) != "map[built:0 fetched:0 known:0 stage:locking total:0]" {
		t.Errorf("PUT says %v", r["progress"])
	}
	f.packs.say(Progress{Stage: "building", Total: 60, Known: 58, Waiting: "the registry is away"})
	r = f.must(200, "GET", paid+"/progress", "").json(t)
	if r["status"] != "building" || fmt.Sprint(r["progress"]) != "map[built:0 fetched:0 known:58 stage:building total:60 waiting:the registry is away]" {
		t.Errorf("progress %v", r)
	}
	versions := items(t, f.must(200, "GET", paid+"/versions", ""))
	if versions[0]["progress"] == nil || versions[1]["progress"] != nil {
		t.Errorf("versions %v", versions)
	}

	lines := f.followDeploy(paid + "/progress?follow=true")
	if got := <-lines; !strings.HasPrefix(got, `progress {"name":"paid","tenant":"acme","container":"billing","version":2,"status":"building","progress":{"stage":"building","total":60,"known":58`) {
		t.Errorf("first event %s", got)
	}
	f.packs.say(Progress{Stage: "building", Total: 60, Known: 58, Fetched: 2, Built: 1})
	if got := <-lines; !strings.Contains(got, `"fetched":2,"built":1}`) {
		t.Errorf("second event %s", got)
	}
	f.packs.say(Progress{})
	last := ""
	for line := range lines { // what happens in between may be seen or not
		last = line
	}
	if last != `done {"name":"paid","tenant":"acme","container":"billing","version":2,"status":"ready"}` {
		t.Errorf("last event %s", last)
	}

	// What is settled already is said at once, and the end.
	f.must(200, "PUT", paid+"?wait=10s", `{"code":"BROKEN"}`)
	var all []string
	for line := range f.followDeploy(paid + "/progress?follow=true&version=3") {
		all = append(all, line)
	}
	if len(all) != 1 || !strings.HasPrefix(all[0], `done {"name":"paid"`) || !strings.Contains(all[0], `"status":"failed","error":{"reason":"syntax"`) {
		t.Errorf("a failed one: %v", all)
	}
	f.must(200, "HEAD", paid+"/progress?follow=true", "")
}

func TestAFollowedDeployOfWhatIsDeletedEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.furnish()
	f.must(200, "PUT", paid, `{"code":"SLOW"}`)
	lines := f.followDeploy(paid + "/progress?follow=true")
	if got := <-lines; !strings.Contains(got, `"stage":"trial"`) {
		t.Errorf("first event %s", got)
	}
	f.must(204, "DELETE", paid, "")
	for line := range lines {
		t.Errorf("one more event %s", line)
	}
}

// followDeploy returns the events of a stream as "name data"; the channel ends with the stream.
func (f *fixture) followDeploy(target string) <-chan string {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), "GET", "http://"+f.addr+target, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Close = true
	client := &http.Client{Timeout: time.Minute}
	res, err := client.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		f.t.Fatalf("%s: %d %s", target, res.StatusCode, got)
	}
	lines := make(chan string)
	go func() { // ends with the answer
		defer close(lines)
		defer res.Body.Close()
		name := ""
		for s := bufio.NewScanner(res.Body); s.Scan(); {
			if v, ok := strings.CutPrefix(s.Text(), "event: "); ok {
				name = v
			} else if v, ok := strings.CutPrefix(s.Text(), "data: "); ok {
				lines <- name + " " + v
			}
		}
	}()
	return lines
}

func TestVerificationTellsOfDamage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.must(200, "POST", "/v1/packages/verify", `{}`).json(t)
	if fmt.Sprint(r) != "map[bytes:0 contents:0 damaged:0 files:0 healed:0 items:[] packages:0 trees:0]" {
		t.Errorf("an empty store: %v", r)
	}
	report := host.Report{Files: 5, Damaged: []host.Damage{{Content: "c1", Path: "index.js", Problem: "changed", Healed: true}, {Tree: "t1", Problem: "link", Waiting: true}}}
	for range damagedMost {
		report.Damaged = append(report.Damaged, host.Damage{Content: "c2", Package: "p2", Problem: "missing", Err: "away"})
	}
	v := viewVerification(report, map[string]string{"c1": "a@1.0.0"})
	if v.Damaged != damagedMost+2 || v.Healed != 1 || len(v.Items) != damagedMost {
		t.Errorf("%d damaged, %d healed, %d told", v.Damaged, v.Healed, len(v.Items))
	}
	for i, want := range []damageView{{Package: "a@1.0.0", Place: "c1", Path: "index.js", Problem: "changed", Healed: true},
		{Place: "t/t1", Problem: "link", Waiting: true}, {Place: "p/p2", Problem: "missing", Error: "away"}} {
		if v.Items[i] != want {
			t.Errorf("damage %d: %+v, want %+v", i, v.Items[i], want)
		}
	}
	// A second one at the same time is put off.
	f.api.verifying <- struct{}{}
	if p := f.must(503, "POST", "/v1/packages/verify", `{"heal":true}`).problem(t); p.Reason != "verify" {
		t.Errorf("at the same time: %v", p)
	}
	<-f.api.verifying
}
