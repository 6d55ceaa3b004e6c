package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/e2e/harness"
)

// current is the time within which a change serves everywhere.
const current = time.Second

// describe answers which process, version, config and secret served.
const describe = `const id = Math.random(); module.exports = (ctx, cb) => cb(null, {id, mark: 'MARK', version: ctx.meta.version, config: ctx.config, secrets: ctx.secrets})`

func TestSecretChanges(t *testing.T) {
	t.Parallel()
	n := shared(t)
	n.DeployBody("secret", "c", "f", M{"code": describe, "config": M{"color": "red"}, "secrets": M{"KEY": "one", "OTHER": "kept"}})
	before := n.Call("secret", "c", "f").JSON()
	if got := fmt.Sprint(before["secrets"], before["config"]); got != "map[KEY:one OTHER:kept] map[color:red]" {
		t.Fatalf("got %s", got)
	}
	path := harness.FunctionPath("secret", "c", "f") + "/secrets/KEY"
	if a := n.API("PUT", path, M{"value": "two"}); a.Status >= 300 {
		t.Fatalf("put secret: %d %s", a.Status, a.Body)
	}
	changed := time.Now()
	var after M
	harness.WaitFor(t, "the new secret", current, func() bool {
		after = n.Call("secret", "c", "f").JSON()
		return fmt.Sprint(after["secrets"]) == "map[KEY:two OTHER:kept]"
	})
	t.Logf("the new value served %s after it was acknowledged", time.Since(changed))
	if after["id"] == before["id"] || after["version"] != before["version"] {
		t.Errorf("before %v, after %v: want another process, the same version", before, after)
	}
	if a := n.API("DELETE", path, nil); a.Status >= 300 {
		t.Fatalf("delete secret: %d %s", a.Status, a.Body)
	}
	harness.WaitFor(t, "the secret's end", current, func() bool {
		return fmt.Sprint(n.Call("secret", "c", "f").JSON()["secrets"]) == "map[OTHER:kept]"
	})
	// Values never come back, whoever asks.
	for _, p := range []string{"", "/secrets", "/versions"} {
		if a := n.API("GET", harness.FunctionPath("secret", "c", "f")+p, nil); a.Status != 200 || strings.Contains(a.Text(), "kept") {
			t.Errorf("GET %s: %d %s", p, a.Status, a.Body)
		}
	}
}

func TestVersionsAndRollback(t *testing.T) {
	t.Parallel()
	n := shared(t)
	clean(n, "rollback")
	for i := 1; i <= 3; i++ {
		n.Deploy("rollback", "c", "f", strings.ReplaceAll(describe, "MARK", fmt.Sprint("v", i)))
		if a := n.Call("rollback", "c", "f"); a.JSON()["mark"] != fmt.Sprint("v", i) || a.Header.Get("hearth-version") != fmt.Sprint(i) {
			t.Errorf("version %d: %d %s, header %s", i, a.Status, a.Body, a.Header.Get("hearth-version"))
		}
	}
	// One that fails changes nothing.
	if a := n.Put("rollback", "c", "f", M{"code": "module.exports = ("}); a.JSON()["status"] != "failed" {
		t.Errorf("syntax error: %d %s", a.Status, a.Body)
	}
	if a := n.Call("rollback", "c", "f"); a.JSON()["mark"] != "v3" {
		t.Errorf("after the failed version: %s", a.Body)
	}
	if a := n.API("POST", harness.FunctionPath("rollback", "c", "f")+"/rollback", M{"version": 4}); a.Status != 409 {
		t.Errorf("rollback to a failed version: %d %s", a.Status, a.Body)
	}
	if a := n.API("POST", harness.FunctionPath("rollback", "c", "f")+"/rollback", M{"version": 1}); a.Status != 200 {
		t.Fatalf("rollback: %d %s", a.Status, a.Body)
	}
	harness.WaitFor(t, "version 1", current, func() bool { return n.Call("rollback", "c", "f").JSON()["mark"] == "v1" })
	for range 5 {
		if a := n.Call("rollback", "c", "f"); a.JSON()["mark"] != "v1" || a.JSON()["version"] != 1.0 {
			t.Errorf("after the rollback: %s", a.Body)
		}
	}
	// An identical document makes no new version.
	if a := n.Put("rollback", "c", "g", M{"code": counter}); a.JSON()["version"] != 1.0 {
		t.Errorf("first: %s", a.Body)
	}
	if a := n.Put("rollback", "c", "g", M{"code": counter}); a.JSON()["version"] != 1.0 || a.Status != 200 {
		t.Errorf("again: %d %s", a.Status, a.Body)
	}
}

