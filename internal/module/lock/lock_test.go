package lock

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth"
	"hearth/internal/module/registry"
	"hearth/internal/module/registry/registrytest"
)

func on(kv ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i].(string)] = kv[i+1]
	}
	return m
}

// stock publishes what most tests resolve.
func stock(s *registrytest.Registry) {
	s.Publish("a", "1.0.0", nil, on("dependencies", deps("b@^1.0.0")))
	s.Publish("a", "1.1.0", nil, on("dependencies", deps("b@^1.0.0"), "scripts", on("install", "node-gyp rebuild")))
	s.Publish("a", "2.0.0", nil, on("dependencies", deps("b@^2.0.0")))
	s.Publish("b", "1.0.0", nil, nil)
	s.Publish("b", "1.2.0", nil, nil)
	s.Publish("b", "2.0.0", nil, nil)
	s.Publish("@s/c", "1.0.0", nil, on("dependencies", deps("b@1.0.0"), "optionalDependencies", deps("nowhere@1")))
	s.Publish("peer", "1.0.0", nil, on("peerDependencies", deps("b@^1")))
	s.Publish("d", "3.0.0-rc.1", nil, nil)
	s.Publish("d", "2.0.0", nil, nil)
	s.Tag("d", "next", "3.0.0-rc.1")
}

func TestResolvesAsNPM(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	stock(r.server)
	t.Run("range, nested version, scope, optional dependency that is not there", func(t *testing.T) {
		got := r.want(Request{Dependencies: deps("a@^1.0.0", "b@2", "@s/c@latest")}, "a 1.1.0", "b 2.0.0", "a/node_modules/b 1.2.0", "@s/c 1.0.0", "@s/c/node_modules/b 1.0.0")
		a := got["node_modules/a"]
		if !a.HasInstallScript || !strings.HasPrefix(a.Integrity, "sha512-") || a.Resolved != "" || got[""].Dependencies["a"] != "^1.0.0" {
			t.Errorf("a is %+v, root %+v", a, got[""])
		}
	})
	t.Run("alias", func(t *testing.T) {
		got := r.want(Request{Dependencies: deps("x@npm:@s/c@1", "a1@npm:a@1.0.0", "a@2")}, "x 1.0.0", "x/node_modules/b 1.0.0", "a1 1.0.0", "a1/node_modules/b 1.2.0", "a 2.0.0", "b 2.0.0")
		if got["node_modules/x"].Name != "@s/c" || got["node_modules/a1"].Name != "a" {
			t.Errorf("names %q, %q", got["node_modules/x"].Name, got["node_modules/a1"].Name)
		}
	})
	t.Run("override", func(t *testing.T) {
		r.want(Request{Dependencies: deps("a@1.0.0"), Overrides: json.RawMessage(`{"a":{"b":"2.0.0"}}`)}, "a 1.0.0", "b 2.0.0")
	})
	t.Run("tag, peer, optional of the manifest", func(t *testing.T) {
		got := r.want(Request{Dependencies: deps("d@next", "peer@*"), OptionalDependencies: deps("nowhere@^1", "a@2")}, "d 3.0.0-rc.1", "peer 1.0.0", "b 1.2.0", "a 2.0.0", "a/node_modules/b 2.0.0")
		if !got["node_modules/a"].Optional {
			t.Error("a is not optional")
		}
	})
	t.Run("only packuments were asked for", func(t *testing.T) {
		for _, what := range r.server.Asked() {
			if strings.Contains(what[1:], "@") {
				t.Errorf("asked for %s", what)
			}
		}
	})
}

