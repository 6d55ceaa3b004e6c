package node_test

import (
	"os"
	"path/filepath"
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
