package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth"
	"hearth/internal/module/registry/registrytest"
)

// quick is how patient the tests are.
var quick = Options{Header: 300 * time.Millisecond, Stall: 150 * time.Millisecond}

// within fails a test of something that hangs. It is far above what any case takes.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestHostilePackuments(t *testing.T) {
	t.Parallel()
	inner := registrytest.New(t)
	for name, c := range map[string]struct {
		mode   registrytest.Mode
		reason string // "" when it is served
		words  string
		hits   int
	}{
		"flipped byte":          {registrytest.Body(func(b []byte) []byte { return bytes.Replace(b, []byte(`"versions":{`), []byte(`"versions"{{`), 1) }), "registry_answer", "gives no usable answer for x", 1},
		"another's":             {registrytest.SwapManifest("y", "1.0.0"), "registry_answer", "none of the 1 versions", 1},
		"another version":       {registrytest.SwapManifest("x", "6.6.6"), "registry_answer", "none of the 1 versions", 1},
		"truncated":             {registrytest.Truncated(), "registry_unreachable", "try again", 3},
		"short":                 {registrytest.Short(), "registry_unreachable", "try again", 3},
		"slow":                  {registrytest.Slow(20 * time.Millisecond), "registry_unreachable", "no byte comes any more", 3},
		"silent":                {registrytest.Silent(), "registry_unreachable", "try again", 3},
		"endless":               {registrytest.Endless(), "registry_answer", "no usable answer", 1},
		"bomb":                  {registrytest.Bomb(mostPackument + 1<<20), "registry_answer", "one value is longer than 8 MiB", 1},
		"overloaded":            {registrytest.FailAfter(429, 2, "1"), "", "", 3},
		"overloaded for long":   {registrytest.FailAfter(429, -1, "7200"), "registry_unreachable", "try again", 1},
		"broken twice":          {registrytest.Fail(503, 2), "", "", 3},
		"broken":                {registrytest.Fail(500, -1), "registry_unreachable", "cannot be reached for x", 3},
		"forbidden":             {registrytest.Fail(403, -1), "registry_denied", "check the credentials", 1},
		"teapot":                {registrytest.Fail(418, -1), "registry_answer", "no usable answer", 1},
		"gone":                  {registrytest.Fail(404, -1), "package_missing", "does not have x", 1},
		"redirect to metadata":  {registrytest.Redirect("http://169.254.169.254/latest/meta-data"), "registry_answer", "redirected to another host", 1},
		"redirect to this host": {registrytest.Redirect(inner.URL() + "x"), "registry_answer", "redirected to another host", 1},
		"redirect to itself":    {registrytest.Redirect("/npm/x"), "registry_answer", "redirects", redirects + 1},
		"redirect to a file":    {registrytest.Redirect("file:///etc/passwd"), "registry_answer", "redirected to another host", 1},
		"huge":                  {registrytest.Huge(mostPackument + 1), "registry_answer", "more than", 1},
		"long value":            {registrytest.LongValue(mostValue + 1<<20), "registry_answer", "one value is longer than 8 MiB", 1},
		"large":                 {registrytest.Huge(large + 1<<20), "", "", 1},
		"deep":                  {registrytest.Deep(100_000), "registry_answer", "no usable answer", 1},
		"duplicate keys":        {registrytest.DuplicateKeys(), "", "", 1},
		"an array":              {registrytest.Body(func([]byte) []byte { return []byte(`[]`) }), "registry_answer", "where an object belongs", 1},
		"a page of HTML":        {registrytest.Body(func([]byte) []byte { return []byte(`<html>`) }), "registry_answer", "no usable answer", 1},
		"empty":                 {registrytest.Body(func([]byte) []byte { return nil }), "registry_unreachable", "try again", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := registrytest.New(t)
			p := server.Publish("x", "1.0.0", nil, nil)
			server.On("x", c.mode)
			o := quick
			if name == "huge" || name == "large" || name == "bomb" || name == "endless" || name == "long value" {
				o = Options{} // it takes the server a while to make them
			}
			doc, err := of(t, server, o).Packument(within(t), "x", Want{})
			if c.reason != "" {
				if e := wantReason(t, err, c.reason); !strings.Contains(e.Error(), c.words) {
					t.Errorf("%v, want the words %q", e, c.words)
				}
			} else if got := parse(t, doc.At("")); err != nil || len(got.Versions) != 1 || got.Versions["1.0.0"].Dist.Integrity != p.Integrity {
				t.Errorf("%+v, %v", got, err)
			}
			if n := server.Hits("x"); n != c.hits {
				t.Errorf("%d requests, want %d", n, c.hits)
			}
			if inner.Hits("") != 0 {
				t.Error("another host was asked")
			}
		})
	}
}

