package registry

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/internal/module/registry/registrytest"
)

func newProxy(t *testing.T, server *registrytest.Registry, o ProxyOptions) *Proxy {
	t.Helper()
	o.Registries = &Registries{Default: of(t, server, Options{Cache: newCache(t, 1<<20), Header: time.Second, Stall: time.Second})}
	o.Log = slog.New(slog.DiscardHandler)
	return NewProxy(o)
}

func get(p *Proxy, method, target string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(method, "http://127.0.0.1:4873/", nil)
	if u, err := url.ParseRequestURI(target); err == nil { // as net/http's server does
		req.URL = u
	}
	p.ServeHTTP(rec, req)
	return rec
}

func TestProxyServesWhatIsPublished(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	x := server.Publish("x", "1.0.0", nil, nil)
	y := server.Publish("@s/y", "2.0.0-rc.1", nil, nil)
	p := newProxy(t, server, ProxyOptions{})
	for _, target := range []string{"/@s%2fy", "/@s%2Fy", "/@s/y", "/%40s%2fy"} {
		rec := get(p, "GET", target)
		got := parse(t, rec.Body.Bytes())
		if rec.Code != 200 || got.Versions["2.0.0-rc.1"].Dist.Tarball != "http://127.0.0.1:4873/@s/y/-/y-2.0.0-rc.1.tgz" || strings.Contains(rec.Body.String(), server.Host()) {
			t.Errorf("GET %s: %d %s", target, rec.Code, rec.Body)
		}
	}
	for target, want := range map[string]registrytest.Published{"/x/-/x-1.0.0.tgz": x, "/@s/y/-/y-2.0.0-rc.1.tgz": y, "/@s%2fy/-/y-2.0.0-rc.1.tgz": y} {
		if rec := get(p, "GET", target); rec.Code != 200 || !bytes.Equal(rec.Body.Bytes(), want.Tarball) {
			t.Errorf("GET %s: %d, %d bytes", target, rec.Code, rec.Body.Len())
		}
	}
	if rec := get(p, "HEAD", "/x"); rec.Code != 200 || rec.Body.Len() != 0 || rec.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD: %d %v", rec.Code, rec.Header())
	}
	if p.Failure() != nil || p.Stale() || len(p.Hidden()) != 0 {
		t.Errorf("failure %v, stale %v, hidden %v", p.Failure(), p.Stale(), p.Hidden())
	}
}

func TestProxyServesNothingElse(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	server.Publish("x", "1.0.0", nil, nil)
	p := newProxy(t, server, ProxyOptions{})
	for request, want := range map[string]int{
		"POST /-/npm/v1/security/advisories/bulk": 405, "PUT /x": 405, "DELETE /x": 405, "POST /x": 405, "PUT /-/user/org.couchdb.user:x": 405, "CONNECT /x": 405, "OPTIONS /x": 405,
		"GET /": 404, "GET /-/v1/search?text=x": 404, "GET /-/whoami": 404, "GET /-/ping": 404, "GET /-/all": 404, "GET /x?write=true": 404, "GET /x/1.0.0": 404, "GET /x/latest": 404,
		"GET /..": 404, "GET /../x": 404, "GET /%2e%2e%2fx": 404, "GET /x%2f..%2fy": 404, "GET /x/-/../../y": 404, "GET //x": 404, "GET /x/": 404, "GET /@s": 404, "GET /@s/": 404, "GET /@s/x/y": 404,
		"GET /x/-/y-1.0.0.tgz": 404, "GET /x/-/x-1.0.0.zip": 404, "GET /x/-/x-1.tgz": 404, "GET /x/-/x-9.9.9.tgz": 404, "GET /x/-/x-1.0.0.tgz/-/x-1.0.0.tgz": 404, "GET /x/-/-/x-1.0.0.tgz": 404,
		"GET /x%00": 404, "GET /x%0a": 404, "GET /x%252f": 404, "GET /" + strings.Repeat("x", 300): 404, "GET /nowhere": 404, "GET /x%3fy": 404, "GET /http:%2f%2f169.254.169.254%2f": 404,
	} {
		method, target, _ := strings.Cut(request, " ")
		if rec := get(p, method, target); rec.Code != want {
			t.Errorf("%s: %d, want %d", request, rec.Code, want)
		}
	}
	if asked := server.Asked(); !slices.Equal(asked, []string{"nowhere", "x"}) {
		t.Errorf("the registry was asked for %v", asked)
	}
	if p.Failure() != nil {
		t.Errorf("failure %v", p.Failure())
	}
}

