package api

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth"
	"hearth/internal/auth"
	"hearth/internal/store"
)

func TestDeployAnswers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.furnish()
	r := f.must(200, "GET", paid, "").json(t)
	want := map[string]any{"name": "paid", "tenant": "acme", "container": "billing", "version": 1.0, "active": 1.0, "status": "ready",
		"url": "http://" + f.addr + "/run/acme/billing/paid", "runtime": "node24", "entry": "index.js", "model": "callback", "timeout_ms": 30000.0, "auth": "none"}
	for key, v := range want {
		if r[key] != v {
			t.Errorf("%s is %v, want %v", key, r[key], v)
		}
	}
	if fmt.Sprint(r["secrets"], r["packages"], r["config"]) != "[KEY] [] map[]" {
		t.Errorf("secrets, packages, config: %v %v %v", r["secrets"], r["packages"], r["config"])
	}
	if _, ok := r["error"]; ok {
		t.Error("a ready function has an error")
	}

	// Without wait the answer comes at once, and the old version serves.
	r = f.must(200, "PUT", paid, `{"code":"2"}`).json(t)
	if r["version"] != 2.0 || r["status"] != "building" || r["active"] != 1.0 {
		t.Errorf("at once: %v", r)
	}
	// Waiting ends with the wait when the version does not settle.
	began := time.Now()
	r = f.must(200, "PUT", paid+"?wait=100ms", `{"code":"SLOW"}`).json(t)
	if r["version"] != 3.0 || r["status"] != "building" || time.Since(began) < 100*time.Millisecond {
		t.Errorf("slow: %v after %v", r, time.Since(began))
	}
	r = f.must(200, "PUT", paid+"?wait=10s", `{"code":"BROKEN"}`).json(t)
	failure, _ := r["error"].(map[string]any)
	if r["version"] != 4.0 || r["status"] != "failed" || r["active"] != 1.0 || failure["reason"] != "syntax" || failure["message"] == "" || r["model"] != nil {
		t.Errorf("broken: %v", r)
	}
	// A function that never worked is created all the same.
	r = f.must(201, "PUT", billing+"/functions/new?wait=10s", `{"code":"BROKEN"}`).json(t)
	if r["active"] != nil || r["status"] != "failed" || fmt.Sprint(r["secrets"]) != "[]" {
		t.Errorf("new and broken: %v", r)
	}
	// The same document makes no new version.
	f.must(200, "PUT", paid+"?wait=10s", `{"code":"5"}`)
	if r = f.must(200, "PUT", paid, `{"code":"5"}`).json(t); r["version"] != 5.0 || r["status"] != "ready" {
		t.Errorf("the same again: %v", r)
	}
	f.must(409, "POST", paid+"/rollback", `{"version":4}`)
	if r = f.must(200, "POST", paid+"/rollback", `{"version":1}`).json(t); r["active"] != 1.0 || r["version"] != 5.0 {
		t.Errorf("rolled back: %v", r)
	}
	versions := f.must(200, "GET", paid+"/versions?limit=2", "").json(t)
	if items := versions["items"].([]any); len(items) != 2 || items[0].(map[string]any)["version"] != 5.0 || versions["next"] == "" {
		t.Errorf("versions: %v", versions)
	}
}