func TestHostileTarballs(t *testing.T) {
	t.Parallel()
	inner := registrytest.New(t)
	for name, c := range map[string]struct {
		mode   registrytest.Mode
		reason string
		words  string
		hits   int
	}{
		"flipped byte":          {registrytest.FlipByte(), "integrity", "nothing of it was used", 1},
		"truncated":             {registrytest.Truncated(), "registry_unreachable", "try again", 3},
		"short":                 {registrytest.Short(), "integrity", "another x@1.0.0 than", 1},
		"slow":                  {registrytest.Slow(20 * time.Millisecond), "registry_unreachable", "no byte comes any more", 3},
		"silent":                {registrytest.Silent(), "registry_unreachable", "try again", 3},
		"endless":               {registrytest.Endless(), "registry_answer", "longer than it may be", 1},
		"overloaded":            {registrytest.FailAfter(429, 1, "1"), "", "", 2},
		"broken twice":          {registrytest.Fail(500, 2), "", "", 3},
		"broken":                {registrytest.Fail(500, -1), "registry_unreachable", "cannot be reached for x@1.0.0", 3},
		"denied":                {registrytest.Fail(401, -1), "registry_denied", "check the credentials", 1},
		"not there":             {registrytest.Fail(404, -1), "package_missing", "does not have x@1.0.0", 1},
		"redirect to metadata":  {registrytest.Redirect("http://169.254.169.254/"), "registry_answer", "redirected to another host", 1},
		"redirect to this host": {registrytest.Redirect(inner.URL() + "x/-/x-1.0.0.tgz"), "registry_answer", "redirected to another host", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := registrytest.New(t)
			p := server.Publish("x", "1.0.0", nil, nil)
			server.On("x@1.0.0", c.mode)
			o := quick
			o.Spool = t.TempDir()
			if name == "endless" {
				o.Stall = 0 // the machine may be busy
			}
			r := of(t, server, o)
			r.most = 16 << 20
			got, err := r.Tarball(within(t), "x", "1.0.0", p.Integrity)
			if c.reason != "" {
				if e := wantReason(t, err, c.reason); !strings.Contains(e.Error(), c.words) {
					t.Errorf("%v, want the words %q", e, c.words)
				}
			} else if err != nil {
				t.Error(err)
			} else {
				got.Close()
			}
			if n := server.Hits("x@1.0.0"); n != c.hits {
				t.Errorf("%d requests, want %d", n, c.hits)
			}
			if inner.Hits("") != 0 {
				t.Error("another host was asked")
			}
		})
	}
}

func TestTarball(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	small := server.Publish("@s/small", "1.0.0-rc.1", nil, nil)
	large := server.Add(registrytest.Package{Name: "large", Version: "2.0.0", Tarball: bytes.Repeat([]byte("tarball "), inMemory/8+1)})
	spool := t.TempDir()
	r := of(t, server, Options{Spool: spool})
	for _, p := range []registrytest.Published{small, large} {
		got, err := r.Tarball(t.Context(), p.Name, p.Version, p.Integrity)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(got)
		if err != nil || !bytes.Equal(text, p.Tarball) || got.Size() != int64(len(p.Tarball)) {
			t.Errorf("%s: %d bytes, %v", p.Name, len(text), err)
		}
		if (got.file != nil) != (p.Name == "large") {
			t.Errorf("%s: in a file: %v", p.Name, got.file != nil)
		}
		if err := got.Close(); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(spool); err != nil || len(left) != 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
	if asked := server.Asked(); len(asked) != 2 {
		t.Errorf("asked for %v, want the two tarballs alone", asked)
	}
	for _, integrity := range []string{"", "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "sha512-abc"} {
		if _, err := r.Tarball(t.Context(), "large", "2.0.0", integrity); hearth.CodeOf(err) != hearth.CodeInvalid {
			t.Errorf("Tarball with integrity %q: %v", integrity, err)
		}
	}
}

func TestTarballElsewhereIsFoundByTheDocument(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	p := server.Publish("x", "1.0.0", nil, nil)
	// As some private registries have them: the version's document names a path of its own.
	server.On("x@1.0.0", registrytest.Fail(404, -1))
	server.Add(registrytest.Package{Name: "elsewhere", Version: "1.0.0", Tarball: p.Tarball})
	server.On("x/1.0.0", registrytest.Body(func(b []byte) []byte {
		return bytes.ReplaceAll(b, []byte("x/-/x-1.0.0.tgz"), []byte("elsewhere/-/elsewhere-1.0.0.tgz"))
	}))
	got, err := of(t, server, quick).Tarball(t.Context(), "x", "1.0.0", p.Integrity)
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
	server.On("x/1.0.0", registrytest.WrongIntegrity())
	_, err = of(t, server, quick).Tarball(t.Context(), "x", "1.0.0", p.Integrity)
	wantReason(t, err, "integrity")
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	x := server.Publish("x", "1.0.0", nil, nil)
	for header, least := range map[string]time.Duration{"": backoff / 2, "7": 7 * time.Second, "86400": mostWait, time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat): 28 * time.Second} {
		server.On("x@1.0.0", registrytest.FailAfter(429, 1, header))
		r := of(t, server, Options{})
		var waits []time.Duration
		r.wait = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
		got, err := r.Tarball(t.Context(), "x", "1.0.0", x.Integrity)
		if err != nil {
			t.Fatal(err)
		}
		got.Close()
		if len(waits) != 1 || waits[0] < least || waits[0] > mostWait {
			t.Errorf("Retry-After %q: waits %v, want %s", header, waits, least)
		}
	}
	t.Run("not beyond the caller's time", func(t *testing.T) {
		server.On("x@1.0.0", registrytest.FailAfter(429, -1, "30"))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := of(t, server, Options{}).Tarball(ctx, "x", "1.0.0", x.Integrity)
		if e := wantReason(t, err, "registry_unreachable"); e.RetryAfter != 30*time.Second || ctx.Err() != nil {
			t.Errorf("%v, retry after %s", e, e.RetryAfter)
		}
	})
}

