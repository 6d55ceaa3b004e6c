package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth"
	"hearth/internal/module/registry/registrytest"
)

// of returns a client of a registry of the tests, which does not wait between tries.
func of(t *testing.T, server *registrytest.Registry, o Options) *Registry {
	t.Helper()
	base, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	r, err := connect(site{base: base, options: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	r.wait = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return r
}

func newCache(t *testing.T, most int64) *Cache {
	t.Helper()
	c, err := OpenCache(filepath.Join(t.TempDir(), "registry"), most)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// read is a packument as npm would read it.
type read struct {
	Name string            `json:"name"`
	Tags map[string]string `json:"dist-tags"`
	Time map[string]string `json:"time"`

	Versions map[string]struct {
		Name, Version string
		Dependencies  map[string]string
		Install       bool `json:"hasInstallScript"`
		Dist          struct{ Tarball, Integrity, Shasum string }
	} `json:"versions"`
}

func parse(t *testing.T, body []byte) read {
	t.Helper()
	var r read
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("packument: %v: %.200s", err, body)
	}
	return r
}

func wantReason(t *testing.T, err error, reason string) *hearth.Error {
	t.Helper()
	var e *hearth.Error
	if !errors.As(err, &e) || e.Reason != reason || e.Code != hearth.CodeUnavailable {
		t.Fatalf("error %v, want reason %s", err, reason)
	}
	return e
}

func TestPackumentIsReducedToWhatNPMNeeds(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	p := server.Publish("@s/x", "1.0.0", nil, map[string]any{"dependencies": map[string]string{"y": "^1"}, "scripts": map[string]string{"install": "make", "test": "x"}, "readme": "long"})
	for _, full := range []bool{false, true} {
		doc, err := of(t, server, Options{}).Packument(t.Context(), "@s/x", Want{Full: full})
		if err != nil {
			t.Fatal(err)
		}
		got := parse(t, doc.At("http://here/"))
		v := got.Versions["1.0.0"]
		if got.Name != "@s/x" || got.Tags["latest"] != "1.0.0" || v.Dependencies["y"] != "^1" || !v.Install || v.Dist.Integrity != p.Integrity || v.Dist.Shasum == "" {
			t.Errorf("packument %+v", got)
		}
		if v.Dist.Tarball != "http://here/@s/x/-/x-1.0.0.tgz" {
			t.Errorf("tarball %s", v.Dist.Tarball)
		}
		if (got.Time["1.0.0"] != "") != full || got.Time["created"] != "" {
			t.Errorf("full %v: times %v", full, got.Time)
		}
		if strings.Contains(string(doc.At("")), "readme") || strings.Contains(string(doc.At("")), "scripts") {
			t.Errorf("%s: more than is needed", doc.At(""))
		}
	}
}

func TestPackumentIsAskedForOnceWhileItIsFresh(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	server.Publish("x", "1.0.0", nil, nil)
	cache := newCache(t, 1<<20)
	var results []string
	r := of(t, server, Options{Cache: cache, Hooks: Hooks{Cache: func(s string) { results = append(results, s) }}})
	now := time.Now()
	r.now = func() time.Time { return now }
	ask := func(want Want) Document {
		t.Helper()
		doc, err := r.Packument(t.Context(), "x", want)
		if err != nil || len(parse(t, doc.At("")).Versions) == 0 {
			t.Fatalf("Packument: %v", err)
		}
		return doc
	}
	ask(Want{})
	now = now.Add(59 * time.Second)
	ask(Want{})
	now = now.Add(2 * time.Second)
	ask(Want{})           // asked, and not modified
	ask(Want{Since: now}) // the same moment is not before
	now = now.Add(time.Second)
	ask(Want{Since: now})
	server.Publish("x", "1.1.0", nil, nil)
	now = now.Add(time.Hour)
	if got := parse(t, ask(Want{}).At("")); got.Tags["latest"] != "1.1.0" {
		t.Errorf("tags %v after a new version", got.Tags)
	}
	if want := []string{"fetched", "fresh", "unchanged", "fresh", "unchanged", "fetched"}; !slices.Equal(results, want) {
		t.Errorf("results %v, want %v", results, want)
	}
	if server.Hits("x") != 4 {
		t.Errorf("%d requests, want 4", server.Hits("x"))
	}
}

func TestFreshness(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]struct {
		fresh time.Duration
		store bool
	}{
		"":                               {time.Minute, true},
		"public, max-age=300":            {5 * time.Minute, true},
		"max-age=99999999":               {time.Hour, true},
		"max-age=99999999999999999999":   {time.Minute, true},
		`Max-Age="5"`:                    {5 * time.Second, true},
		"no-cache":                       {0, true},
		"private, no-store, max-age=300": {0, false},
		"max-age=0":                      {0, true},
	} {
		fresh, store := freshness(http.Header{"Cache-Control": {header}}, time.Minute, time.Hour)
		if fresh != want.fresh || store != want.store {
			t.Errorf("freshness(%q) = %v, %v, want %v", header, fresh, store, want)
		}
	}
}

func TestPackumentIsStaleWhenTheRegistryIsAway(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]registrytest.Mode{
		"overloaded": registrytest.FailAfter(429, -1, "3600"), "broken": registrytest.Fail(502, -1), "silent": registrytest.Silent(), "truncated": registrytest.Truncated(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := registrytest.New(t)
			server.CacheControl("no-cache")
			server.Publish("x", "1.0.0", nil, nil)
			server.Publish("y", "1.0.0", nil, nil)
			r := of(t, server, Options{Cache: newCache(t, 1<<20), Header: 200 * time.Millisecond, Stall: 200 * time.Millisecond})
			for _, p := range []string{"x", "y"} {
				if doc, err := r.Packument(t.Context(), p, Want{}); err != nil || doc.Stale {
					t.Fatalf("Packument: stale %v, %v", doc.Stale, err)
				}
			}
			server.On("x", bad)
			doc, err := r.Packument(t.Context(), "x", Want{})
			if err != nil || !doc.Stale || parse(t, doc.At("")).Tags["latest"] != "1.0.0" {
				t.Fatalf("Packument while away: stale %v, %v", doc.Stale, err)
			}
			before := server.Hits("")
			if doc, err := r.Packument(t.Context(), "y", Want{}); err != nil || !doc.Stale || server.Hits("") != before {
				t.Errorf("what is kept of others: stale %v, %v, %d more requests; want it unasked", doc.Stale, err, server.Hits("")-before)
			}
			server.On("x", nil)
			r.away.Store(0)
			if doc, err := r.Packument(t.Context(), "x", Want{}); err != nil || doc.Stale {
				t.Errorf("Packument when it is back: stale %v, %v", doc.Stale, err)
			}
		})
	}
}

