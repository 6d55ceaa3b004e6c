package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/e2e/harness"
	"hearth/internal/module/registry/registrytest"
)

// using is a function that answers with what its package exports.
func using(name, spec string) M {
	return M{"dependencies": M{name: spec}, "code": fmt.Sprintf("module.exports = cb => cb(null, require(%q))", name)}
}

// begun puts a function without waiting.
func begun(t *testing.T, n *harness.Node, tenant, container, function string, body M) {
	t.Helper()
	if a := n.API("PUT", harness.FunctionPath(tenant, container, function), body); a.Status != 200 && a.Status != 201 && a.Status != 202 {
		t.Fatalf("put %s/%s/%s: %d %v %s", tenant, container, function, a.Status, a.Err, a.Body)
	}
}

// waitsFor waits until a deploy that is building says why it does not go on.
func waitsFor(t *testing.T, n *harness.Node, tenant, container, function string) string {
	t.Helper()
	var words string
	harness.WaitFor(t, function+" says why it waits", time.Minute, func() bool {
		got := n.API("GET", harness.FunctionPath(tenant, container, function), nil).JSON()
		if got["status"] != "building" {
			t.Fatalf("%s does not wait: %v", function, got)
		}
		progress, _ := got["progress"].(map[string]any)
		words, _ = progress["waiting"].(string)
		return words != ""
	})
	return words
}

// While the registry is away, deploys of packages that are known are ready as ever, for tenants that
// never had them too; calls go on, cold ones too; a deploy that needs the registry waits, says so, and
// is ready when it is back.
func TestR50_RegistryAway(t *testing.T) {
	r := registrytest.New(t)
	n := harness.StartWith(t, r, "--pool", "2")
	for _, name := range []string{"away-known", "away-new", "away-half"} {
		r.Publish(name, "1.0.0", nil, nil)
	}
	r.Publish("away-half", "2.0.0", nil, nil)
	n.Container("away", "a", nil)
	n.Container("away", "b", nil)
	n.Container("stranger", "c", nil)
	deployed(t, n, "away", "a", "known", using("away-known", "1"))
	deployed(t, n, "away", "a", "half", using("away-half", "2"))
	r.Close()

	for _, where := range [][2]string{{"away", "b"}, {"stranger", "c"}} {
		began := time.Now()
		deployed(t, n, where[0], where[1], "known", using("away-known", "1"))
		t.Logf("registry away: %s was ready after %s", where[0], time.Since(began).Round(time.Millisecond))
		if a := n.Call(where[0], where[1], "known"); a.Text() != "away-known@1.0.0" || a.Header.Get("hearth-start") != "cold-local" {
			t.Errorf("call of %s: %d %q %s", where[0], a.Status, a.Header.Get("hearth-start"), a.Body)
		}
	}
	if a := n.Call("away", "a", "known"); a.Text() != "away-known@1.0.0" {
		t.Errorf("call of what was there: %d %s", a.Status, a.Body)
	}
	begun(t, n, "away", "a", "new", using("away-new", "1"))    // nobody knows its versions
	begun(t, n, "away", "a", "older", using("away-half", "1")) // its versions are known, its archive is not
	for _, f := range []string{"new", "older"} {
		words := waitsFor(t, n, "away", "a", f)
		t.Logf("%s waits: %s", f, words)
		if !strings.Contains(words, "registry") {
			t.Errorf("%s waits for %q", f, words)
		}
	}
	r.Reopen()
	began := time.Now()
	for f, want := range map[string]string{"new": "away-new@1.0.0", "older": "away-half@1.0.0"} {
		if got := settles(t, n, "away", "a", f, 90*time.Second); got["status"] != "ready" {
			t.Errorf("%s, with the registry back: %v", f, got)
		} else if a := n.Call("away", "a", f); a.Text() != want {
			t.Errorf("%s: %d %s", f, a.Status, a.Body)
		}
	}
	t.Logf("ready %s after the registry was back", time.Since(began).Round(time.Millisecond))
}

// A package that was unpublished goes on working, in new versions and new containers too.
func TestR51_Unpublished(t *testing.T) {
	t.Parallel()
	n, r := withRegistry(t)
	r.Publish("gone", "1.0.0", nil, nil)
	clean(n, "unpublished")
	n.Container("unpublished", "a", nil)
	n.Container("unpublished", "b", nil)
	deployed(t, n, "unpublished", "a", "f", using("gone", "1"))
	r.Unpublish("gone", "")
	deployed(t, n, "unpublished", "b", "f", using("gone", "1"))
	body := using("gone", "1")
	body["config"] = M{"version": 2}
	deployed(t, n, "unpublished", "a", "f", body)
	for _, c := range []string{"a", "b"} {
		if a := n.Call("unpublished", c, "f"); a.Text() != "gone@1.0.0" {
			t.Errorf("call in %s: %d %s", c, a.Status, a.Body)
		}
	}
	if hits := r.Hits("gone@1.0.0"); hits != 1 {
		t.Errorf("the archive was fetched %d times", hits)
	}
}

