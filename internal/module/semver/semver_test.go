package semver

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var ranges = strings.Split("1.2.3;^1.2.3;~1.2.3;^0.2.3;^0.0.3;^0.0;^0;~0;~0.0.1;1.x;1.2.x;*;x;X;;1;1.2;>=1.2.3;> 1.2.3;>=1.2;>1.2;>1;<1.2;<=1.2;<=1;<1;<2.0.0;>=1.2.3 <2;"+
	"1.2.3 - 2.3.4;1.2 - 2;1.2.3 - 2.3;x - 2;1 - *;1.2.3 || 3;^1 || ^2;>=1.2.3-beta.2;^1.2.3-beta.2;~1.2.3-beta.2;^0.0.3-beta;1.2.3-beta.2;>1.2.3-beta;<1.2.3-beta.9;"+
	"^1.2.3-alpha <1.2.4;~> 1.2.3;~>1;^ 1.2;v1.2.3;=1.2.3;= 1.2;=v1.2.3;>=v1.2;>*;<*;>=*;>x;1.*.3;1.2.3+build;^1.2.3+build;1.2.3 1.2.4;<0.0.0-0;>=0.0.0-0;"+
	"latest;next;1.2.3.4;01.2.3;1.02.3;a.b.c;1.2.3-01;1.2.3-;1.2.3-a..b;||;1||;>;<;>=;^;~;-;1.2.3 -2;1.2.3 - ;^1.2.3-rc.1 || >=2 <3-0;9007199254740991.0.0;9007199254740992.0.0;"+
	">1.x;<=1.x;<=1.2.x;>=1.x.x;^1.x;^1.2.x;~1.x;~1.2.x;^x;~x;^0.x;~0.x;^0.1.x;>1.2.3-alpha <=1.2.3;!1;file:x;git+ssh://x;1.2.3 - 2 || 4;1.x.3;^1.*.3;1.*.*;*.1;1.2-beta;1.x.x-beta;1.2.x-beta;>=1.x.3;<1.2.x-beta", ";")

var versions = strings.Fields(`0.0.0 0.0.1 0.0.3 0.0.4 0.0.3-beta 0.0.3-alpha 0.1.0 0.1.9 0.2.3 0.2.9 0.3.0 1.0.0 1.0.0-0 1.1.9 1.2.0 1.2.2 1.2.3 1.2.3-alpha 1.2.3-beta 1.2.3-beta.1
	1.2.3-beta.2 1.2.3-beta.10 1.2.3-rc.1 1.2.4 1.2.4-alpha 1.3.0 1.3.0-alpha 1.9.9 2.0.0-0 2.0.0-alpha 2.0.0 2.0.1 2.3.4 2.3.5 2.4.0 3.0.0-0 3.0.0 3.1.0 4.0.0 1.2.3+build 1.2.3-beta.2+b.1 9007199254740991.0.0`)

// nodeSemver is where the installed npm keeps the package that this one is a translation of.
func nodeSemver(t *testing.T) string {
	npm, err := exec.LookPath("npm")
	if err == nil {
		npm, err = filepath.EvalSymlinks(npm)
	}
	dir := filepath.Join(filepath.Dir(filepath.Dir(npm)), "node_modules", "semver")
	if _, statErr := os.Stat(dir); err != nil || statErr != nil {
		t.Skipf("no npm with its semver is installed: %v, %v", err, statErr)
	}
	return dir
}

func TestAgreesWithNodeSemver(t *testing.T) {
	t.Parallel()
	input, _ := json.Marshal(map[string]any{"ranges": ranges, "versions": versions})
	cmd := exec.Command("node", "-e", `const semver = require(process.argv[1]), {ranges, versions} = JSON.parse(require('fs').readFileSync(0));
		const valid = ranges.map(r => semver.validRange(r) !== null);
		const sorted = [...versions].sort(semver.compare);
		console.log(JSON.stringify({valid, has: ranges.map((r, i) => versions.map(v => valid[i] && semver.satisfies(v, r))), sorted}))`, nodeSemver(t))
	cmd.Stdin = strings.NewReader(string(input))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v", err)
	}
	var want struct {
		Valid  []bool
		Has    [][]bool
		Sorted []string
	}
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	for i, text := range ranges {
		r, ok := ParseRange(text)
		if ok != want.Valid[i] {
			t.Errorf("ParseRange(%q) = %v, node-semver says %v", text, ok, want.Valid[i])
			continue
		}
		for j, version := range versions {
			v, ok := Parse(version)
			if !ok {
				t.Fatalf("Parse(%q) failed", version)
			}
			if ok := r.Has(v); ok != want.Has[i][j] {
				t.Errorf("%q has %s: %v, node-semver says %v", text, version, ok, want.Has[i][j])
			}
		}
	}
	sorted := slices.Clone(versions)
	slices.SortStableFunc(sorted, func(a, b string) int {
		x, _ := Parse(a)
		y, _ := Parse(b)
		return x.Compare(y)
	})
	if fmt.Sprint(sorted) != fmt.Sprint(want.Sorted) {
		t.Errorf("sorted:\n%v\nnode-semver:\n%v", sorted, want.Sorted)
	}
}

func TestParseRefusesWhatIsNoExactVersion(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "1", "1.2", "1.x.3", "*", "latest", "^1.2.3", "1.2.3-", "1.2.3-é", "01.2.3", "1.2.3+", strings.Repeat("1", 300) + ".0.0"} {
		if v, ok := Parse(text); ok {
			t.Errorf("Parse(%q) = %v", text, v)
		}
	}
}

func FuzzRange(f *testing.F) {
	for i, r := range ranges {
		f.Add(r, versions[i%len(versions)])
	}
	f.Fuzz(func(t *testing.T, text, version string) {
		r, ok := ParseRange(text)
		v, exact := Parse(version)
		if !exact {
			return
		}
		if v.Compare(v) != 0 {
			t.Fatalf("%q differs from itself", version)
		}
		if ok {
			r.Has(v)
		}
		if same, ok := ParseRange(strings.TrimLeft(strings.TrimSpace(version), "= ")); !ok || !same.Has(v) {
			t.Fatalf("%q does not satisfy itself", version)
		}
	})
}
