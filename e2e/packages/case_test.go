package packages_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testCase is one folder of cases: case.json, and beside it the files of a function.
type testCase struct {
	Name  string            `json:"-"` // the folder's, and the function's
	Files map[string]string `json:"-"`

	Package      string            `json:"package"` // what the case is about; one of the dependencies
	Dependencies map[string]string `json:"dependencies"`
	Request      caseRequest       `json:"request"`
	Expect       struct {
		Status int             `json:"status"` // 200 if absent
		Body   json.RawMessage `json:"body"`   // a string is the text of the answer, anything else its JSON
	} `json:"expect"`
	Native    bool     `json:"native"`     // it has machine code: prebuilt, of a platform's package, or compiled
	MemoryMiB int      `json:"memory_mib"` // for containers that need more than the default
	Runtimes  []string `json:"runtimes"`   // where it works, if not everywhere; the note says why
	Note      string   `json:"note"`
	Cannot    string   `json:"cannot"` // why it can't work in a function; then it is not counted
}

type caseRequest struct {
	Method  string            `json:"method"` // GET if absent
	Path    string            `json:"path"`
	Body    string            `json:"body"`
	Headers map[string]string `json:"headers"`
}

// functionName is what the API takes as a name.
var functionName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// exact is a version that can't move, so that answers stay known.
var exact = regexp.MustCompile(`^(npm:(@[a-z0-9-]+/)?[a-z0-9._-]+@)?[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

func loadCases(t testing.TB) []testCase {
	t.Helper()
	dirs, err := os.ReadDir("cases")
	if err != nil {
		t.Fatal(err)
	}
	var cases []testCase
	for _, dir := range dirs {
		c, err := loadCase(filepath.Join("cases", dir.Name()))
		if err != nil {
			t.Fatalf("cases/%s: %v", dir.Name(), err)
		}
		cases = append(cases, c)
	}
	return cases
}

func loadCase(dir string) (testCase, error) {
	c := testCase{Name: filepath.Base(dir), Files: map[string]string{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return c, err
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return c, err
		}
		if e.Name() != "case.json" {
			c.Files[e.Name()] = string(text)
			continue
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&c); err != nil {
			return c, fmt.Errorf("case.json: %w", err)
		}
	}
	return c, nil
}

// entry is the file that the API would choose.
func (c testCase) entry() string {
	for _, name := range []string{"index.js", "index.mjs", "index.cjs", "index.ts", "index.mts"} {
		if _, ok := c.Files[name]; ok {
			return name
		}
	}
	return ""
}

func (c testCase) worksOn(runtime string) bool {
	return c.Cannot == "" && (len(c.Runtimes) == 0 || slices.Contains(c.Runtimes, runtime))
}

func (c testCase) method() string {
	if c.Request.Method == "" {
		return "GET"
	}
	return c.Request.Method
}

// check says how an answer differs from the one that is known.
func (c testCase) check(status int, body []byte) error {
	want := c.Expect.Status
	if want == 0 {
		want = 200
	}
	if status != want {
		return fmt.Errorf("status %d, want %d: %.2000s", status, want, body)
	}
	var text string
	if json.Unmarshal(c.Expect.Body, &text) == nil {
		if string(body) != text {
			return fmt.Errorf("got %.4000q\nwant %q", body, text)
		}
		return nil
	}
	var got, known any
	if err := json.Unmarshal(c.Expect.Body, &known); err != nil {
		return fmt.Errorf("expect.body: %w", err)
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return fmt.Errorf("answer is no JSON: %w: %.2000q", err, body)
	}
	if !reflect.DeepEqual(got, known) {
		return fmt.Errorf("got  %.4000s\nwant %s", body, c.Expect.Body)
	}
	return nil
}

// table counts what works: packages by their names, so that two majors of one are one.
type table struct{ works, native map[string]bool }

func newTable() *table { return &table{map[string]bool{}, map[string]bool{}} }

func (t *table) add(c testCase) {
	t.works[c.Package] = true
	if c.Native {
		t.native[c.Package] = true
	}
}

func TestCasesAreWellFormed(t *testing.T) {
	t.Parallel()
	all := newTable()
	var cannot []string
	for _, c := range loadCases(t) {
		if !functionName.MatchString(c.Name) {
			t.Errorf("%s: the folder's name is no function's name", c.Name)
		}
		if c.Cannot != "" {
			cannot = append(cannot, c.Name)
			if c.Package == "" {
				t.Errorf("%s: which package?", c.Name)
			}
			continue
		}
		all.add(c)
		if _, ok := c.Dependencies[c.Package]; !ok {
			t.Errorf("%s: package %q is not among the dependencies", c.Name, c.Package)
		}
		if c.entry() == "" {
			t.Errorf("%s: no index file", c.Name)
		}
		if len(c.Expect.Body) == 0 || string(c.Expect.Body) == `""` || string(c.Expect.Body) == "true" {
			t.Errorf("%s: an empty answer proves nothing", c.Name)
		}
		for name, v := range c.Dependencies {
			if !exact.MatchString(v) {
				t.Errorf("%s: %s@%s is not an exact version", c.Name, name, v)
			}
		}
		for name, text := range c.Files {
			if n := strings.Count(text, "\n"); n > 70 {
				t.Errorf("%s/%s has %d lines: a case must be read at a glance", c.Name, name, n)
			}
		}
		if len(c.Runtimes) > 0 && c.Note == "" {
			t.Errorf("%s: the note must say why it works on %v only", c.Name, c.Runtimes)
		}
	}
	t.Logf("%d packages have a case, %d of them native; %d can't work: %s", len(all.works), len(all.native), len(cannot), strings.Join(cannot, ", "))
	if len(all.works) < 150 || len(all.native) < 15 {
		t.Errorf("%d packages, %d native; want at least 150 and 15", len(all.works), len(all.native))
	}
}