func TestBundledDependenciesAreReadFromTheTarball(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.server.Publish("whole", "1.0.0", map[string]string{"node_modules/inner/package.json": `{"name":"inner","version":"9.9.9"}`},
		on("dependencies", deps("inner@*"), "bundleDependencies", []string{"inner"}))
	got := r.want(Request{Dependencies: deps("whole@1")}, "whole 1.0.0", "whole/node_modules/inner 9.9.9")
	if !got["node_modules/whole/node_modules/inner"].InBundle || r.server.Hits("whole@1.0.0") != 1 {
		t.Errorf("%+v after %d requests for the tarball", got, r.server.Hits("whole@1.0.0"))
	}
	t.Run("not when it was tampered with", func(t *testing.T) {
		r.server.On("whole@1.0.0", registrytest.FlipByte())
		_, _, err := r.resolve(Request{Dependencies: deps("whole@1")})
		var e *hearth.Error
		if !errors.As(err, &e) || e.Reason != "integrity" {
			t.Errorf("Resolve: %v, want reason integrity", err)
		}
	})
}

func TestSaysWhatNPMSays(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	stock(r.server)
	r.server.Publish("peer2", "1.0.0", nil, on("peerDependencies", deps("b@^2")))
	for name, c := range map[string]struct {
		req   Request
		code  string
		words []string
	}{
		"unknown package":     {Request{Dependencies: deps("nowhere@^1")}, "E404", []string{"Not Found - GET /nowhere", "nowhere@^1"}},
		"unknown below":       {Request{Dependencies: deps("@s/none@1")}, "E404", []string{"@s%2fnone"}},
		"no such version":     {Request{Dependencies: deps("a@^7")}, "ETARGET", []string{"No matching version found for a@^7"}},
		"no such tag":         {Request{Dependencies: deps("a@canary")}, "ETARGET", []string{"No matching version found for a@canary"}},
		"conflict of peers":   {Request{Dependencies: deps("peer@1", "peer2@1")}, "ERESOLVE", []string{"could not resolve", `peer b@"^2" from peer2@1.0.0`}},
		"conflict of version": {Request{Dependencies: deps("peer@1", "b@2")}, "ERESOLVE", []string{`peer b@"^1" from peer@1.0.0`}},
		"override of direct":  {Request{Dependencies: deps("a@1"), Overrides: json.RawMessage(`{"a":"2"}`)}, "EOVERRIDE", []string{"Override for a@1 conflicts with direct dependency"}},
	} {
		t.Run(name, func(t *testing.T) {
			sub := *r
			sub.t = t
			t.Log(sub.refused(c.req, c.code, c.words...))
		})
	}
}

func TestMinReleaseAge(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.server.Publish("a", "1.0.0", nil, on("dependencies", deps("b@^1")))
	r.server.Add(registrytest.Package{Name: "a", Version: "1.1.0", Time: time.Now().Add(-time.Hour), JSON: on("dependencies", deps("b@^1"))})
	r.server.Publish("b", "1.0.0", nil, nil)
	r.server.Add(registrytest.Package{Name: "b", Version: "1.0.1", Time: time.Now().Add(-time.Hour)})
	age := 72 * time.Hour
	r.want(Request{Dependencies: deps("a@^1")}, "a 1.1.0", "b 1.0.1")
	r.want(Request{Dependencies: deps("a@^1"), MinReleaseAge: age}, "a 1.0.0", "b 1.0.0")
	r.want(Request{Dependencies: deps("a@latest"), MinReleaseAge: age}, "a 1.0.0", "b 1.0.0")
	r.want(Request{Dependencies: deps("a@1.1.0"), MinReleaseAge: age}, "a 1.1.0", "b 1.0.0")
	r.want(Request{Dependencies: deps("x@npm:a@1.1.0"), MinReleaseAge: age}, "x 1.1.0", "b 1.0.0")
	r.want(Request{Dependencies: deps("a@1.0.0"), Overrides: json.RawMessage(`{"b":"1.0.1"}`), MinReleaseAge: age}, "a 1.0.0", "b 1.0.1")
	r.refused(Request{Dependencies: deps("a@^1.1"), MinReleaseAge: age}, "ETARGET", "1 versions of a are younger than 72h0m0s", "--min-release-age")
}