func TestProxyPassesNoHeaderOn(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	server.Publish("x", "1.0.0", nil, nil)
	var seen http.Header
	server.On("x", func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
		seen = r.Header.Clone()
		honest(w, r)
	})
	p := newProxy(t, server, ProxyOptions{})
	req := httptest.NewRequest("GET", "/x", nil)
	for _, name := range []string{"Authorization", "Cookie", "X-Forwarded-For", "If-None-Match", "Npm-Session", "User-Agent", "Accept", "Range"} {
		req.Header.Set(name, "canary")
	}
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, req)
	if rec.Code != 200 || strings.Contains(fmt.Sprint(seen), "canary") || rec.Header().Get("Etag") != "" {
		t.Errorf("%d, the registry saw %v", rec.Code, seen)
	}
}

func TestProxyIsBounded(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	server.Publish("x", "1.0.0", nil, nil)
	p := newProxy(t, server, ProxyOptions{Requests: 2})
	for i, want := range []int{200, 200, 403, 403} {
		if rec := get(p, "GET", "/x"); rec.Code != want {
			t.Errorf("request %d: %d %s, want %d", i, rec.Code, rec.Body, want)
		}
	}
	p = newProxy(t, server, ProxyOptions{Bytes: 100})
	for i, want := range []int{200, 403} {
		if rec := get(p, "GET", "/x"); rec.Code != want {
			t.Errorf("request %d of many bytes: %d %s, want %d", i, rec.Code, rec.Body, want)
		}
	}
}

func TestProxySaysWhatItsRegistryDoes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		what   string
		mode   registrytest.Mode
		target string
		status int
		reason string
	}{
		"away":              {"x", registrytest.Fail(503, -1), "/x", 502, "registry_unreachable"},
		"denied":            {"x", registrytest.Fail(403, -1), "/x", 403, "registry_denied"},
		"gone":              {"x", registrytest.Fail(404, -1), "/x", 404, ""},
		"no packument":      {"x", registrytest.Short(), "/x", 502, "registry_unreachable"},
		"tampered tarball":  {"x@1.0.0", registrytest.FlipByte(), "/x/-/x-1.0.0.tgz", 502, "integrity"},
		"wrong integrity":   {"x", registrytest.WrongIntegrity(), "/x/-/x-1.0.0.tgz", 502, "integrity"},
		"truncated tarball": {"x@1.0.0", registrytest.Truncated(), "/x/-/x-1.0.0.tgz", 502, "registry_unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := registrytest.New(t)
			server.Publish("x", "1.0.0", nil, nil)
			server.On(c.what, c.mode)
			p := newProxy(t, server, ProxyOptions{})
			if rec := get(p, "GET", c.target); rec.Code != c.status {
				t.Errorf("%d %s, want %d", rec.Code, rec.Body, c.status)
			}
			if c.reason == "" && p.Failure() != nil {
				t.Errorf("failure %v", p.Failure())
			} else if c.reason != "" {
				wantReason(t, p.Failure(), c.reason)
			}
		})
	}
}

func TestProxyHidesYoungVersions(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	server.Publish("x", "1.0.0", nil, nil)
	server.Add(registrytest.Package{Name: "x", Version: "1.1.0", Time: time.Now().Add(-time.Hour)})
	server.Add(registrytest.Package{Name: "x", Version: "1.2.0", Time: time.Now().Add(-time.Hour)})
	server.Tag("x", "next", "1.2.0")
	server.Tag("x", "latest", "1.2.0")
	p := newProxy(t, server, ProxyOptions{MinAge: 24 * time.Hour, Exact: func(name, version string) bool { return name+version == "x1.1.0" }})
	got := parse(t, get(p, "GET", "/x").Body.Bytes())
	if len(got.Versions) != 2 || got.Tags["latest"] != "1.1.0" || got.Tags["next"] != "1.1.0" || p.Hidden()["x"] != 1 {
		t.Errorf("%+v, hidden %v", got, p.Hidden())
	}
	for version, want := range map[string]int{"1.0.0": 200, "1.1.0": 200, "1.2.0": 404} {
		if rec := get(p, "GET", "/x/-/x-"+version+".tgz"); rec.Code != want {
			t.Errorf("tarball of %s: %d, want %d", version, rec.Code, want)
		}
	}
}

