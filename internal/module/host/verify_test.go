package host

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hearth/internal/module/plan"
)

// Each kind of damage is found, named and healed; what a held tree may use is left alone until it is free.
func TestVerifyHeals(t *testing.T) {
	t.Parallel()
	type damage struct {
		path    string // below the tree
		do      func(path string) error
		problem string
	}
	write := func(text string) func(string) error {
		return func(path string) error {
			os.Chmod(path, 0o600)
			defer os.Chmod(path, 0o444)
			return os.WriteFile(path, []byte(text), 0o600)
		}
	}
	relink := func(target string) func(string) error {
		return func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Symlink(target, path)
		}
	}
	for name, d := range map[string]damage{
		"flipped byte":     {"app/lib/a.js", write("b"), "changed"},
		"longer":           {"app/package.json", write("xxxxxxxxxxxxxxxxxxx"), "changed"},
		"empty":            {"app/LICENSE", write(""), "changed"},
		"removed":          {"app/package.json", os.Remove, "missing"},
		"removed folder":   {"app/lib", os.RemoveAll, "missing"},
		"mode":             {"app/cli.js", func(p string) error { return os.Chmod(p, 0o444) }, "mode"},
		"extra":            {"app/evil.js", func(p string) error { return os.WriteFile(p, []byte("evil"), 0o444) }, "extra"},
		"extra folder":     {"app/lib/evil", func(p string) error { return os.Mkdir(p, 0o755) }, "extra"},
		"inner symlink":    {"app/link.js", relink("package.json"), "link"},
		"symlink for file": {"app/package.json", relink("lib/a.js"), "kind"},
		"folder for file":  {"app/package.json", func(p string) error { os.Remove(p); return os.Mkdir(p, 0o755) }, "kind"},
		"dependency":       {"@s/dep/../../old", relink("/etc"), "link"},
		"tree's link":      {"app", relink("../../../p"), "link"},
		"hoisted link":     {"../hoisted/node_modules/old", os.Remove, "link"},
		"another inode":    {"app/lib/a.js", func(p string) error { os.Remove(p); return os.WriteFile(p, []byte("b"), 0o444) }, "changed"},
		"package is gone":  {"app/../app", func(p string) error { return os.RemoveAll(p) }, "missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tr := usual(w)
			l := w.ensure(tr)
			other := one(w, 1, 10_000)
			w.ensure(other)
			path := w.at(l, d.path)
			// The real path, but for the last part, which may be a link that is meant itself.
			if strings.HasPrefix(d.path, "app/") || strings.HasPrefix(d.path, "@s/dep/") {
				first, rest, _ := strings.Cut(d.path, "/")
				if first == "@s" {
					first, rest = "@s/dep", strings.TrimPrefix(rest, "dep/")
				}
				real, err := filepath.EvalSymlinks(w.at(l, first))
				if err != nil {
					t.Fatal(err)
				}
				path = filepath.Join(real, rest)
			}
			if err := d.do(path); err != nil {
				t.Fatal(err)
			}
			w.Hold(tr.Key)
			r, err := w.Verify(t.Context(), false)
			if err != nil || len(r.Damaged) == 0 {
				t.Fatalf("found nothing: %v", err)
			}
			if r.Contents != 5 || r.Packages != 5 || r.Trees != 2 {
				t.Errorf("%+v", r)
			}
			if !slices.ContainsFunc(r.Damaged, func(got Damage) bool { return got.Problem == d.problem }) {
				t.Errorf("want %q, got %+v", d.problem, r.Damaged)
			}
			r, err = w.Verify(t.Context(), true)
			if err != nil || !slices.ContainsFunc(r.Damaged, func(got Damage) bool { return got.Waiting }) {
				t.Errorf("while it is held: %+v, %v", r, err)
			}
			for _, got := range r.Damaged {
				if got.Healed && slices.ContainsFunc(tr.Packages, func(p plan.Package) bool { return w.name(p.Key) == got.Package }) {
					t.Errorf("healed while it is held: %+v", got)
				}
			}
			w.Release(tr.Key)
			r, err = w.Verify(t.Context(), true)
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range r.Damaged {
				if !got.Healed {
					t.Errorf("not healed: %+v", got)
				}
			}
			w.whole()
			if got := w.read(w.ensure(tr), "app/lib/a.js"); got != "a" {
				t.Errorf("a.js = %q", got)
			}
			w.whole()
			w.reopen().whole()
		})
	}
}

// Damaged or lost records are made again; what they described comes back at the next Ensure.
func TestLostRecords(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"removed", "emptied", "flipped"} {
		for _, kind := range []string{"c-", "p-", "t-"} {
			for _, restart := range []bool{false, true} {
				w := newWorld(t)
				tr := usual(w)
				w.ensure(tr)
				names, err := readNames(filepath.Join(w.dir, "index"))
				if err != nil {
					t.Fatal(err)
				}
				slices.Sort(names)
				i := slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(n, kind) })
				path := filepath.Join(w.dir, "index", names[i])
				raw, _ := os.ReadFile(path)
				switch how {
				case "removed":
					err = os.Remove(path)
				case "emptied":
					err = os.Truncate(path, 0)
				case "flipped":
					raw[0] ^= 1
					err = os.WriteFile(path, raw, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				if restart {
					w = w.reopen()
				} else {
					r, err := w.Verify(t.Context(), true)
					if err != nil || len(r.Damaged) != 1 || r.Damaged[0].Problem != "record" || !r.Damaged[0].Healed {
						t.Errorf("%s %s: %+v, %v", how, kind, r, err)
					}
				}
				w.whole()
				w.ensure(tr)
				w.whole()
			}
		}
	}
}

// A file that is missing when a package is linked is mended at once.
func TestMissingFileIsMended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.a.add(t, hexOf("content a@1.0.0"), files{"index.js": "a"})
	w.ensure(treeOf("1", map[string]string{"a": "a@1.0.0"}, nil, pk("a@1.0.0", nil)))
	w.mu.Lock()
	keys := slices.Collect(maps.Values(w.contents))[0].keys
	w.mu.Unlock()
	if err := os.Remove(filepath.Join(w.dir, "files", keys[0].path())); err != nil {
		t.Fatal(err)
	}
	other := pk("a@1.0.0", nil)
	other.Key = hexOf("another context")
	tr := treeOf("2", nil, nil, other)
	tr.Direct["a"] = other.Key
	if got := w.read(w.ensure(tr), "a/index.js"); got != "a" {
		t.Errorf("%q", got)
	}
	if _, err := w.Verify(t.Context(), true); err != nil { // the first context has its old inode, which is whole
		t.Fatal(err)
	}
	w.whole()
}

// Nobody can heal what the archives no longer have.
func TestHealWithoutArchive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tr := usual(w)
	l := w.ensure(tr)
	path := w.at(l, "app/LICENSE")
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte("BAD"), 0o600)); err != nil {
		t.Fatal(err)
	}
	clear(w.a.blobs)
	r, err := w.Verify(t.Context(), true)
	if err != nil || len(r.Damaged) == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, d := range r.Damaged {
		if d.Healed || d.Waiting || !strings.Contains(d.Err, "no such blob") {
			t.Errorf("%+v", d)
		}
	}
}
