package registry

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"hearth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sources is a machine whose npm configuration is the given files and environment.
func sources(t *testing.T, env map[string]string, files map[string]string) Sources {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Sources{
		Env:    func(name string) string { return strings.ReplaceAll(env[name], "DIR", dir) },
		Home:   dir,
		Global: []string{filepath.Join(dir, "global")},
		NPM: func(context.Context) (string, error) {
			if v, ok := files["npm"]; ok {
				return v, nil
			}
			return "", errors.New("npm is not installed")
		},
	}
}

func TestDetectTakesTheFirstThatNamesOne(t *testing.T) {
	t.Parallel()
	all := map[string]string{".npmrc": "registry=https://user.test", "global": "registry=https://global.test", "npm": "https://npm.test/"}
	cases := []struct {
		name, flag string
		env, files map[string]string
		want       string
	}{
		{"flag", "https://flag.test/p", map[string]string{"NPM_CONFIG_REGISTRY": "https://env.test"}, all, "https://flag.test/p/"},
		{"environment", "", map[string]string{"NPM_CONFIG_REGISTRY": "https://env.test"}, all, "https://env.test/"},
		{"environment in small letters", "", map[string]string{"npm_config_registry": "http://env.test:81/x//"}, all, "http://env.test:81/x/"},
		{"user's npmrc", "", nil, all, "https://user.test/"},
		{"another user's npmrc", "", map[string]string{"NPM_CONFIG_USERCONFIG": "DIR/global"}, all, "https://global.test/"},
		{"global npmrc", "", nil, map[string]string{".npmrc": "fund=false", "global": all["global"], "npm": all["npm"]}, "https://global.test/"},
		{"npm", "", nil, map[string]string{"npm": all["npm"]}, "https://npm.test/"},
		{"expanded", "", map[string]string{"HOST": "h.test"}, map[string]string{".npmrc": "registry = \"https://${HOST}/\""}, "https://h.test/"},
	}
	for _, c := range cases {
		s := sources(t, c.env, c.files)
		s.Flag = c.flag
		r, err := Detect(t.Context(), s)
		if err != nil || r.URL() != c.want {
			t.Errorf("%s: Detect = %v, %v, want %s", c.name, r, err, c.want)
		} else if r.Source == "" {
			t.Errorf("%s: no source", c.name)
		}
	}
}

func TestDetectSaysHowToNameARegistry(t *testing.T) {
	t.Parallel()
	_, err := Detect(t.Context(), sources(t, nil, nil))
	if hearth.CodeOf(err) != hearth.CodeUnavailable || !strings.Contains(err.Error(), "--npm-registry") {
		t.Errorf("Detect without a registry: %v", err)
	}
	for _, bad := range []string{"ftp://x.test/", "x.test", "https://", "https://x.test/?a=b", "https://u:geheim@x.test/#f", "https://u:geheim@x.test:port/", "${UNSET}"} {
		s := sources(t, nil, nil)
		s.Flag = bad
		_, err := Detect(t.Context(), s)
		if hearth.CodeOf(err) != hearth.CodeInvalid || strings.Contains(err.Error(), "geheim") {
			t.Errorf("Detect(%q): %v, want an invalid URL and no password in it", bad, err)
		}
	}
}

func TestDetectReportsWhatItMayNotRead(t *testing.T) {
	s := sources(t, nil, map[string]string{".npmrc": "registry=https://x.test", "npm": "https://npm.test"})
	if err := os.Chmod(filepath.Join(s.Home, ".npmrc"), 0); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // root may read everything, but not a thread of its with another user's file rights
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := os.Chmod(filepath.Dir(s.Home), 0o755); err != nil {
			t.Fatal(err)
		}
		_ = unix.Setfsuid(64645)
		defer func() { _ = unix.Setfsuid(0) }()
	}
	r, err := Detect(t.Context(), s)
	if err != nil || len(r.Skipped) != 1 || r.URL() != "https://npm.test/" {
		t.Fatalf("Detect = %+v, %v", r, err)
	}
}