// A package whose install script ends its sandbox each time is given up with words, and holds up
// nobody: 20 others of the same tenant and of others are ready meanwhile.
func TestR52_PoisonedPackage(t *testing.T) {
	t.Parallel()
	n, r := withRegistry(t)
	r.Publish("poison", "1.0.0", nil, M{"scripts": M{"install": "kill -9 -1"}})
	clean(n, "poisoner")
	clean(n, "beside")
	n.Container("poisoner", "c", nil)
	n.Container("beside", "c", nil)
	began := time.Now()
	begun(t, n, "poisoner", "c", "poisoned", using("poison", "1"))
	tenants := []string{"poisoner", "beside"}
	for k := range 20 {
		name := fmt.Sprintf("healthy-%d", k)
		script := M{}
		if k < 4 {
			script = M{"scripts": M{"install": "true"}}
		}
		r.Publish(name, "1.0.0", nil, script)
		begun(t, n, tenants[k%2], "c", name, using(name, "1"))
	}
	for k := range 20 {
		name := fmt.Sprintf("healthy-%d", k)
		if got := settles(t, n, tenants[k%2], "c", name, 3*time.Minute); got["status"] != "ready" {
			t.Errorf("%s: %v", name, got)
		}
	}
	t.Logf("20 others were ready after %s", time.Since(began).Round(time.Millisecond))
	got := settles(t, n, "poisoner", "c", "poisoned", 3*time.Minute)
	t.Logf("the poisoned one %s after %s: %v", got["status"], time.Since(began).Round(time.Millisecond), got["error"])
	failure, _ := got["error"].(map[string]any)
	if words, _ := failure["message"].(string); got["status"] != "failed" || !strings.Contains(words, "poison@1.0.0: the build sandbox ended") {
		t.Errorf("the poisoned one: %v", got)
	}
}

// A function that is deleted while its package is built leaves no job, no sandbox and no half package,
// and the same package can be had afterwards.
func TestR57_DeleteWhileBuilding(t *testing.T) {
	r := registrytest.New(t)
	n := harness.StartWith(t, r, "--pool", "1")
	r.Publish("lengthy", "1.0.0", map[string]string{"index.js": "module.exports = require('./made.js')"},
		M{"scripts": M{"install": "sleep 4; echo 'module.exports = \"made\"' >made.js"}})
	n.Container("deleter", "c", nil)
	begun(t, n, "deleter", "c", "f", using("lengthy", "1"))
	harness.WaitFor(t, "the package is being built", time.Minute, func() bool { return contents(t, n, "lengthy")["building"] == 1 })
	if a := n.API("DELETE", "/v1/tenants/deleter?recursive=true", nil); a.Status != 204 {
		t.Fatalf("delete the tenant while its package is built: %d %s", a.Status, a.Body)
	}
	harness.WaitFor(t, "the job has ended", time.Minute, func() bool {
		c := contents(t, n, "lengthy")
		return c["building"] == 0 && c["queued"] == 0
	})
	t.Logf("contents after the deletion: %v", contents(t, n, "lengthy"))
	harness.WaitFor(t, "only the pool is left", time.Minute, func() bool { return len(n.Instances()) <= 2 }) // one of each runtime
	n.Container("deleter", "c", nil)
	deployed(t, n, "deleter", "c", "f", using("lengthy", "1"))
	if a := n.Call("deleter", "c", "f"); a.Text() != "made" {
		t.Errorf("call: %d %s", a.Status, a.Body)
	}
	if c := contents(t, n, "lengthy"); c["ready"] != 1 || len(c) != 1 {
		t.Errorf("contents: %v", c)
	}
}

