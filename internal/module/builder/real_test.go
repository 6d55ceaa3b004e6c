//go:build !race

package builder_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/internal/module/builder"
	"hearth/internal/sandbox"
)

func lock(t *testing.T, handler http.Handler, q builder.LockRequest) (map[string]string, error) {
	t.Helper()
	s := start(t, handler)
	if err := s.Preload(t.Context()); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	text, err := s.Lock(t.Context(), q)
	t.Logf("answered in %s", time.Since(begun).Round(time.Millisecond))
	if err != nil {
		return nil, err
	}
	var doc struct {
		LockfileVersion int `json:"lockfileVersion"`
		Packages        map[string]struct{ Version, Integrity string }
	}
	if err := json.Unmarshal(text, &doc); err != nil || doc.LockfileVersion != 3 {
		t.Fatalf("lock: %v: %s", err, text)
	}
	got := map[string]string{}
	for at, p := range doc.Packages {
		if at != "" {
			got[at] = p.Version
		}
	}
	return got, nil
}

func TestLock(t *testing.T) {
	t.Parallel()
	goods := shop{
		"a": {"1.0.0": nil, "1.1.0": {"dependencies": map[string]string{"b": "^1.0.0"}}, "2.0.0": nil},
		"b": {"1.0.0": nil, "2.0.0": nil},
		"c": {"1.0.0": {"peerDependencies": map[string]string{"a": "^2.0.0"}}},
	}
	for _, c := range []struct {
		name, manifest string
		before         time.Time
		want           map[string]string
	}{
		{"ranges", `{"dependencies": {"a": "^1.0.0", "b": "2"}}`, time.Time{},
			map[string]string{"node_modules/a": "1.1.0", "node_modules/b": "2.0.0", "node_modules/a/node_modules/b": "1.0.0"}},
		{"alias", `{"dependencies": {"x": "npm:b@1"}}`, time.Time{}, map[string]string{"node_modules/x": "1.0.0"}},
		{"peer", `{"dependencies": {"c": "*"}}`, time.Time{}, map[string]string{"node_modules/c": "1.0.0", "node_modules/a": "2.0.0"}},
		{"overrides", `{"dependencies": {"a": "1.1.0"}, "overrides": {"b": "2.0.0"}}`, time.Time{},
			map[string]string{"node_modules/a": "1.1.0", "node_modules/b": "2.0.0"}},
		{"before", `{"dependencies": {"b": "*"}}`, time.Date(2020, 1, 15, 0, 0, 0, 0, time.UTC), map[string]string{"node_modules/b": "1.0.0"}},
		{"no workspaces", `{"workspaces": ["../../etc"], "dependencies": {"b": "1"}}`, time.Time{}, map[string]string{"node_modules/b": "1.0.0"}},
		{"none", `{}`, time.Time{}, map[string]string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := lock(t, goods, builder.LockRequest{Package: json.RawMessage(c.manifest), Before: c.before})
			if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("lock of %s = %v, %v, want %v", c.manifest, got, err, c.want)
			}
		})
	}
}

// What npm says against a manifest comes back with npm's code and in npm's words.
func TestLockRefusals(t *testing.T) {
	t.Parallel()
	goods := shop{
		"a": {"1.0.0": nil, "2.0.0": nil},
		"c": {"1.0.0": {"peerDependencies": map[string]string{"a": "^2.0.0"}}},
		"g": {"1.0.0": {"dependencies": map[string]string{"x": "github:o/r"}}},
		"r": {"1.0.0": {"dependencies": map[string]string{"x": "https://example.com/x.tgz"}}},
	}
	for _, c := range []struct{ manifest, code, words string }{
		{`{"dependencies": {"a": "^3"}}`, "ETARGET", "No matching version found for a@^3"},
		{`{"dependencies": {"nobody": "1"}}`, "E404", "nobody"},
		{`{"dependencies": {"a": "1", "c": "1"}}`, "ERESOLVE", `peer a@"^2.0.0" from c@1.0.0`},
		{`{"dependencies": {"x": "git+ssh://git@example.com/o/r.git"}}`, "EALLOWGIT", "git"},
		{`{"dependencies": {"x": "https://example.com/x.tgz"}}`, "EALLOWREMOTE", "remote"},
		{`{"dependencies": {"x": "file:../home"}}`, "EALLOWDIRECTORY", "directory"},
		{`{"dependencies": {"x": "file:./x.tgz"}}`, "EALLOWFILE", "file"},
		{`{"dependencies": {"g": "1"}}`, "EALLOWGIT", "git"},
		{`{"dependencies": {"r": "1"}}`, "EALLOWREMOTE", "remote"},
		{`{"dependencies": {"a": "npm:a@b@c"}}`, "", ""},
		{`{"dependencies": "x"}`, "", ""},
		{`{"name": "../x", "dependencies": {"@": "1"}}`, "", ""},
	} {
		_, err := lock(t, goods, builder.LockRequest{Package: json.RawMessage(c.manifest)})
		var r *builder.Refusal
		if !errors.As(err, &r) || r.Status != 422 || !strings.Contains(r.Code, c.code) || !strings.Contains(r.Message, c.words) {
			t.Errorf("%s: %v (%#v), want %s and %q", c.manifest, err, r, c.code, c.words)
			continue
		}
		t.Logf("%s: %s: %s", c.manifest, r.Code, r.Message)
	}
}

// archive is a tar of files, as module/unpack makes them.
func archive(t *testing.T, files map[string]string) io.Reader {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
}