func TestProxyNeedsToKnowTheAge(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	server.Publish("@s/x", "1.0.0", nil, nil)
	server.Publish("@s/x", "1.1.0", nil, nil)
	server.On("@s/x", registrytest.Body(func(b []byte) []byte { return bytes.Replace(b, []byte(`"time":{`), []byte(`"other":{`), 1) }))
	o := ProxyOptions{MinAge: time.Hour}
	p := newProxy(t, server, o)
	if rec := get(p, "GET", "/@s/x"); rec.Code != 502 || !strings.Contains(rec.Body.String(), "does not say when") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	wantReason(t, p.Failure(), "registry_answer")
	o.Exact = func(_, version string) bool { return version == "1.0.0" }
	if got := parse(t, get(newProxy(t, server, o), "GET", "/@s/x").Body.Bytes()); len(got.Versions) != 1 || got.Tags["latest"] != "1.0.0" {
		t.Errorf("with a version that is named: %+v", got)
	}
	o.Exact = nil
	own := newProxy(t, server, o)
	own.o.Registries = &Registries{Scopes: map[string]*Registry{"@s": own.o.Registries.Default}}
	if got := parse(t, get(own, "GET", "/@s/x").Body.Bytes()); len(got.Versions) != 2 {
		t.Errorf("at a tenant's own registry: %+v", got)
	}
}

// serve runs the proxy on a real listener; the returned function ends it and waits.
func serve(t *testing.T, p *Proxy) (address string, end func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), func() { cancel(); wg.Wait() }
}

func TestProxyEndsWithItsJob(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	asked := make(chan struct{})
	server.On("x", func(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { close(asked); <-r.Context().Done() })
	address, end := serve(t, newProxy(t, server, ProxyOptions{}))
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /x HTTP/1.1\r\nHost: y\r\n\r\n")
	<-asked
	end()
	if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
}

func TestProxyRefusesWhatIsNoRequest(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	server.Publish("x", "1.0.0", nil, nil)
	address, end := serve(t, newProxy(t, server, ProxyOptions{}))
	defer end()
	for request, want := range map[string]string{
		"GET /x HTTP/1.1\r\nHost: y\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n":                   "431",
		"GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n":          "404",
		"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\n\r\n":                        "405",
		"POST /-/npm/v1/security/audits HTTP/1.1\r\nHost: y\r\nContent-Length: 1000000000\r\n\r\n":       "405",
		"GET /x HTTP/1.1\r\nHost: evil.test\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n": "200",
		"nonsense\r\n\r\n": "400",
	} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, request)
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || !strings.Contains(line, want) {
			t.Errorf("%.60q: %q, %v, want %s", request, line, err, want)
		}
		c.Close()
	}
	if n := server.Hits(""); n != 1 {
		t.Errorf("the registry was asked %d times", n)
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"/x", "/@s%2fx", "/@s/x/-/x-1.0.0.tgz", "/x/-/x-1.0.0-a.b+c.tgz", "/-/npm/v1", "/%2e%2e/x", "/x/-/-/x-1.0.0.tgz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		name, version, ok := parsePath(path)
		if !ok {
			if name != "" || version != "" {
				t.Fatalf("parsePath(%q) = %q, %q with no", path, name, version)
			}
			return
		}
		if !ValidName(name) || strings.Contains(name, "..") && strings.HasPrefix(name, ".") || version != "" && !validVersion.MatchString(version) {
			t.Fatalf("parsePath(%q) = %q, %q", path, name, version)
		}
		want := "/" + name
		if version != "" {
			want = "/" + tarballPath(name, version)
		}
		if again, v, ok := parsePath(want); !ok || again != name || v != version {
			t.Fatalf("parsePath(%q) = %q, %q, but of %q %q, %q", path, name, version, want, again, v)
		}
	})
}