func TestSecretsAreMergedAndNeverShown(t *testing.T) {
	t.Parallel()
	const canary = "canary-secret"
	f := newFixture(t)
	f.furnish()
	var all strings.Builder
	say := func(r reply) reply {
		all.Write(r.body)
		fmt.Fprint(&all, r.header)
		return r
	}
	say(f.must(200, "PUT", paid, `{"code":"1","secrets":{"B":"`+canary+`"}}`))
	say(f.must(201, "PUT", paid+"/secrets/C", `{"value":"`+canary+`"}`))
	say(f.must(200, "PUT", paid+"/secrets/C", `{"value":"`+canary+`2"}`))
	if r := say(f.must(200, "PUT", paid, `{"code":"1","secrets":{"B":null}}`)).json(t); fmt.Sprint(r["secrets"]) != "[C KEY]" {
		t.Errorf("secrets %v", r["secrets"])
	}
	say(f.must(422, "PUT", paid, `{"code":"1","secrets":{"A B":"`+canary+`"}}`))
	say(f.must(422, "PUT", paid, `{"code":"1","secrets":{"A":["`+canary+`"]}}`))
	say(f.must(400, "PUT", paid, `{"code":"1","secrets":{"A":"`+canary))
	say(f.must(422, "PUT", paid+"/secrets/D", `{"value":"`+canary+`","x":1}`))
	say(f.must(200, "GET", paid+"/secrets", ""))
	say(f.must(200, "GET", paid, ""))
	say(f.must(200, "GET", paid+"/versions", ""))
	say(f.must(200, "GET", billing+"/functions", ""))
	f.must(204, "DELETE", paid+"/secrets/C", "")
	f.must(404, "DELETE", paid+"/secrets/C", "")
	values, _, err := f.store.SecretValues(t.Context(), "acme", "billing", "paid")
	if err != nil || len(values) != 1 || values["KEY"] != canary {
		t.Errorf("values %v, %v", len(values), err)
	}
	if strings.Contains(all.String(), canary) {
		t.Error("an answer holds a secret")
	}
	if said := f.said.String(); strings.Contains(said, canary) || strings.Contains(said, token) {
		t.Error("the log holds a secret")
	}
}

func TestETagsGuardWrites(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.furnish()
	for _, target := range []string{acme, billing, paid} {
		body := map[string]string{acme: `{"limits":{"cpus":3}}`, billing: `{"limits":{"cpus":2}}`, paid: `{"code":"2"}`}[target]
		old := f.must(200, "GET", target, "").header.Get("ETag")
		wrote := f.must(200, "PUT", target, body, "If-Match: "+old).header.Get("ETag")
		if old == "" || wrote == "" || wrote == old {
			t.Errorf("%s: ETags %q, %q", target, old, wrote)
		}
		f.must(412, "PUT", target, body, "If-Match: "+old)
		f.must(200, "PUT", target, body, `If-Match: "other", `+wrote)
		f.must(412, "DELETE", target, "", "If-Match: "+old)
	}
	f.must(201, "PUT", billing+"/functions/new", `{"code":"1"}`, "If-None-Match: *")
	// An object made again is another one.
	tag := f.must(201, "PUT", "/v1/tenants/again", `{}`).header.Get("ETag")
	f.must(204, "DELETE", "/v1/tenants/again", "")
	f.must(201, "PUT", "/v1/tenants/again", `{}`)
	f.must(412, "PUT", "/v1/tenants/again", `{}`, "If-Match: "+tag)
	f.must(204, "DELETE", acme+"?recursive=true", "")
	f.must(404, "GET", paid, "")
}

