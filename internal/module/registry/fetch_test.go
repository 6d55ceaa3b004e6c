package registry

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hearth"
)

// shop is a registry with one package, x@1.0.0, whose handlers a test may replace.
type shop struct {
	*httptest.Server
	tarball  []byte
	hits     atomic.Int32 // requests for the tarball
	document http.HandlerFunc
	file     http.HandlerFunc
	waits    []time.Duration
	reg      *Registry
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{tarball: bytes.Repeat([]byte("tar"), 100_000)}
	s.document = func(w http.ResponseWriter, _ *http.Request) { s.describe(w, s.URL+"/r/x/-/x-1.0.0.tgz", s.integrity()) }
	s.file = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(s.tarball) }
	mux := http.NewServeMux()
	mux.HandleFunc("/r/x/1.0.0", func(w http.ResponseWriter, r *http.Request) { s.document(w, r) })
	mux.HandleFunc("/r/x/-/x-1.0.0.tgz", func(w http.ResponseWriter, r *http.Request) { s.hits.Add(1); s.file(w, r) })
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	src := sources(t, nil, map[string]string{".npmrc": strings.TrimPrefix(s.URL, "http:") + "/:_authToken=t0k"})
	src.Flag = s.URL + "/r"
	reg, err := Detect(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reg.Close)
	reg.wait = func(ctx context.Context, d time.Duration) error { s.waits = append(s.waits, d); return ctx.Err() }
	s.reg = reg
	return s
}

func (s *shop) integrity() string {
	sum := sha512.Sum512(s.tarball)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func (s *shop) describe(w io.Writer, tarball, integrity string) {
	fmt.Fprintf(w, `{"name":"x","version":"1.0.0","dist":{"tarball":%q,"integrity":%q}}`, tarball, integrity)
}

func (s *shop) fetch(t *testing.T) ([]byte, error) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "tgz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("what a try before left"); err != nil {
		t.Fatal(err)
	}
	if err := s.reg.Fetch(t.Context(), "x", "1.0.0", "sha1-abc "+s.integrity()+"?opt", f, nil); err != nil {
		return nil, err
	}
	got, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return got, nil
}

func (s *shop) want(t *testing.T) {
	t.Helper()
	if got, err := s.fetch(t); err != nil || !bytes.Equal(got, s.tarball) {
		t.Fatalf("Fetch = %d bytes, %v, want the %d of the tarball", len(got), err, len(s.tarball))
	}
}

// fail asserts the reason of the error, and that nothing asked another host for anything.
func (s *shop) fail(t *testing.T, reason string) *hearth.Error {
	t.Helper()
	_, err := s.fetch(t)
	e, ok := err.(*hearth.Error)
	if !ok || e.Code != hearth.CodeUnavailable || e.Reason != reason {
		t.Fatalf("Fetch: %v, want reason %s", err, reason)
	}
	return e
}

func TestFetch(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.want(t)
	if s.hits.Load() != 1 {
		t.Errorf("%d requests for the tarball, want 1", s.hits.Load())
	}
}

func TestFetchReportsProgress(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "tgz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s.file = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(s.tarball)))
		_, _ = w.Write(s.tarball)
	}
	var done, total int64
	if err := s.reg.Fetch(t.Context(), "x", "1.0.0", s.integrity(), f, func(d, n int64) { done, total = d, n }); err != nil {
		t.Fatal(err)
	}
	if done != int64(len(s.tarball)) || total != done {
		t.Errorf("last progress %d of %d, want all of %d", done, total, len(s.tarball))
	}
}

func TestFetchFallsBackToTheDocumentOfAllVersions(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.document = http.NotFound
	s.Config.Handler.(*http.ServeMux).HandleFunc("/r/x", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "application/vnd.npm.install-v1+json" {
			t.Errorf("Accept %q", r.Header.Get("Accept"))
		}
		fmt.Fprint(w, `{"versions":{"1.0.0":`)
		s.describe(w, s.URL+"/r/x/-/x-1.0.0.tgz", s.integrity())
		fmt.Fprint(w, `}}`)
	})
	s.want(t)
}