// Whatever a registry does, no version is ready with other bytes than were published: it fails with
// words or waits; nothing hangs; and the next honest deploy works.
func TestHostileRegistry(t *testing.T) {
	r := registrytest.New(t)
	n := harness.StartWith(t, r, "--pool", "2")
	n.Container("warm", "c", nil)
	r.Publish("warm", "1.0.0", nil, nil)
	deployed(t, n, "warm", "c", "f", using("warm", "1")) // makes the image to build in
	inward := registrytest.Redirect("http://169.254.169.254/latest/meta-data")
	type lie struct {
		name    string
		mode    registrytest.Mode
		failed  bool // by itself; else it may be ready with the right bytes, or wait
		mute    bool // nothing is known against it for longer than this test takes
		tarball bool
	}
	var lies []lie
	for _, l := range []lie{
		{name: "flipped", mode: registrytest.FlipByte(), failed: true, tarball: true},
		{name: "truncated", mode: registrytest.Truncated(), tarball: true},
		{name: "short", mode: registrytest.Short(), tarball: true},
		{name: "endless", mode: registrytest.Endless(), tarball: true},
		{name: "inward", mode: inward, tarball: true},
		{name: "forbidden", mode: registrytest.Fail(http.StatusForbidden, -1), failed: true, tarball: true},
		{name: "overloaded", mode: registrytest.FailAfter(http.StatusTooManyRequests, 2, "1"), tarball: true},
		{name: "broken", mode: registrytest.Fail(http.StatusBadGateway, 2), tarball: true},
		{name: "slow", mode: registrytest.Slow(time.Millisecond), tarball: true},
		{name: "silent", mode: registrytest.Silent(), mute: true, tarball: true},
		{name: "flipped", mode: registrytest.FlipByte()},
		{name: "swapped", mode: registrytest.SwapManifest("warm", "1.0.0")},
		{name: "sums", mode: registrytest.WrongIntegrity(), failed: true},
		{name: "truncated", mode: registrytest.Truncated()},
		{name: "short", mode: registrytest.Short()},
		{name: "endless", mode: registrytest.Endless()},
		{name: "bomb", mode: registrytest.Bomb(1 << 30)},
		{name: "inward", mode: inward},
		{name: "huge", mode: registrytest.Huge(64 << 20)},
		{name: "long", mode: registrytest.LongValue(32 << 20)},
		{name: "deep", mode: registrytest.Deep(100_000)},
		{name: "twice", mode: registrytest.DuplicateKeys()},
		{name: "overloaded", mode: registrytest.FailAfter(http.StatusTooManyRequests, 2, "1")},
		{name: "broken", mode: registrytest.Fail(http.StatusServiceUnavailable, 2)},
	} {
		l.name = map[bool]string{true: "archive-", false: "versions-"}[l.tarball] + l.name
		lies = append(lies, l)
		r.Publish(l.name, "1.0.0", nil, nil)
		what := l.name
		if l.tarball {
			what += "@1.0.0"
		}
		r.On(what, l.mode)
		n.Container(l.name, "c", nil)
	}
	began := time.Now()
	var all sync.WaitGroup
	for _, l := range lies {
		all.Go(func() { begun(t, n, l.name, "c", "f", using(l.name, "1")) })
	}
	all.Wait()
	deadline := time.Now().Add(90 * time.Second)
	for _, l := range lies {
		var got map[string]any
		var words string
		harness.WaitFor(t, l.name+" has words", 3*time.Minute, func() bool {
			got = n.API("GET", harness.FunctionPath(l.name, "c", "f"), nil).JSON()
			failure, _ := got["error"].(map[string]any)
			words, _ = failure["message"].(string)
			if got["status"] == "building" {
				progress, _ := got["progress"].(map[string]any)
				words, _ = progress["waiting"].(string)
				return (words != "" || l.mute) && time.Now().After(deadline)
			}
			return true
		})
		t.Logf("%s: %s %q", l.name, got["status"], words)
		switch {
		case got["status"] == "ready":
			if a := n.Call(l.name, "c", "f"); l.failed || a.Text() != l.name+"@1.0.0" {
				t.Errorf("%s: ready, and answers %.80q", l.name, a.Body)
			}
		case !strings.Contains(words, l.name) && !l.mute || strings.Contains(words, "169.254"):
			t.Errorf("%s: %s with %q", l.name, got["status"], words)
		case l.failed && got["status"] != "failed":
			t.Errorf("%s: %v", l.name, got)
		}
	}
	t.Logf("judged after %s", time.Since(began).Round(time.Millisecond))
	for _, l := range lies { // honest from now on
		r.On(l.name, nil)
		r.On(l.name+"@1.0.0", nil)
		r.Publish(l.name, "1.0.1", nil, nil)
	}
	for _, l := range lies {
		all.Go(func() {
			body := using(l.name, "1.0.1")
			path := harness.FunctionPath(l.name, "c", "f")
			if a := n.API("PUT", path+"?refresh=true", body); a.Status >= 300 {
				t.Errorf("%s, honest: put: %d %s", l.name, a.Status, a.Body)
			}
		})
	}
	all.Wait()
	for _, l := range lies {
		if got := settles(t, n, l.name, "c", "f", 3*time.Minute); got["status"] != "ready" {
			t.Errorf("%s, honest: %v", l.name, got)
		} else if a := n.Call(l.name, "c", "f"); a.Text() != l.name+"@1.0.1" {
			t.Errorf("%s, honest: %d %.80q", l.name, a.Status, a.Body)
		}
	}
}
