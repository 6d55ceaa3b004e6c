package source

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hearth"
)

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func paths(s *Source) (list []string) {
	for _, f := range s.Files {
		list = append(list, f.Path)
	}
	return list
}

func TestLoadFolder(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"index.js": "1", "lib/a.js": "2", "logo.png": "\x89PNG\x00", "package.json": "{}",
		"hearth.json":             `{"tenant":"acme","container":"shop","name":"paid","config":{"n":1.50}}`,
		"node_modules/x/index.js": "no", "lib/node_modules/y.js": "no", ".git/HEAD": "no", ".env": "no", "lib/.npmrc": "no",
		".well-known/x.txt": "yes", ".hearthignore": "# tests\n*.test.js\n/docs/\n!.keep\nlib/**/tmp\nwhole/*.txt\n",
		"a.test.js": "no", "docs/a.md": "no", "lib/docs/a.md": "yes", ".keep": "yes",
		"lib/a/b/tmp": "no", "whole/x.txt": "no", "whole/deep/x.txt": "yes", "lib/hearth.json": "yes",
	})
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "passwd")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "lib/etc")); err != nil {
		t.Fatal(err)
	}
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".keep", ".well-known/x.txt", "index.js", "lib/a.js", "lib/docs/a.md", "lib/hearth.json", "logo.png", "package.json", "whole/deep/x.txt"}
	if d := cmp.Diff(want, paths(s)); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"lib/etc", "passwd"}, s.Skipped); d != "" {
		t.Errorf("skipped (-want +got):\n%s", d)
	}
	if s.Manifest.Tenant != "acme" || string(s.Manifest.Config["n"]) != "1.50" || s.Base != filepath.Base(dir) {
		t.Errorf("manifest: %+v, base %s", s.Manifest, s.Base)
	}
	if again, err := Load(filepath.Join(dir, "hearth.json")); err != nil || len(again.Files) != len(s.Files) {
		t.Errorf("by its hearth.json: %v", err)
	}
}

func TestLoadFile(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"hello.mts": "export default 1", "notes.txt": "x"})
	s, err := Load(filepath.Join(dir, "hello.mts"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Base != "hello" || s.Manifest.Entry != "hello.mts" || len(s.Files) != 1 {
		t.Errorf("got %+v", s)
	}
	for name, want := range map[string]string{
		"notes.txt": "is no JavaScript or TypeScript file",
		"absent":    "there is no file or folder",
	} {
		if _, err := Load(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	if _, err := Load("/dev/null"); err == nil || !strings.Contains(err.Error(), "neither a file nor a folder") {
		t.Errorf("a device: got %v", err)
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no files to deploy") {
		t.Errorf("an empty folder: got %v", err)
	}
}

func TestLimitsAreNamed(t *testing.T) {
	t.Parallel()
	big := t.TempDir()
	for _, name := range []string{"a.js", "b.js"} {
		if err := os.WriteFile(filepath.Join(big, name), bytes.Repeat([]byte("x"), 9<<20), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(big); err == nil || !strings.Contains(err.Error(), "16 MiB (limit code_bytes") {
		t.Errorf("18 MiB in two files: got %v", err)
	}
	many := map[string]string{}
	for i := range hearth.LimitCodeFiles.Int() + 1 {
		many[string([]byte{byte('a' + i%26), byte('a' + i/26%26), byte('a' + i/676)})+".js"] = ""
	}
	if _, err := Load(folder(t, many)); err == nil || !strings.Contains(err.Error(), "limit code_files") {
		t.Errorf("%d files: got %v", len(many), err)
	}
}

func TestManifestMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`[]`:                      "hearth.json is not a JSON object",
		``:                        "hearth.json is not JSON: line 1: unexpected end of JSON input",
		`{"tenat":"x"}`:           `hearth.json has the unknown field "tenat"; did you mean "tenant"?`,
		`{"zzzzzzzzz":1}`:         `hearth.json has the unknown field "zzzzzzzzz"; it may have tenant, container, name, runtime, entry, model, timeout_ms, auth, config, dependencies, secrets, code, files`,
		`{"name":"a","name":"b"}`: `hearth.json has "name" twice`,
		"{\n\"name\": 3}":         `hearth.json is not right: name in line 2 must not be a number`,
		"{\n\"name\": \"a\",\n}":  `hearth.json is not JSON: line 3: invalid character '}'`,
		`{"name":"a"`:             `hearth.json is not JSON: line 1: unexpected end of JSON input`,
		`{"name":"a"} x`:          `hearth.json is not JSON: line 1: invalid character 'x' after top-level value`,
	} {
		if _, err := parseManifest([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
}

func FuzzManifest(f *testing.F) {
	for _, s := range []string{`{"name":"a","files":{"a.js":{"base64":"AA=="}}}`, `{"secrets":{"A":null}}`, `{`, `{"name"`, `{"config":{"a":[1e999]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "hearth.json ") {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		if _, err := json.Marshal(m); err != nil {
			t.Errorf("%q was read and cannot be written: %v", data, err)
		}
	})
}

func FuzzIgnore(f *testing.F) {
	f.Add("*.js\n!/a/**\nb/", "a/b.js")
	f.Add("**", "x")
	f.Add("[", "[")
	f.Fuzz(func(t *testing.T, lines, p string) {
		newRules(strings.Split(lines, "\n")).ignored(p, true)
	})
}
