package node_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// store makes a package store as a host has it: two packages that require what they do not declare.
func (s *shim) store() (modules string) {
	s.t.Helper()
	dir := filepath.Join(filepath.Dir(s.root), "packages")
	for name, text := range map[string]string{
		"p/1/node_modules/a/index.js":     "module.exports = () => [require('b'), require('top'), require('b/sub')]",
		"p/1/node_modules/a/lost.js":      "require('absent')",
		"p/2/node_modules/b/index.js":     "module.exports = 'hoisted'",
		"p/2/node_modules/b/sub.js":       "module.exports = 'sub'",
		"p/3/node_modules/top/index.js":   "module.exports = 'direct'",
		"p/4/node_modules/e/package.json": `{"type": "module", "exports": "./index.js"}`,
		"p/4/node_modules/e/index.js":     "import b from 'b';\nexport { default as top } from 'top';\nexport { b };",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"t/x/node_modules/a":         "../../../p/1/node_modules/a",
		"t/x/node_modules/e":         "../../../p/4/node_modules/e",
		"t/x/node_modules/top":       "../../../p/3/node_modules/top",
		"t/x/hoisted/node_modules/b": "../../../../p/2/node_modules/b",
	} {
		link = filepath.Join(dir, link)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.Symlink(target, link); err != nil {
			s.t.Fatal(err)
		}
	}
	return filepath.Join(dir, "t/x/node_modules")
}

// A package finds what npm would have put at the top, as under npm; the function itself finds what it
// declares, and what is nowhere is Node.js's own error.
func TestUndeclaredPackagesAreFoundAsUnderNpm(t *testing.T) {
	runtimes(t, func(t *testing.T, s *shim) {
		modules := s.store()
		for n, c := range []struct{ file, code, want string }{
			{"index.js", "module.exports = async () => require('a')()", `["hoisted","direct","sub"]`},
			{"index.mjs", "import { b, top } from 'e';\nimport a from 'a';\nexport default async () => Response.json([b, top, ...a()]);", `["hoisted","direct","hoisted","direct","sub"]`},
			{"index.js", "module.exports = async () => { try { require('a/lost.js') } catch (err) { return err.code + ' ' + err.message.split('\\n')[0] } }", "MODULE_NOT_FOUND Cannot find module 'absent'"},
			{"index.js", "module.exports = async () => { try { require('b') } catch (err) { return err.code } }", "MODULE_NOT_FOUND"},
		} {
			name := "f" + string(rune('a'+n))
			s.put(name, manifest{"modules": modules}, c.file, c.code)
			if err := os.Symlink(modules, filepath.Join(s.root, name, "1", "node_modules")); err != nil {
				t.Fatal(err)
			}
			if got := s.do(s.request(name, "GET", "/", nil)).body; strings.TrimSpace(got) != c.want {
				t.Errorf("%s: %s, want %s", c.code, got, c.want)
			}
		}
	})
}

// What was loaded ahead is what the function then gets, and what cannot be frozen is told.
func TestPreload(t *testing.T) {
	runtimes(t, func(t *testing.T, s *shim) {
		modules := s.store()
		ask, err := json.Marshal(map[string]any{"modules": modules, "names": []string{"a", "e", "top", "absent"}})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Loaded int
			Left   []string
		}
		if err := json.Unmarshal([]byte(s.control("POST", "/preload", string(ask)).body), &got); err != nil || got.Loaded != 3 || len(got.Left) > 0 {
			t.Fatalf("%+v, %v; want 3 loaded and nothing left", got, err)
		}
		file := filepath.Join(filepath.Dir(modules), "../../p/3/node_modules/top/index.js")
		if err := os.WriteFile(file, []byte("module.exports = 'changed since'"), 0o644); err != nil {
			t.Fatal(err)
		}
		s.put("f", manifest{"modules": modules}, "index.js", "module.exports = async () => require('top')")
		if err := os.Symlink(modules, filepath.Join(s.root, "f", "1", "node_modules")); err != nil {
			t.Fatal(err)
		}
		if got := s.do(s.request("f", "GET", "/", nil)).body; got != "direct" {
			t.Errorf("the function got %q, want what was loaded ahead", got)
		}
	})
}

func TestPreloadTellsWhatCannotBeFrozen(t *testing.T) {
	runtimes(t, func(t *testing.T, s *shim) {
		modules := s.store()
		for code, want := range map[string]string{
			"setInterval(() => {}, 1000)":             "Timeout",
			"require('net').createServer().listen(0)": "TCPSocketWrap TCPServerWrap",
			"require('child_process').spawn(process.execPath, ['-e', 'setTimeout(() => {}, 5000)']).unref()": "ProcessWrap PipeWrap",
		} {
			name := "n" + strconv.Itoa(len(code))
			file := filepath.Join(filepath.Dir(modules), "node_modules", name, "index.js")
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(code), 0o644); err != nil {
				t.Fatal(err)
			}
			var got struct{ Left []string }
			body := s.control("POST", "/preload", `{"modules":"`+modules+`","names":["`+name+`"]}`).body
			if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Left) == 0 || !strings.Contains(want, got.Left[0]) {
				t.Errorf("%s: %s, %v; want one of %s", code, body, err, want)
			}
		}
	})
}