func TestPrivateScope(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	own := registrytest.New(t)
	own.Require("", "t0k")
	own.Publish("@acme/x", "1.0.0", nil, on("dependencies", deps("b@1")))
	r.server.Publish("@acme/x", "9.0.0", nil, nil)
	r.server.Publish("@acme/only-public", "1.0.0", nil, nil)
	r.server.Publish("b", "1.0.0", nil, nil)
	private, err := registry.ForTenant(r.o.Registries.Default, []registry.Scope{{Scope: "@acme", URL: own.URL(), Token: "t0k"}}, registry.Reach{Loopback: true}, registry.Options{Tenant: "t1"})
	if err != nil {
		t.Fatal(err)
	}
	defer private.Close()
	r.o.Registries = private
	r.want(Request{Dependencies: deps("@acme/x@*")}, "@acme/x 1.0.0", "b 1.0.0")
	r.refused(Request{Dependencies: deps("@acme/only-public@1")}, "E404", "only-public")
	if n := r.server.Hits("@acme/x") + r.server.Hits("@acme/only-public"); n != 0 {
		t.Errorf("the public registry was asked %d times for names of the scope", n)
	}
	if own.Hits("b") != 0 {
		t.Error("the scope's registry was asked for a public package")
	}
}

func TestRegistryAway(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	stock(r.server)
	r.server.CacheControl("no-cache")
	r.want(Request{Dependencies: deps("a@2")}, "a 2.0.0", "b 2.0.0")
	r.server.Close()
	if _, res, err := r.resolve(Request{Dependencies: deps("a@2")}); err != nil || !res.Stale {
		t.Errorf("Resolve of what is kept: %+v, %v, want it, stale", res, err)
	}
	_, _, err := r.resolve(Request{Dependencies: deps("d@2")})
	if hearth.CodeOf(err) != hearth.CodeUnavailable || !strings.Contains(err.Error(), "cannot be reached for d") {
		t.Errorf("Resolve of what is not: %v", err)
	}
}