// run builds a package and returns what it printed.
func run(t *testing.T, s *builder.Sandbox, spec builder.BuildSpec, files map[string]string) (int, []string, error) {
	t.Helper()
	if err := s.Input(t.Context(), spec.Name, archive(t, files)); err != nil {
		t.Fatal(err)
	}
	var lines []string
	begun := time.Now()
	code, err := s.Build(t.Context(), spec, func(line string) { lines = append(lines, line) })
	t.Logf("built in %s", time.Since(begun).Round(time.Millisecond))
	return code, lines, err
}

// contents reads the result: content of files, target of links.
func contents(t *testing.T, s *builder.Sandbox) map[string]string {
	t.Helper()
	r, err := s.Result(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := map[string]string{}
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = string(text) + h.Linkname
	}
}

// A native package is compiled from its source, offline, by the node-gyp that npm falls back to, and works
// in an instance.
func TestNativePackage(t *testing.T) {
	t.Parallel()
	s := start(t, http.NotFoundHandler())
	folderOf(t, "p/headers/node_modules/headers", map[string]string{"answer.h": "#define ANSWER 42\n", "index.js": "exports.include = __dirname"})
	code, lines, err := run(t, s, builder.BuildSpec{Name: "@scope/addon", Links: map[string]string{"headers": "/packages/p/headers/node_modules/headers"}}, map[string]string{
		"package.json": `{"name": "@scope/addon", "version": "1.0.0", "main": "index.js"}`,
		"index.js":     `module.exports = require('./build/Release/addon.node').answer`,
		"binding.gyp":  `{"targets": [{"target_name": "addon", "sources": ["addon.cc"], "include_dirs": ["<!(node -p \"require('headers').include\")"]}]}`,
		"addon.cc": `#include <node_api.h>
#include <vector>
#include "answer.h"
static napi_value Answer(napi_env env, napi_callback_info) {
  std::vector<int> all{ANSWER};
  napi_value v;
  napi_create_int32(env, all.back(), &v);
  return v;
}
NAPI_MODULE_INIT() {
  napi_value f;
  napi_create_function(env, nullptr, 0, Answer, nullptr, &f);
  napi_set_named_property(env, exports, "answer", f);
  return exports;
}
`,
	})
	if err != nil || code != 0 {
		t.Fatalf("build: exit code %d, %v:\n%s", code, err, strings.Join(lines, "\n"))
	}
	got := contents(t, s)
	if len(got["./build/Release/addon.node"]) < 1000 {
		t.Fatalf("the result holds %d files and no addon:\n%s", len(got), strings.Join(lines, "\n"))
	}
	folderOf(t, "p/addon", map[string]string{"index.js": got["./index.js"], "build/Release/addon.node": got["./build/Release/addon.node"]})
	if answer := require(t, "/packages/p/addon"); answer != "42" {
		t.Errorf("the addon answers %s", answer)
	}
}

// require calls what a path exports, in an instance of the runtime's own image.
func require(t *testing.T, name string) string {
	t.Helper()
	box, err := shared.maker.Start(t.Context(), shared.usual, sandbox.Limits{MemoryMiB: 128, MilliCPUs: 1000, Pids: 64, TmpMiB: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Destroy(context.Background())
	if err := box.Mount(); err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d", box.Files().Requests.Fd()))
	}}}
	res, err := client.Get("http://instance/" + url.PathEscape(name)[3:])
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Scripts run in npm's order and with npm's environment, find commands of what they depend on, and what
// they leave in their folder is the result, nothing else.
func TestScripts(t *testing.T) {
	t.Parallel()
	s := start(t, http.NotFoundHandler())
	folderOf(t, "p/tool/node_modules/tool", map[string]string{"cli.js": "#!/usr/bin/env node\nconsole.log('tool', process.argv[2])", "package.json": `{"name": "tool"}`})
	code, lines, err := run(t, s, builder.BuildSpec{Name: "pkg", Links: map[string]string{"tool": "/packages/p/tool/node_modules/tool"},
		Bin: map[string]string{"tool": "../tool/cli.js"}, Env: map[string]string{"npm_package_optional": "true"}}, map[string]string{
		"package.json": `{"name": "pkg", "version": "1.2.3", "scripts": {"preinstall": "echo first", "install": "tool run && node install.js", "postinstall": "touch made && ln made hard && ln -s made soft && echo last"}}`,
		"install.js":   `for (const k of ['npm_lifecycle_event', 'npm_package_name', 'npm_package_version', 'npm_package_optional', 'npm_config_nodedir', 'HOME']) console.log(k, process.env[k]); console.error(process.cwd())`,
	})
	want := []string{"first", "tool run", "npm_lifecycle_event install", "npm_package_name pkg", "npm_package_version 1.2.3", "npm_package_optional true",
		"npm_config_nodedir /usr", "HOME /work/home", "/work/node_modules/pkg", "last"}
	slices.Sort(lines) // of two pipes
	slices.Sort(want)
	if err != nil || code != 0 || !slices.Equal(lines, want) {
		t.Errorf("exit code %d, %v, printed %q, want %q", code, err, lines, want)
	}
	got := contents(t, s)
	names := []string{}
	for name := range got {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"./", "./hard", "./install.js", "./made", "./package.json", "./soft"}; !slices.Equal(names, want) || got["./soft"] != "made" {
		t.Errorf("result %q, want %q", names, want)
	}
}

func TestFailingScript(t *testing.T) {
	t.Parallel()
	s := start(t, http.NotFoundHandler())
	code, lines, err := run(t, s, builder.BuildSpec{Name: "pkg"}, map[string]string{"package.json": `{"scripts": {"install": "echo why >&2; exit 3", "postinstall": "echo never"}}`})
	if want := []string{"why", "install script failed: echo why >&2; exit 3: exit code 3"}; err != nil || code != 3 || !slices.Equal(lines, want) {
		t.Errorf("exit code %d, %v, printed %q, want %q", code, err, lines, want)
	}
}
