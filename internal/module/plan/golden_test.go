package plan

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

var linux = Options{Runtime: "node24", ABI: "137", Platform: Platform{"linux", "x64", "glibc"}}

// Each case is a lock that npm 11 made, without what is not read (see testdata/locks/README.md).
func TestPlansOfRealLocks(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/locks/*/package-lock.json")
	if err != nil || len(cases) < 10 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, name := range cases {
		t.Run(filepath.Base(filepath.Dir(name)), func(t *testing.T) {
			t.Parallel()
			tree := planned(t, read(t, name), linux)
			got := show(tree)
			golden := filepath.Join(filepath.Dir(name), "plan.txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(read(t, golden)); got != want {
				t.Errorf("the plan is another one than %s says; keys are for ever, so look twice before -update:\n%s", golden, firstDifference(got, want))
			}
			again, err := Decode(tree.Encode())
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(tree, again) {
				t.Error("Decode(Encode(tree)) is another tree")
			}
			if !bytes.Equal(tree.Encode(), again.Encode()) {
				t.Error("Encode makes other bytes of an equal tree")
			}
		})
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func planned(t testing.TB, lock []byte, o Options) *Tree {
	t.Helper()
	l, err := Parse(lock)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	tree, err := l.Tree(o)
	if err != nil {
		t.Fatalf("Tree: %v", err)
	}
	return tree
}

// show prints a tree for people: one line a package, keys cut.
func show(t *Tree) string {
	var b strings.Builder
	fmt.Fprintf(&b, "tree %s %s %s\n", t.Key, t.Runtime, t.Platform)
	one := func(key string) string {
		p := t.Find(key)
		return fmt.Sprintf("%s@%s %.12s", p.Package, p.Version, key)
	}
	for _, name := range sorted(t.Direct) {
		fmt.Fprintf(&b, "direct %s = %s\n", name, one(t.Direct[name]))
	}
	for _, name := range sorted(t.Hoisted) {
		fmt.Fprintf(&b, "hoisted %s = %s\n", name, one(t.Hoisted[name]))
	}
	for _, p := range t.Packages {
		fmt.Fprintf(&b, "%.12s %s", p.Key, p.Name)
		if p.Package != p.Name {
			fmt.Fprintf(&b, " (%s)", p.Package)
		}
		fmt.Fprintf(&b, "@%s", p.Version)
		if p.Scripts {
			fmt.Fprint(&b, " scripts")
		} else {
			fmt.Fprintf(&b, " content %.12s", p.Content)
		}
		for _, name := range sorted(p.Deps) {
			fmt.Fprintf(&b, " %s:%.6s", name, p.Deps[name])
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

func BenchmarkPlan(b *testing.B) {
	lock := read(b, "testdata/locks/heavy/package-lock.json")
	for b.Loop() {
		planned(b, lock, linux)
	}
}