func TestPackumentThatWentIsNotKept(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	server.CacheControl("no-cache")
	server.Publish("x", "1.0.0", nil, nil)
	cache := newCache(t, 1<<20)
	r := of(t, server, Options{Cache: cache})
	if _, err := r.Packument(t.Context(), "x", Want{}); err != nil {
		t.Fatal(err)
	}
	server.Unpublish("x", "")
	_, err := r.Packument(t.Context(), "x", Want{})
	wantReason(t, err, "package_missing")
	if n, size := cache.Size(); n != 0 || size != 0 {
		t.Errorf("the cache still has %d entries, %d bytes", n, size)
	}
}

func TestPackumentIsAskedForOnceByManyAtOnce(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	server.Publish("x", "1.0.0", nil, nil)
	r := of(t, server, Options{Cache: newCache(t, 1<<20)})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := r.Packument(t.Context(), "x", Want{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if server.Hits("x") != 1 {
		t.Errorf("%d requests, want 1", server.Hits("x"))
	}
	if len(r.options.Cache.flight) != 0 {
		t.Errorf("%d flights are left", len(r.options.Cache.flight))
	}
}

func TestWhoWaitsForAPackumentMayGo(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	started := make(chan struct{})
	server.On("x", func(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { close(started); <-r.Context().Done() })
	r := of(t, server, Options{Cache: newCache(t, 1<<20)})
	first, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = r.Packument(first, "x", Want{}) })
	<-started
	second, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.Packument(second, "x", Want{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Packument of who waits: %v", err)
	}
	stop()
	wg.Wait()
}

func TestCacheKeepsTheMostRecentlyUsed(t *testing.T) {
	t.Parallel()
	c := newCache(t, 5000)
	body := make([]byte, 1200)
	for i := range 4 {
		if err := c.write(fmt.Sprintf("%064d", i), stored{Name: "x"}, body); err != nil {
			t.Fatal(err)
		}
		if s, _ := c.read(fmt.Sprintf("%064d", 0)); s == nil {
			t.Fatalf("the one in use went after %d", i)
		}
	}
	if s, _ := c.read(fmt.Sprintf("%064d", 1)); s != nil {
		t.Error("the least recently used one is still there")
	}
	if err := c.write(fmt.Sprintf("%064d", 9), stored{}, make([]byte, 6000)); err != nil {
		t.Fatal(err)
	}
	if _, size := c.Size(); size > 5000 || size == 0 {
		t.Errorf("%d bytes", size)
	}
	files, err := os.ReadDir(c.dir)
	if n, _ := c.Size(); err != nil || len(files) != n {
		t.Errorf("%d files, %d entries, %v", len(files), n, err)
	}
}

func TestCacheOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	server.Publish("x", "1.0.0", nil, nil)
	c := newCache(t, 1<<20)
	if _, err := of(t, server, Options{Cache: c}).Packument(t.Context(), "x", Want{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "new-123"), []byte("what a crash left"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := OpenCache(c.dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	r := of(t, server, Options{Cache: again})
	if _, err := r.Packument(t.Context(), "x", Want{}); err != nil || server.Hits("x") != 1 {
		t.Errorf("Packument: %v after %d requests, want 1", err, server.Hits("x"))
	}
	if _, err := os.Stat(filepath.Join(c.dir, "new-123")); !os.IsNotExist(err) {
		t.Errorf("what a crash left: %v", err)
	}
	t.Run("damaged", func(t *testing.T) {
		name := filepath.Join(c.dir, r.key("x", false))
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)-5] ^= 1
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if doc, err := r.Packument(t.Context(), "x", Want{}); err != nil || parse(t, doc.At("")).Tags["latest"] != "1.0.0" || server.Hits("x") != 2 {
			t.Errorf("Packument: %v after %d requests, want 2", err, server.Hits("x"))
		}
	})
}

func TestPackumentIsServedWithoutADisk(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	server.Publish("x", "1.0.0", nil, nil)
	c := newCache(t, 1<<20)
	if err := os.RemoveAll(c.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := of(t, server, Options{Cache: c}).Packument(t.Context(), "x", Want{}); err != nil {
		t.Error(err)
	}
}

func TestAge(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	manifest := func(deprecated bool) json.RawMessage {
		if deprecated {
			return json.RawMessage(`{"deprecated":"old"}`)
		}
		return json.RawMessage(`{}`)
	}
	p := &packument{tags: map[string]string{"latest": "2.0.0", "next": "3.0.0-rc.1", "old": "1.0.0", "one": "1.9.0", "lost": "0.1.0"},
		versions: map[string]json.RawMessage{}, times: map[string]time.Time{}}
	for version, days := range map[string]int{"0.1.0": 1, "1.0.0": 100, "1.9.0": 1, "1.5.0": 50, "1.6.0": 40, "2.0.0": 1, "2.0.0-beta.1": 30, "3.0.0-rc.1": 2, "1.9.9": 0} {
		p.versions[version] = manifest(version == "1.6.0")
		p.times[version] = now.AddDate(0, 0, -days)
	}
	delete(p.times, "1.9.9")
	gone := p.age(now.AddDate(0, 0, -3), false, func(version string) bool { return version == "1.9.0" })
	if gone != 4 || p.versions["1.9.9"] != nil || p.versions["1.9.0"] == nil {
		t.Errorf("%d versions went, %d are left", gone, len(p.versions))
	}
	for tag, want := range map[string]string{"latest": "1.9.0", "next": "2.0.0-beta.1", "old": "1.0.0", "one": "1.9.0", "lost": ""} {
		if p.tags[tag] != want {
			t.Errorf("tag %s is %q, want %q", tag, p.tags[tag], want)
		}
	}
	delete(p.versions, "1.9.0")
	p.tags = map[string]string{"latest": "2.0.0"}
	p.age(now.AddDate(0, 0, -3), false, func(string) bool { return false })
	if p.tags["latest"] != "1.5.0" {
		t.Errorf("latest is %q, want the newest that is not deprecated", p.tags["latest"])
	}
}

func FuzzPackument(f *testing.F) {
	f.Add([]byte(`{"name":"x","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"x","version":"1.0.0","dist":{"tarball":"http://a/b","integrity":"sha512-a"}}},"time":{"1.0.0":"2020-01-01T00:00:00Z"}}`))
	f.Add([]byte(`{"name":"x","versions":null,"versions":{"1.0.0":{"dependencies":{"\"tarball\":\"http://placeholder.invalid/":"1"}}}}`))
	f.Add([]byte(`{"name":"x","dist-tags":[]}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := readPackument(strings.NewReader(string(text)), "x")
		if err != nil {
			return
		}
		doc := Document{body: p.encode()}
		var out struct {
			Name     string
			Tags     map[string]string                                  `json:"dist-tags"`
			Versions map[string]struct{ Dist struct{ Tarball string } } `json:"versions"`
		}
		if err := json.Unmarshal(doc.At("http://127.0.0.1:4873/"), &out); err != nil || out.Name != "x" {
			t.Fatalf("At: %v", err)
		}
		for version, v := range out.Versions {
			if v.Dist.Tarball != "http://127.0.0.1:4873/x/-/x-"+version+".tgz" {
				t.Fatalf("tarball of %q is %q", version, v.Dist.Tarball)
			}
		}
		for tag, version := range out.Tags {
			if _, ok := out.Versions[version]; !ok {
				t.Fatalf("tag %q points at %q, which is not there", tag, version)
			}
		}
		again, err := doc.decode()
		if err != nil {
			t.Fatal(err)
		}
		again.age(time.Now(), false, func(string) bool { return false })
		for tag, version := range again.tags {
			if again.versions[version] == nil {
				t.Fatalf("aged tag %q points at %q, which is not there", tag, version)
			}
		}
	})
}