func TestCredentialsBelongToAHostAndPath(t *testing.T) {
	t.Parallel()
	rc := strings.Join([]string{
		"_authToken=everywhere", // without a host: old, unsafe, ignored
		"//a.test/:_authToken=root",
		"//a.test/npm/:_authToken = ${TOKEN} ; of the team",
		"//a.test:8443/:_auth=dTpw",
		"//b.test/:username=u",
		"//b.test/:_password=cA==",
	}, "\n")
	for base, want := range map[string]string{
		"https://a.test/":               "Bearer root",
		"https://a.test/other/":         "Bearer root",
		"https://a.test/npm/":           "Bearer t0k",
		"https://a.test/npm/x/":         "Bearer t0k",
		"https://a.test/npmx/":          "Bearer root",
		"https://a.test:8443/":          "Basic dTpw",
		"https://b.test/":               "Basic dTpw",
		"https://c.test/":               "",
		"https://sub.a.test/":           "",
		"https://me:p@c.test/":          "Basic bWU6cA==",
		"https://a.test.evil.test/npm/": "",
	} {
		s := sources(t, map[string]string{"TOKEN": "t0k"}, map[string]string{".npmrc": rc})
		s.Flag = base
		r, err := Detect(t.Context(), s)
		if err != nil || r.auth != want {
			t.Errorf("%s: auth %q, %v, want %q", base, r.auth, err, want)
		}
		if err == nil && strings.Contains(r.URL(), "@") {
			t.Errorf("%s: URL() = %s shows credentials", base, r.URL())
		}
	}
}

func TestRewriteStaysAtTheRegistry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ base, tarball, want string }{
		{"https://r.test/", "https://r.test/x/-/x-1.tgz", "https://r.test/x/-/x-1.tgz"},
		{"https://r.test/", "http://r.test/x/-/x-1.tgz", "https://r.test/x/-/x-1.tgz"},
		{"https://r.test/", "https://other.test/@s/x/-/x-1.tgz?a=b", "https://r.test/@s/x/-/x-1.tgz?a=b"},
		{"https://r.test/npm/", "https://other.test/@s%2fx/-/x-1.tgz", "https://r.test/npm/@s%2fx/-/x-1.tgz"},
		{"https://r.test/npm/", "http://inside:80/npm/x/-/x-1.tgz", "https://r.test/npm/x/-/x-1.tgz"},
		{"https://r.test/npm/", "https://u:p@r.test/files/x-1.tgz", "https://r.test/files/x-1.tgz"},
		{"https://r.test/npm/", "/x/-/x-1.tgz", "https://r.test/npm/x/-/x-1.tgz"},
		{"https://r.test/npm/", "https://other.test/../../x.tgz", ""},
		{"https://r.test/npm/", "https://other.test/a/%2e%2e/%2e%2e/x.tgz", ""},
		{"https://r.test/npm/", "file:x", ""},
		{"https://r.test/npm/", "", ""},
	} {
		base, _ := url.Parse(c.base)
		got, err := (&Registry{site: site{base: base}}).rewrite(c.tarball)
		if (err == nil) != (c.want != "") || err == nil && got.String() != c.want {
			t.Errorf("rewrite(%s, %s) = %v, %v, want %s", c.base, c.tarball, got, err, c.want)
		}
	}
}

func FuzzRewrite(f *testing.F) {
	f.Add("https://r.test/x/-/x.tgz")
	f.Add("//evil.test\\@r.test/x")
	f.Add("/%2e%2e/x?y#z")
	f.Fuzz(func(t *testing.T, raw string) {
		base, _ := url.Parse("https://r.test/npm/")
		u, err := (&Registry{site: site{base: base}}).rewrite(raw)
		if err != nil {
			return
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Host != "r.test" || again.Scheme != "https" || again.User != nil {
			t.Fatalf("rewrite(%q) = %v, %v", raw, u, err)
		}
	})
}

func FuzzNpmrc(f *testing.F) {
	f.Add([]byte("registry=https://x/\n//x/:_authToken=${T}\n; c\n[s]\na='b'\nc=\"d\\\"\"\n"))
	f.Add([]byte("registry = a\\;b#c\r\nk\n=v\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		rc := newNpmrc()
		rc.add("f", text, func(string) string { return "v" })
		base, _ := url.Parse("https://x/a/b/")
		_, _ = rc.auth(base)
		for key := range rc.value {
			if rc.source[key] != "f" {
				t.Fatalf("key %q has no source", key)
			}
		}
	})
}