func TestWritesWithAnIdempotencyKeyAreMadeOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.furnish()
	const key = "Idempotency-Key: deploy-1"
	one := f.must(201, "PUT", billing+"/functions/once", `{"code":"1"}`, key)
	f.must(200, "PUT", billing+"/functions/once", `{"code":"2"}`)
	two := f.must(201, "PUT", billing+"/functions/once", `{"code":"1"}`, key)
	if string(one.body) != string(two.body) || one.header.Get("ETag") != two.header.Get("ETag") || two.header.Get("Content-Type") != "application/json" {
		t.Errorf("the same key: %s, %s", one.body, two.body)
	}
	if r := f.must(200, "GET", billing+"/functions/once", "").json(t); r["version"] != 2.0 {
		t.Errorf("the repetition made a version: %v", r["version"])
	}
	for name, r := range map[string]reply{
		"another body":   f.do("PUT", billing+"/functions/once", `{"code":"3"}`, key),
		"another path":   f.do("PUT", billing+"/functions/twice", `{"code":"1"}`, key),
		"another query":  f.do("PUT", billing+"/functions/once?wait=1s", `{"code":"1"}`, key),
		"another method": f.do("DELETE", billing+"/functions/once", "", key),
	} {
		p := r.problem(t)
		if p.Status != 422 || len(p.Errors) != 1 || p.Errors[0].Field != "header.Idempotency-Key" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	f.must(204, "DELETE", billing+"/functions/once", "", "Idempotency-Key: gone")
	f.must(204, "DELETE", billing+"/functions/once", "", "Idempotency-Key: gone")

	// What failed may be tried again under the same key.
	f.must(404, "PUT", "/v1/tenants/later/containers/c", `{}`, "Idempotency-Key: later")
	f.must(201, "PUT", "/v1/tenants/later", `{}`)
	f.must(201, "PUT", "/v1/tenants/later/containers/c", `{}`, "Idempotency-Key: later")

	// At the same time, one makes it and the others hear so or are told to wait.
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[int]int{}
	for range 20 {
		wg.Go(func() {
			r := f.do("PUT", billing+"/functions/race", `{"code":"1"}`, "Idempotency-Key: race")
			mu.Lock()
			got[r.status]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if got[201] < 1 || got[201]+got[409] != 20 {
		t.Errorf("statuses %v", got)
	}
}

func TestEffectiveLimits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.furnish()
	f.must(201, "PUT", "/v1/tenants/small/containers/c", `{}`)
	r := f.must(200, "GET", "/v1/tenants/small/containers/c", "").json(t)
	if got := fmt.Sprint(r["limits"]); got != "map[concurrency:64 cpus:0.5 max_instances:2 memory_mib:128 pids:128 tmp_mib:64]" {
		t.Errorf("limits %v", got)
	}
	f.must(201, "PUT", acme+"/containers/most", `{"isolation":"crun","egress":"none","limits":{"memory_mib":2048,"cpus":4,"pids":1024,"tmp_mib":1024,"max_instances":20,"concurrency":1000}}`)
	p := f.must(422, "PUT", acme+"/containers/more", `{"limits":{"memory_mib":2049}}`).problem(t)
	if p.Component != hearth.ComponentLimit || p.Reason != "tenant.memory_mib" || !strings.Contains(p.Detail, "operator can raise it") || !strings.Contains(p.Detail, "2048 MiB") {
		t.Errorf("problem %+v", p)
	}
	// Lowered later, the tenant's limits cut what its containers show and have.
	f.must(200, "PUT", acme, `{"limits":{"memory_mib":512}}`)
	r = f.must(200, "GET", acme+"/containers/most", "").json(t)
	if r["isolation"] != "crun" || r["egress"] != "none" || !strings.Contains(fmt.Sprint(r["limits"]), "memory_mib:512") {
		t.Errorf("container %v", r)
	}
}

func TestListsHavePages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 5 {
		f.must(201, "PUT", fmt.Sprintf("/v1/tenants/t%d", i), `{}`)
	}
	var names []string
	target := "/v1/tenants?limit=2"
	for pages := 0; ; pages++ {
		r := f.must(200, "GET", target, "").json(t)
		for _, item := range r["items"].([]any) {
			names = append(names, item.(map[string]any)["name"].(string))
		}
		if r["next"] == "" || pages > 5 {
			break
		}
		target = "/v1/tenants?limit=2&cursor=" + r["next"].(string)
	}
	if got := strings.Join(names, " "); got != "t0 t1 t2 t3 t4" {
		t.Errorf("names %s", got)
	}
	if r := f.must(200, "GET", "/v1/tenants/t0/containers", ""); !strings.Contains(string(r.body), `"items":[]`) {
		t.Errorf("empty list %s", r.body)
	}
	if r := f.must(200, "GET", "/v1/nodes", "").json(t); len(r["items"].([]any)) != 1 {
		t.Errorf("nodes %v", r)
	}
}

func TestEveryAnswerHasItsHeaders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ids := map[string]bool{}
	for _, r := range []reply{f.do("GET", "/v1/tenants", ""), f.do("GET", "/v1/nothing", ""), f.do("GET", "/openapi.json", ""), f.do("GET", "/docs", ""),
		f.do("PUT", acme, "{}"), f.do("DELETE", acme, ""), f.do("GET", "/v1/tenants", "", "Authorization:"), f.do("HEAD", "/v1/tenants", ""),
		f.do("GET", "/v1/tenants", "", "Hearth-Request-Id: mine")} {
		id := r.header.Get("Hearth-Request-Id")
		if len(id) != 26 || ids[id] {
			t.Errorf("request id %q", id)
		}
		ids[id] = true
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
			if got := r.header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if !strings.HasPrefix(r.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("policy %q", r.header.Get("Content-Security-Policy"))
		}
	}
	if got := strings.Join(f.do("POST", acme, "{}").header["Allow"], ","); got != "DELETE,GET,HEAD,PUT" {
		t.Errorf("Allow %q", got)
	}
}