func TestHooks(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	x := server.Publish("x", "1.0.0", nil, nil)
	var seen []string
	var read int64
	r := of(t, server, Options{Hooks: Hooks{Request: func(kind string, status int) { seen = append(seen, fmt.Sprint(kind, " ", status)) }, Bytes: func(n int64) { read += n }}})
	got, err := r.Tarball(t.Context(), "x", "1.0.0", x.Integrity)
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
	if read != int64(len(x.Tarball)) {
		t.Errorf("%d bytes, want %d", read, len(x.Tarball))
	}
	_, _ = r.Packument(t.Context(), "y", Want{})
	server.Close()
	_, _ = r.Packument(t.Context(), "x", Want{})
	if want := []string{"tarball 200", "packument 404", "packument 0", "packument 0", "packument 0"}; !slices.Equal(seen, want) {
		t.Errorf("requests %v, want %v", seen, want)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := registrytest.NewTLS(t)
	server.Publish("x", "1.0.0", nil, nil)
	_, err := of(t, server, quick).Packument(within(t), "x", Want{})
	if e := wantReason(t, err, "registry_unreachable"); !strings.Contains(e.Error(), "certificate") || server.Hits("") != 0 {
		t.Errorf("%v after %d requests, want a word about the certificate and no request", e, server.Hits(""))
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, server.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	src := sources(t, nil, map[string]string{".npmrc": "cafile=" + ca})
	src.Flag = server.URL()
	r, err := Detect(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Packument(within(t), "x", Want{}); err != nil {
		t.Error(err)
	}
}

func TestCredentialsStayBelowTheirPath(t *testing.T) {
	t.Parallel()
	server := registrytest.New(t)
	server.Require("", "t0k")
	p := server.Publish("x", "1.0.0", nil, nil)
	for rc, served := range map[string]bool{"/npm/": true, "/": true, "/other/": false} {
		base, err := url.Parse(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		r, err := connect(site{base: base, auth: "Bearer t0k", authPath: rc})
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Tarball(t.Context(), "x", "1.0.0", p.Integrity)
		if (err == nil) != served {
			t.Errorf("credentials of %s: %v", rc, err)
		}
		if err == nil {
			got.Close()
		}
		r.Close()
	}
	t.Run("a redirect leaves it", func(t *testing.T) {
		server.Require("", "")
		base, _ := url.Parse(server.URL() + "deep/")
		r, err := connect(site{base: base, auth: "Bearer t0k"})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		seen := "nobody came"
		server.On("deep/x", registrytest.Redirect("/npm/x"))
		server.On("x", func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
			seen = r.Header.Get("Authorization")
			honest(w, r)
		})
		if _, err := r.Packument(t.Context(), "x", Want{}); err != nil || seen != "" {
			t.Errorf("Authorization %q after a redirect, %v", seen, err)
		}
	})
}