func TestRegistryThatIsTooSlow(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.server.On("a", registrytest.Silent())
	patient, err := r.o.Registries.Default.With(registry.Options{Header: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer patient.Close()
	r.o.Registries = &registry.Registries{Default: patient}
	r.o.Time = 5 * time.Second
	_, _, err = r.resolve(Request{Dependencies: deps("a@1")})
	var e *hearth.Error
	if !errors.As(err, &e) || e.Reason != "lock_timeout" || e.Code != hearth.CodeUnavailable {
		t.Errorf("Resolve: %v", err)
	}
}

func TestRealPackages(t *testing.T) {
	t.Parallel()
	real, err := registry.Detect(t.Context(), registry.Sources{})
	if err != nil {
		t.Skip("no registry is configured: ", err)
	}
	defer real.Close()
	if _, err := real.Packument(t.Context(), "express", registry.Want{}); err != nil {
		t.Skip("the registry cannot be reached: ", err)
	}
	r := newRoom(t)
	r.o.Registries = &registry.Registries{Default: real}
	got, _, err := r.resolve(Request{Dependencies: deps("express@5.1.0", "react-dom@19.1.0")})
	if err != nil {
		t.Fatal(err)
	}
	if got["node_modules/express"].Version != "5.1.0" || got["node_modules/react"].Version == "" || len(got) < 60 {
		t.Errorf("%d packages, express %+v", len(got), got["node_modules/express"])
	}
	for at, e := range got {
		if at != "" && (e.Integrity == "" || e.Resolved != "") {
			t.Errorf("%s: %+v", at, e)
		}
	}
}

func TestUserLockIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	stock(r.server)
	req := Request{Dependencies: deps("a@^1.0.0", "x@npm:@s/c@1", "d@next"), OptionalDependencies: deps("nowhere@1")}
	_, made, err := r.resolve(req)
	if err != nil {
		t.Fatal(err)
	}
	r.o.Open = func(context.Context) (Sandbox, error) { return nil, errors.New("a sandbox was opened") }
	before := r.server.Hits("")
	req.Lock = made.Lock
	_, res, err := r.resolve(req)
	if err != nil || !res.Taken || string(res.Lock) != string(made.Lock) {
		t.Fatalf("Resolve with the lock: %v\n%s\nwant\n%s", err, res.Lock, made.Lock)
	}
	if r.server.Hits("") != before {
		t.Error("the registry was asked")
	}
	edit := func(old, new string) Request {
		t.Helper()
		out := req
		out.Lock = []byte(strings.Replace(string(made.Lock), old, new, 1))
		if string(out.Lock) == string(made.Lock) {
			t.Fatalf("%q is not in the lock", old)
		}
		return out
	}
	other := req
	other.Dependencies = deps("a@^2.0.0", "x@npm:@s/c@1", "d@next", "b2@1")
	r.refused(other, "EUSAGE", "Invalid: lock file's a@1.1.0 does not satisfy a@^2.0.0", "Missing: b2@1 from lock file", "run npm install")
	r.refused(edit(`"name":"@s/c"`, `"name":"evil"`), "EUSAGE", "lock file's evil@1.0.0 does not satisfy x@npm:@s/c@1")
	r.refused(edit(`"node_modules/a":{`, `"node_modules/a":{"link":true,`), "EUSAGE", "a@1.1.0")
	r.refused(edit(`"lockfileVersion":3`, `"lockfileVersion":4`), "ELOCKVERSION", "lockfileVersion 4")
	r.refused(edit(`"lockfileVersion":3`, `"LockfileVersion":3`), "EJSONPARSE", "no lockfileVersion")
	r.refused(edit(`"packages":{`, `"packages":[{`), "EJSONPARSE", "not the JSON")
	r.refused(edit(`"node_modules/a":{`, `"node_modules/q":null,"node_modules/a":{`), "EJSONPARSE", "is no object")
	t.Run("what stands in its root is the manifest's", func(t *testing.T) {
		evil := edit(`"packages":{"":{`, `"name":"n","dependencies":{"b":{"version":"6.6.6"}},"packages":{"":{"devDependencies":{"b":"6.6.6"},"scripts":{"install":"x"},`)
		_, res, err := r.resolve(evil)
		if err != nil || string(res.Lock) != string(made.Lock) {
			t.Errorf("Resolve: %v\n%s", err, res.Lock)
		}
	})
}

func TestUserLockOfVersion1IsRenewed(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	stock(r.server)
	v1 := `{"name":"old","lockfileVersion":1,"requires":true,"dependencies":{"a":{"version":"1.0.0","requires":{"b":"^1.0.0"}},"b":{"version":"1.0.0"}}}`
	r.want(Request{Dependencies: deps("a@^1.0.0"), Lock: []byte(v1)}, "a 1.0.0", "b 1.0.0")
}

func TestAnswersOfASandboxAreBelievedLittle(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		words  string
		code   string // of an *Error; "" for one of ours
	}{
		"ends":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "sandbox", ""},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<") }, "sandbox", ""},
		"no lock": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }, "sandbox", ""},
		"another's": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"lock":{"lockfileVersion":3,"packages":{"":{}}}}`)
		}, "Missing: a@1", ""},
		"another form": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"lock":{"lockfileVersion":9}}`)
		}, "lockfileVersion 9", ""},
		"500":           {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"message":"x"}`, 500) }, "sandbox", ""},
		"endless":       {func(w http.ResponseWriter, _ *http.Request) { endless(w, `{"lock":"`) }, "sandbox", ""},
		"endless words": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(422); endless(w, `{"message":"`) }, "sandbox", ""},
		"endless head":  {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 100<<10)) }, "sandbox", ""},
		"silent":        {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "did not settle the dependencies within 1s", ""},
		"no way": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(422)
			_, _ = io.WriteString(w, `{"code":"ECONNREFUSED","message":"x"}`)
		}, "the sandbox in which npm settles", ""},
		"colours": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(422)
			_, _ = io.WriteString(w, `{"code":"E<b>","message":"\u001b[31mred\u001b[0m at /work/lock/x"}`)
		}, "red at …", "EUNKNOWN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			r.o.Time = 10 * time.Second
			if name == "silent" {
				r.o.Time = time.Second
			}
			r.o.Open = func(context.Context) (Sandbox, error) {
				b := newBox(t)
				b.answer = c.answer
				return b, nil
			}
			_, _, err := r.resolve(Request{Dependencies: deps("a@1")})
			var own *Error
			if err == nil || !strings.Contains(err.Error(), c.words) || errors.As(err, &own) != (c.code != "") || own != nil && own.Code != c.code {
				t.Errorf("Resolve: %v, want the words %q, code %q", err, c.words, c.code)
			}
		})
	}
}