func TestHostCheck(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.CheckHost = auth.Hosts() })
	f.must(200, "GET", "/v1/tenants", "")
	for _, target := range []string{"/v1/tenants", "/docs", "/openapi.json"} {
		if p := f.must(403, "GET", target, "", "Host: evil.example").problem(t); p.Code != hearth.CodeForbidden {
			t.Errorf("%s: %+v", target, p)
		}
	}
}

type broken struct{ Store }

func (broken) GetTenant(context.Context, string) (hearth.Tenant, error) { panic("secret of the house") }

func (broken) ListTenants(context.Context, string, int) ([]hearth.Tenant, string, error) {
	return nil, "", fmt.Errorf("secret of the disk")
}

func (broken) PutTenant(context.Context, hearth.Tenant, store.Precondition, ...store.RegistryChange) (hearth.Tenant, bool, error) {
	panic("secret of the house")
}

func TestFaultsOfOursAreBlandOutsideAndFullInTheLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Store = broken{c.Store} })
	for _, r := range []reply{f.do("GET", acme, ""), f.do("GET", "/v1/tenants", ""), f.do("PUT", acme, "{}", "Idempotency-Key: k"), f.do("PUT", acme, "{}", "Idempotency-Key: k")} {
		p := r.problem(t)
		if r.status != 500 || p.Component != hearth.ComponentPlatform || strings.Contains(string(r.body), "secret") {
			t.Errorf("%d %s", r.status, r.body)
		}
		if !strings.Contains(f.said.String(), p.Instance) {
			t.Errorf("the log lacks request %s", p.Instance)
		}
	}
	if said := f.said.String(); !strings.Contains(said, "secret of the house") || !strings.Contains(said, "secret of the disk") || !strings.Contains(said, "good_test.go") {
		t.Errorf("the log lacks causes or stack:\n%s", said)
	}
}

func TestSlowBodiesEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.api.idle = 50 * time.Millisecond
	r := f.raw("PUT", "PUT "+acme+" HTTP/1.1\r\nHost: "+f.addr+"\r\nAuthorization: Bearer "+token+"\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{")
	if p := r.problem(t); r.status != 408 || p.Code != hearth.CodeRequestTimeout {
		t.Errorf("%d %s", r.status, r.body)
	}
	// The bound is on idleness, and the connection serves on.
	conn, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 {
		fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n", acme, token)
		for _, c := range `{"limits":{}` {
			fmt.Fprint(conn, string(c))
			time.Sleep(5 * time.Millisecond)
		}
		buf := make([]byte, 4096)
		n, err := io.ReadAtLeast(conn, buf, 12)
		if err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 400") { // a brace is missing: the body was read to its end
			t.Fatalf("%v %q", err, buf[:n])
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func TestBombsCostLittle(t *testing.T) {
	f := newFixture(t) // alone: it measures memory
	f.must(201, "PUT", acme, `{}`)
	for name, body := range map[string]string{
		"brackets": strings.Repeat("[", 8<<20),
		"zeros":    "[" + strings.Repeat("0,", 4<<20) + "0]",
		"keys":     `{"config":{` + strings.Repeat(`"a":1,`, 1<<20) + `"b":1}}`,
		"spaces":   strings.Repeat(" ", 8<<20),
		"string":   `"` + strings.Repeat("a", 8<<20),
	} {
		began := time.Now()
		r := f.do("PUT", acme, body)
		if r.status != 400 && r.status != 422 {
			t.Errorf("%s: %d", name, r.status)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		doc := []byte(body)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = parseJSON(doc)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
			t.Errorf("%s: parsing allocates %d bytes", name, got)
		}
	}
}

// events reads server-sent events as they come.
func (f *fixture) follow(target string, header ...string) (*http.Response, func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	r, _ := http.NewRequestWithContext(ctx, "GET", "http://"+f.addr+target, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	for _, h := range header {
		name, v, _ := strings.Cut(h, ": ")
		r.Header.Set(name, v)
	}
	tr := &http.Transport{}
	res, err := tr.RoundTrip(r)
	if err != nil {
		f.t.Fatal(err)
	}
	return res, func() { cancel(); _ = res.Body.Close(); tr.CloseIdleConnections() }
}

// until reads from a stream until it holds want.
func until(t *testing.T, r io.Reader, want string) string {
	t.Helper()
	var got strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(got.String(), want) {
		n, err := r.Read(buf)
		got.Write(buf[:n])
		if err != nil && !strings.Contains(got.String(), want) {
			t.Fatalf("stream ends with %v before %q:\n%s", err, want, got.String())
		}
	}
	return got.String()
}

func TestLogsAreReadAndFollowed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.furnish()
	f.api.comment = 30 * time.Millisecond
	f.log.add("stdout", "one\nid: forged\n\nevent: forged")
	f.log.add("call", "200 in 1 ms")
	f.log.add("dropped", "3 lines")

	r := f.must(200, "GET", paid+"/logs?limit=2", "").json(t)
	if items := r["items"].([]any); len(items) != 2 || r["next"] != "c2" || items[0].(map[string]any)["text"] != "one\nid: forged\n\nevent: forged" {
		t.Errorf("items %v", r)
	}
	if r := f.must(200, "GET", paid+"/logs?since=c3", ""); !strings.Contains(string(r.body), `"items":[]`) || r.json(t)["next"] != "c3" {
		t.Errorf("at the end: %s", r.body)
	}

	res, stop := f.follow(paid + "/logs?follow=true")
	defer stop()
	if res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" || res.StatusCode != 200 {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	got := until(t, res.Body, "3 lines")
	for _, want := range []string{"id: c1\nevent: log\ndata: {", "id: c2\nevent: call\ndata: {", "id: c3\nevent: dropped\ndata: {"} {
		if !strings.Contains(got, want) {
			t.Errorf("stream lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "\nid: forged") || strings.Contains(got, "\nevent: forged") {
		t.Errorf("a line forged an event:\n%s", got)
	}
	until(t, res.Body, ": \n\n")
	f.log.add("stdout", "live")
	until(t, res.Body, `"text":"live"`)

	again, stopAgain := f.follow(paid+"/logs?follow=true&since=c1", "Last-Event-ID: c3")
	defer stopAgain()
	if got := until(t, again.Body, "live"); strings.Contains(got, "id: c2") || strings.Contains(got, "id: c3") {
		t.Errorf("Last-Event-ID was not believed:\n%s", got)
	}
	f.must(200, "HEAD", paid+"/logs?follow=true", "")

	f.log.remove()
	if rest, err := io.ReadAll(res.Body); err != nil {
		t.Errorf("the end of a log: %v, %q", err, rest)
	}
}

func TestFollowersAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.furnish()
	f.api.followers = make(chan struct{}, 1)
	res, stop := f.follow(paid + "/logs?follow=true")
	until(t, res.Body, ": hearth")
	r := f.must(503, "GET", paid+"/logs?follow=true", "")
	if p := r.problem(t); p.Component != hearth.ComponentLimit || r.header.Get("Retry-After") == "" {
		t.Errorf("problem %+v", p)
	}
	stop()
	for range 200 { // the place is free again soon after the client went
		if r = f.do("HEAD", paid+"/logs?follow=true", ""); r.status == 200 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("the place of a follower who went is not free: %d", r.status)
}