func TestFetchSendsCredentialsOnlyHome(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another host was asked for %s with Authorization %q", r.URL, r.Header.Get("Authorization"))
	}))
	defer other.Close()
	document, file := s.document, s.file
	s.document = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t0k" {
			t.Errorf("document asked with Authorization %q", r.Header.Get("Authorization"))
		}
		document(w, r)
	}
	t.Run("tarball at another host is taken at home", func(t *testing.T) {
		s.document = func(w http.ResponseWriter, _ *http.Request) {
			s.describe(w, other.URL+"/x/-/x-1.0.0.tgz", s.integrity())
		}
		s.want(t)
	})
	t.Run("redirect of the document", func(t *testing.T) {
		s.document = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+"/a", http.StatusFound) }
		s.fail(t, "registry_answer")
	})
	s.document = document
	t.Run("redirect of the tarball", func(t *testing.T) {
		s.file = func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/a", http.StatusTemporaryRedirect)
		}
		s.fail(t, "registry_answer")
	})
	t.Run("redirect to the same host is followed, five times", func(t *testing.T) {
		var left atomic.Int32
		s.file = func(w http.ResponseWriter, r *http.Request) {
			if left.Add(-1) >= 0 {
				http.Redirect(w, r, s.URL+"/r/x/-/x-1.0.0.tgz", http.StatusFound)
				return
			}
			file(w, r)
		}
		left.Store(redirects)
		s.want(t)
		left.Store(redirects + 1)
		s.fail(t, "registry_answer")
	})
}

func TestFetchTriesAgain(t *testing.T) {
	t.Parallel()
	failFirst := func(s *shop, n int32, bad http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if s.hits.Load() <= n {
				bad(w, r)
				return
			}
			_, _ = w.Write(s.tarball)
		}
	}
	t.Run("after 429, no sooner than told", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.file = failFirst(s, 1, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		s.want(t)
		if len(s.waits) != 1 || s.waits[0] != 7*time.Second {
			t.Errorf("waits %v, want 7s", s.waits)
		}
	})
	t.Run("after half a tarball and a 503", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.file = failFirst(s, 2, func(w http.ResponseWriter, _ *http.Request) {
			if s.hits.Load() == 2 {
				w.Header().Set("Retry-After", time.Now().Add(24*time.Hour).UTC().Format(http.TimeFormat))
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(s.tarball)))
			_, _ = w.Write(s.tarball[:1000])
		})
		s.want(t)
		if len(s.waits) != 2 || s.waits[0] < backoff/2 || s.waits[0] > backoff || s.waits[1] != mostWait {
			t.Errorf("waits %v, want %v..%v and %v", s.waits, backoff/2, backoff, mostWait)
		}
	})
	t.Run("three times in all", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.file = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
		s.fail(t, "registry_unreachable")
		if s.hits.Load() != tries {
			t.Errorf("%d requests, want %d", s.hits.Load(), tries)
		}
	})
	t.Run("after a tarball that stalls", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.reg.stall = 50 * time.Millisecond
		s.file = failFirst(s, 1, func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(s.tarball[:1000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
		s.want(t)
	})
	t.Run("not when the context ends", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		ctx, cancel := context.WithCancel(t.Context())
		s.file = func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(s.tarball[:1000])
			w.(http.Flusher).Flush()
			cancel()
		}
		f, err := os.Create(filepath.Join(t.TempDir(), "tgz"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		err = s.reg.Fetch(ctx, "x", "1.0.0", s.integrity(), f, nil)
		if err == nil || hearth.CodeOf(err) != hearth.CodeInternal || len(s.waits) != 0 {
			t.Errorf("Fetch: %v after waits %v, want the context's error", err, s.waits)
		}
	})
}

func TestFetchRefuses(t *testing.T) {
	t.Parallel()
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
	}
	status := func(n int) http.HandlerFunc { return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) } }
	for _, c := range []struct {
		name     string
		document http.HandlerFunc
		file     http.HandlerFunc
		reason   string
	}{
		{"an unknown package", status(404), nil, "package_missing"},
		{"a missing tarball", nil, status(404), "package_missing"},
		{"a wrong token", status(401), nil, "registry_denied"},
		{"a page of HTML", text("<html>"), nil, "registry_answer"},
		{"another package's document", text(`{"name":"y","version":"1.0.0"}`), nil, "registry_answer"},
		{"another version's document", text(`{"name":"x","version":"1.0.1"}`), nil, "registry_answer"},
		{"a document without a tarball", text(`{"name":"x","version":"1.0.0"}`), nil, "registry_answer"},
		{"a document of another integrity", text(`{"name":"x","version":"1.0.0","dist":{"tarball":"/r/x/-/x-1.0.0.tgz","integrity":"sha512-` + strings.Repeat("A", 86) + `=="}}`), nil, "integrity"},
		{"another tarball", nil, text("another"), "integrity"},
		{"an endless document", func(w http.ResponseWriter, _ *http.Request) {
			for range mostVersion/1024 + 1 {
				_, _ = w.Write(bytes.Repeat([]byte(" "), 1024))
			}
		}, nil, "registry_answer"},
		{"a tarball that says it is too long", nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(MostTarball+1))
		}, "registry_answer"},
		{"no body at all", nil, status(204), "registry_answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			if c.document != nil {
				s.document = c.document
			}
			if c.file != nil {
				s.file = c.file
			}
			e := s.fail(t, c.reason)
			if len(s.waits) != 0 {
				t.Errorf("tried again after %v", s.waits)
			}
			if !strings.Contains(e.Message, "x@1.0.0") || !strings.Contains(e.Message, s.URL) {
				t.Errorf("message %q names neither package nor registry", e.Message)
			}
		})
	}
}