func endless(w io.Writer, begin string) {
	_, _ = io.WriteString(w, begin)
	for b := []byte(strings.Repeat("x", 64<<10)); ; {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

func TestCallerMayGo(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the node ends")
	r.o.Open = func(context.Context) (Sandbox, error) {
		b := newBox(t)
		b.answer = func(_ http.ResponseWriter, r *http.Request) { cancel(stop); <-r.Context().Done() }
		return b, nil
	}
	if _, err := Resolve(ctx, Request{Dependencies: deps("a@1")}, r.o); !errors.Is(err, stop) {
		t.Errorf("Resolve: %v, want the cause", err)
	}
}

// The box itself: what a test of the proxy rests on.
func TestBoxReachesOnlyTheProxy(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	server := registrytest.New(t)
	result := make(chan error, 1)
	b.jobs <- func() {
		c, err := net.DialTimeout("tcp", server.Host(), time.Second)
		if err == nil {
			c.Close()
		}
		result <- err
	}
	if err := <-result; err == nil {
		t.Error("the registry can be reached from inside")
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"\x1b[1mbold\x1b[22m\r\n\x1b]8;;http://x\x07link\x1b]8;;\x07":                    "bold\nlink",
		"npm error code X\nnpm error  404  'a@1' is not in this registry.":               "code X\n 404  'a@1' is not in this registry.",
		"one\n\n\n\ntwo\nFor a full report see:\n/root/.npm/_logs/x-eresolve-report.txt": "one\n\ntwo",
		"ENOENT /work/lock/node_modules/.x, open":                                        "ENOENT …, open",
		"a\u202eb\x00c\xff":                       "abc\uFFFD",
		"GET http://127.0.0.1:4873/x - not found": "GET /x - not found",
		"": "npm cannot settle these dependencies, and does not say why",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := clean(strings.Repeat("é", 100_000)); len(got) > longest+10 {
		t.Errorf("%d bytes are left", len(got))
	}
}

func FuzzLock(f *testing.F) {
	f.Add([]byte(`{"lockfileVersion":3,"packages":{"":{},"node_modules/a":{"version":"1.0.0"}}}`))
	f.Add([]byte(`{"lockfileVersion":2,"packages":{"node_modules/a":{"name":"a","version":"1.0.0-x","link":true}},"packages":{}}`))
	f.Add([]byte(`{"lockfileVersion":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		req := Request{Dependencies: deps("a@1"), Lock: text}
		lock, old, err := readUserLock(req)
		if err != nil || old {
			return
		}
		req.Lock = lock
		again, _, err := readUserLock(req)
		if err != nil || string(again) != string(lock) {
			t.Fatalf("what was written is read otherwise: %v\n%s\n%s", err, lock, again)
		}
	})
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[31mnpm error x\n/root/.npm/_logs/x")
	f.Fuzz(func(t *testing.T, words string) {
		got := clean(words)
		if got == "" || len(got) > longest+10 || strings.ContainsAny(got, "\x1b\x00\r") {
			t.Fatalf("clean(%q) = %q", words, got)
		}
	})
}