// Deleted is gone everywhere within a second, and what is under way finishes.
func TestDelete(t *testing.T) {
	t.Parallel()
	n := shared(t)
	const slow = `module.exports = (ctx, cb) => ctx.query.ms ? setTimeout(() => cb(null, 'whole'), +ctx.query.ms) : cb(null, 'quick')`
	for name, path := range map[string]string{
		"function":  harness.FunctionPath("delete", "function", "f"),
		"container": "/v1/tenants/delete/containers/container?recursive=true",
		"tenant":    "/v1/tenants/delete-tenant?recursive=true",
	} {
		tenant, container := "delete", name
		if name == "tenant" {
			tenant = "delete-tenant"
		}
		n.Deploy(tenant, container, "f", slow)
		n.Call(tenant, container, "f")
		var under harness.Answer
		var wg sync.WaitGroup
		wg.Go(func() {
			under = n.Do(context.Background(), "GET", "/run/"+tenant+"/"+container+"/f?ms=600", nil)
		})
		time.Sleep(200 * time.Millisecond) // it is under way; less would only make the test weaker
		if a := n.API("DELETE", path, nil); a.Status != 204 {
			t.Fatalf("delete %s: %d %s", name, a.Status, a.Body)
		}
		var a harness.Answer
		harness.WaitFor(t, "404", current, func() bool { a = n.Call(tenant, container, "f"); return a.Status == 404 })
		unknown := n.Call("delete", "never", "was")
		for _, key := range []string{"title", "detail", "code", "component"} {
			if a.JSON()[key] != unknown.JSON()[key] {
				t.Errorf("%s: deleted says %s, never there says %s", name, a.Body, unknown.Body)
				break
			}
		}
		wg.Wait()
		if under.Text() != "whole" {
			t.Errorf("%s: the request under way got %d %v %s", name, under.Status, under.Err, under.Body)
		}
	}
}

// A request past its time gets 504, and the next call works, whatever the function does meanwhile.
func TestTimeout(t *testing.T) {
	t.Parallel()
	n := shared(t)
	for name, forever := range map[string]string{"waits": `return`, "spins": `for (;;);`} {
		n.DeployBody("timeout", name, "f", M{"timeout_ms": 400,
			"code": `let calls = 0; module.exports = (ctx, cb) => { if (ctx.query.forever) { ` + forever + ` } cb(null, {calls: ++calls}) }`})
		n.Call("timeout", name, "f")
		begun := time.Now()
		a := n.Do(t.Context(), "GET", "/run/timeout/"+name+"/f?forever=1", nil)
		took := time.Since(begun)
		if p := a.JSON(); a.Status != 504 || p["component"] != "code" || p["reason"] != "timeout" || p["instance"] != a.Header.Get("hearth-request-id") ||
			a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
		if took < 400*time.Millisecond || took > 3*time.Second {
			t.Errorf("%s: answered after %s", name, took)
		}
		if a := n.Call("timeout", name, "f"); a.Status != 200 || a.JSON()["calls"] != 1.0 {
			t.Errorf("%s: the next call got %d %s, want a fresh instance", name, a.Status, a.Body)
		}
	}
}

// {container}.{tenant}.{run-domain}/{function}/… is the same function.
func TestRunDomain(t *testing.T) {
	t.Parallel()
	n := shared(t)
	n.Deploy("domain", "c", "f", `module.exports = (ctx, req, res) => res.end(req.url + ' ' + ctx.meta.prefix)`)
	get := func(host, path string) harness.Answer {
		w := dial(t, n)
		w.send("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host)
		return w.answer("GET")
	}
	for _, c := range []struct {
		host, path string
		status     int
		body       string
	}{
		{"c.domain." + runDomain, "/f", 200, "/ /f"},
		{"c.domain." + runDomain, "/f/rest?q=1", 200, "/rest?q=1 /f"},
		{"C.Domain." + strings.ToUpper(runDomain) + ":8080", "/f?q", 200, "/?q /f"},
		{"c.domain." + runDomain, "/nobody", 404, ""},
		{"other.domain." + runDomain, "/f", 404, ""},
		{"x.c.domain." + runDomain, "/f", 404, ""},
		{"c.domain." + runDomain, "/v1/tenants", 404, ""},
		{"c.domain.elsewhere.test", "/f", 403, ""}, // against DNS rebinding: no host of ours
	} {
		a := get(c.host, c.path)
		if a.Status != c.status || c.status == 200 && a.Text() != c.body {
			t.Errorf("%s%s: %d %q, want %d %q", c.host, c.path, a.Status, a.Body, c.status, c.body)
		}
	}
}

// What an answer says of itself: cold once, warm from then on, a request id of its own each time.
func TestAnswersSayHowTheyStarted(t *testing.T) {
	t.Parallel()
	n := shared(t)
	clean(n, "start")
	n.Deploy("start", "c", "f", counter)
	seen := map[string]bool{}
	for i := range 4 {
		a := n.Call("start", "c", "f")
		want := "warm"
		if i == 0 {
			want = "cold-local"
		}
		id := a.Header.Get("hearth-request-id")
		if a.Status != http.StatusOK || a.Header.Get("hearth-start") != want || a.Header.Get("hearth-version") != "1" || id == "" || seen[id] {
			t.Errorf("call %d: %d %v", i, a.Status, a.Header)
		}
		seen[id] = true
	}
}