func TestFetchAsksNothingForBadNames(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, c := range [][2]string{{"", "1.0.0"}, {"..", "1.0.0"}, {"../x", "1.0.0"}, {"@a/../b", "1.0.0"}, {"a/b", "1.0.0"}, {"a b", "1.0.0"},
		{"a\n", "1.0.0"}, {".a", "1.0.0"}, {"@a%2fb", "1.0.0"}, {strings.Repeat("a", 215), "1.0.0"},
		{"x", ""}, {"x", "latest"}, {"x", "^1.0.0"}, {"x", "1.0"}, {"x", "1.0.0/../../y"}, {"x", "1.0.0?a"}, {"x", "1.0.0 || 2.0.0"}} {
		if err := s.reg.Fetch(t.Context(), c[0], c[1], s.integrity(), nil, nil); hearth.CodeOf(err) != hearth.CodeInvalid {
			t.Errorf("Fetch(%q, %q): %v, want invalid", c[0], c[1], err)
		}
	}
	for _, integrity := range []string{"", "sha1-abc", "sha512-", "sha512-AAAA", "md5-x sha256-y"} {
		if err := s.reg.Fetch(t.Context(), "x", "1.0.0", integrity, nil, nil); hearth.CodeOf(err) != hearth.CodeInvalid {
			t.Errorf("integrity %q: %v, want invalid", integrity, err)
		}
	}
}

func TestFetchFromTheConfiguredRegistry(t *testing.T) {
	t.Parallel()
	r, err := Detect(t.Context(), Sources{})
	if err != nil {
		t.Skip("this machine names no npm registry: ", err)
	}
	defer r.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), "tgz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const integrity = "sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng=="
	if err := r.Fetch(t.Context(), "is-number", "7.0.0", integrity, f, nil); err != nil {
		t.Fatal(err)
	}
	if n, _ := f.Seek(0, io.SeekEnd); n < 1000 || n > 20_000 {
		t.Errorf("is-number@7.0.0 has %d bytes", n)
	}
}
