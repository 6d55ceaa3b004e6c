package hearth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rules are what a package may not link, directly or through others. A trailing … covers everything
// below. Imports run downward:
//
//	cmd → node → {api, proxy} → handler → {pool, module}, and cmd → warden → sandbox;
//
// store, auth and logs are reached through interfaces of the consumer, and wired by node alone.
var rules = []struct {
	who    string
	never  []string
	reason string
}{
	{"hearth", []string{"hearth/…", thirdParty}, "the nouns are a leaf, so that rooms share words without importing each other"},
	{"hearth/client", []string{"hearth/internal/…", "hearth/cmd/…"}, "others build against it"},
	{"hearth/internal/proxy/…", append(sql, "hearth/internal/store/…", "hearth/internal/api/…"), "no database on the request path"},
	{"hearth/internal/handler/…", append(sql, "hearth/internal/store/…"), "it gets what it needs of the store through its own interface"},
	{"hearth/internal/sandbox/…", append(power, "hearth/internal/warden/…"), "it runs as root"},
	{"hearth/internal/warden/…", power, "it runs as root: no HTTP, no SQL, no npm"},
	{"hearth/internal/sandbox/init/pid1", []string{"hearth/…", "net/…"}, "one runs in every instance"},

	{"hearth/internal/api/…", []string{"hearth/internal/proxy/…", "hearth/internal/node"}, "imports run downward"},
	{"hearth/internal/proxy/…", []string{"hearth/internal/node"}, "imports run downward"},
	{"hearth/internal/handler/…", above, "imports run downward"},
	{"hearth/internal/pool/…", append(above, "hearth/internal/handler/…", "hearth/internal/sandbox/…"), "imports run downward, and instances are the warden's"},
	{"hearth/internal/module/…", append(above, "hearth/internal/handler/…", "hearth/internal/pool/…"), "imports run downward"},
	{"hearth/internal/module/plan", []string{"net/…", "os/exec", thirdParty}, "it judges hostile locks and needs nothing but their bytes"},
	{"hearth/internal/store/…", append(above, "hearth/internal/handler/…"), "it serves every room and knows none"},
	{"hearth/internal/logs/…", append(above, "hearth/internal/handler/…"), "it serves every room and knows none"},
	{"hearth/internal/auth/…", append(above, "hearth/internal/handler/…"), "it serves every room and knows none"},
	{"hearth/internal/…", []string{"hearth/cmd/…"}, "a command has no logic that others want"},
	{"hearth/cmd/hearth", []string{"testing", "hearth/e2e/…"}, "nothing that ships links what only tests need"},
}

var (
	sql   = []string{"database/sql", "modernc.org/sqlite/…", "github.com/pressly/…"}
	above = []string{"hearth/internal/node", "hearth/internal/api/…", "hearth/internal/proxy/…"}
	power = append([]string{"net/http", "hearth/internal/module/…", "hearth/internal/handler/…", "hearth/internal/pool/…", "hearth/internal/store/…"},
		append(sql, above...)...)
)

const thirdParty = "a module of others"

// pkg is what `go list` says of a package of this module.
type pkg struct {
	ImportPath string
	Name       string
	Doc        string
	Deps       []string // transitive, without tests
}

// watchTree opens every folder, by which go test knows that a result it has cached is out of date:
// what another program reads, such as go list, it does not see.
func watchTree(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (name == ".git" || name == "bin") {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func packages(t *testing.T) []pkg {
	t.Helper()
	watchTree(t)
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Doc,Deps", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		list = append(list, p)
	}
}

func covers(pattern, importPath string) bool {
	if pattern == thirdParty {
		first, _, _ := strings.Cut(importPath, "/")
		return strings.Contains(first, ".")
	}
	if prefix, ok := strings.CutSuffix(pattern, "/…"); ok {
		return importPath == prefix || strings.HasPrefix(importPath, prefix+"/")
	}
	return importPath == pattern
}

func TestImportRules(t *testing.T) {
	t.Parallel()
	list := packages(t)
	for _, r := range rules {
		found := false
		for _, p := range list {
			if !covers(r.who, p.ImportPath) {
				continue
			}
			found = true
			for _, dep := range p.Deps {
				if slices.ContainsFunc(r.never, func(pattern string) bool { return covers(pattern, dep) }) {
					t.Errorf("%s links %s, which it must not: %s", p.ImportPath, dep, r.reason)
				}
			}
		}
		if !found {
			t.Errorf("the rule for %s holds for no package", r.who)
		}
	}
}

func TestPackagesAreNamedAndDescribed(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		switch name := path.Base(p.ImportPath); name {
		case "util", "utils", "common", "types", "helper", "helpers", "misc", "base", "shared":
			t.Errorf("%s: the name %q says nothing, so that anything may go in: name the idea", p.ImportPath, name)
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// Which registry is used is the operator's affair, so no file may name one.
func TestNoFileNamesARegistry(t *testing.T) {
	t.Parallel()
	watchTree(t)
	out, err := exec.Command("git", "grep", "-lIF", "--untracked", "registry."+"npmjs", "--", ".").Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == 1: // no match
	case err != nil:
		t.Skip("this is no git work tree: ", err)
	default:
		t.Errorf("named in: %s", bytes.TrimSpace(out))
	}
}
