package bench

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hearth/client"
)

func TestUsageCountsAnInodeOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty, err := usage(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	one, err := usage(dir)
	if err != nil || one < empty+100_000 {
		t.Fatalf("a file of 100 kB takes %d more, %v", one-empty, err)
	}
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if two, err := usage(dir); err != nil || two != one {
		t.Errorf("with a second name it takes %d, %v; want %d", two, err, one)
	}
	if _, err := usage(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// Versions are exact, so that two runs measure the same, and the names that the rows ask for are there.
func TestSets(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, s := range sets {
		names[s.name] = true
		seen := map[string]bool{}
		for _, d := range s.direct {
			name, version := splitSpec(d)
			if seen[name] || strings.Trim(version, "0123456789.") != "" || strings.Count(version, ".") != 2 {
				t.Errorf("%s: %s is there twice or has no exact version", s.name, d)
			}
			seen[name] = true
		}
	}
	for _, want := range append([]string{"120", "600", "x", "y", "60x", "60y"}, sizes...) {
		if !names[want] {
			t.Errorf("there is no set %s", want)
		}
	}
	if got := code([]string{"@a/b@1.0.0", "c@2.0.0"}); !strings.Contains(got, `require("@a/b"),`) || !strings.Contains(got, `require("c"),`) {
		t.Errorf("the function is %s", got)
	}
}

// The node's folder is made what a row says: nothing unpacked, or unpacked and not linked.
func TestOwnNodeFolders(t *testing.T) {
	t.Parallel()
	n := &ownNode{dir: t.TempDir()}
	names := []string{"t/1/node_modules/a", "index/t-1", "p/2/node_modules/a", "index/p-2", "index/c-3", "files/ab/abc"}
	left := func() string {
		var have []string
		for _, name := range names {
			if _, err := os.Lstat(n.data("node", "packages", name)); err == nil {
				have = append(have, name)
			}
		}
		return strings.Join(have, " ")
	}
	for _, name := range names {
		if err := os.MkdirAll(n.data("node", "packages", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return n.unlink(false) }, "p/2/node_modules/a index/p-2 index/c-3 files/ab/abc"},
		{func() error { return n.unlink(true) }, "index/c-3 files/ab/abc"},
		{n.evict, ""},
		{n.evict, ""},
		{n.forget, ""},
	} {
		if err := step.do(); err != nil || left() != step.want {
			t.Errorf("left is %q, %v; want %q", left(), err, step.want)
		}
	}
	if _, err := os.Stat(n.data("node")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the node's folder is still there: %v", err)
	}
	if list, err := filepath.Glob(filepath.Join(n.dir, "aside-*")); err != nil || len(list) != 6 {
		t.Errorf("what was taken away lies in %v, %v; want 6 folders", list, err)
	}
}

// What a call took beside its parts is a part too; calls that load quickly are told from others.
func TestPhases(t *testing.T) {
	t.Parallel()
	var p phases
	for _, load := range []float64{2, 300, 310} {
		p.add(client.Call{QueueMS: 1, FetchMS: 2, LinkMS: 3, AssignMS: 4, LoadMS: load, RunMS: 5, TotalMS: 20 + load})
	}
	if got := p.median(phaseLoad); got != 300 {
		t.Errorf("load is %v", got)
	}
	if got := p.median(6); got != 5 {
		t.Errorf("the rest is %v", got)
	}
	if got := p.quicker(150); got != 1 {
		t.Errorf("%d are quick", got)
	}
	if got := (*phases)(nil).median(0) + float64((*phases)(nil).quicker(1)); got != 0 {
		t.Errorf("nothing gives %v", got)
	}
}

func TestPackagePictures(t *testing.T) {
	t.Parallel()
	r := newReport()
	var none strings.Builder
	if err := r.PlotSVG(&none); err != nil || none.Len() > 0 {
		t.Errorf("a picture of nothing: %v, %q", err, none.String())
	}
	r.Series = []Series{{"a <b>", []Point{{0, 3}, {100, 40}, {1000, 2000}}}, {"c", []Point{{0, 30}, {10, 31}}}}
	r.Timelines = []Timeline{{"cold & remote", []Phase{{"queue", 0}, {"fetch", 40}, {"load", 0.001}}}, {"none", []Phase{{"queue", 0}}}}
	for _, draw := range []func(io.Writer) error{r.PlotSVG, r.TimelineSVG} {
		var svg strings.Builder
		if err := draw(&svg); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(svg.String(), "NaN") || strings.Contains(svg.String(), "Inf") {
			t.Errorf("no numbers: %s", svg.String())
		}
		for dec := xml.NewDecoder(strings.NewReader(svg.String())); ; {
			if _, err := dec.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("the SVG is not XML: %v", err)
			}
		}
	}
	if got := r.Timelines[0].text(); !strings.Contains(got, "cold & remote: 40.0 ms") || !strings.Contains(got, "fetch 40.0 ms") {
		t.Errorf("the text is %q", got)
	}
}

func TestBadPackageOptions(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*PackageOptions){
		"fresh is 0; it must be from 1 to 100": func(o *PackageOptions) { o.Fresh = 0 },
		"cold is 16; it must be from 3 to 15":  func(o *PackageOptions) { o.Cold = 16 },
	} {
		o := PackageDefaults()
		change(&o)
		if _, err := RunPackages(t.Context(), o); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
