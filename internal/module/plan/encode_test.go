package plan

import (
	"strings"
	"testing"
	"time"
)

func TestDecodeTakesNothingElse(t *testing.T) {
	t.Parallel()
	ok := string(planned(t, []byte(doc(`"node_modules/a":{`+good+`,"bin":{"c":"c.js"},"dependencies":{"b":"1"}},"node_modules/b":{`+good+`}`)), linux).Encode())
	tree, err := Decode([]byte(ok))
	if err != nil {
		t.Fatal(err)
	}
	key := tree.Direct["a"]
	for name, text := range map[string]string{
		"nothing":               "",
		"more":                  ok + "{}",
		"another format":        strings.Replace(ok, `"format":1`, `"format":2`, 1),
		"an unknown field":      strings.Replace(ok, `"format":1`, `"format":1,"x":1`, 1),
		"another platform":      strings.Replace(ok, "linux-x64", "linux-arm64", 1),
		"another key":           strings.Replace(ok, tree.Key, strings.Repeat("0", 64), 1),
		"a key in capitals":     strings.Replace(ok, key, strings.ToUpper(key), 1),
		"a missing package":     strings.Replace(ok, `{"key":"`+key, `{"key":"`+strings.Repeat("f", 64), 1),
		"a name that leaves":    strings.Replace(ok, `"name":"a"`, `"name":"../a"`, 1),
		"another name":          strings.Replace(ok, `"name":"b"`, `"name":"c"`, 1),
		"a range":               strings.Replace(ok, `"version":"1.0.0"`, `"version":"^1"`, 1),
		"no integrity":          strings.Replace(ok, sum, "", 1),
		"a command that leaves": strings.Replace(ok, `"c.js"`, `"../c.js"`, 1),
		"direct twice":          strings.Replace(ok, `"direct":`, `"direct":{},"direct":`, 1),
	} {
		if text == ok {
			t.Fatalf("%s: nothing was replaced", name)
		}
		if _, err := Decode([]byte(text)); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

func TestManifestKeys(t *testing.T) {
	t.Parallel()
	key := func(change func(*Manifest)) string {
		m := &Manifest{Dependencies: map[string]string{"a": "1", "b": "2"}, Overrides: []byte(`{"a": {"b":"1"}}`), Runtime: "node24", Platform: linux.Platform, MinReleaseAge: time.Hour}
		change(m)
		k, err := m.Key()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	base := key(func(*Manifest) {})
	if base != key(func(m *Manifest) { m.Overrides = []byte(" {\"\\u0061\":\n{\"b\" :\"1\"} } ") }) {
		t.Error("white space makes another key")
	}
	seen := map[string]bool{base: true}
	for name, change := range map[string]func(*Manifest){
		"a range":         func(m *Manifest) { m.Dependencies["a"] = "2" },
		"one more":        func(m *Manifest) { m.Dependencies["c"] = "" },
		"optional":        func(m *Manifest) { m.OptionalDependencies = map[string]string{"c": "1"} },
		"peer":            func(m *Manifest) { m.PeerDependencies = map[string]string{"c": "1"} },
		"no overrides":    func(m *Manifest) { m.Overrides = nil },
		"other overrides": func(m *Manifest) { m.Overrides = []byte(`{"a":{},"b":"1"}`) },
		"a lock":          func(m *Manifest) { m.Lock = []byte("{}") },
		"the runtime":     func(m *Manifest) { m.Runtime = "node26" },
		"the platform":    func(m *Manifest) { m.Platform.CPU = "arm64" },
		"the age":         func(m *Manifest) { m.MinReleaseAge = 0 },
	} {
		k := key(change)
		if seen[k] {
			t.Errorf("%s changes nothing", name)
		}
		seen[k] = true
	}
	if _, err := (&Manifest{Overrides: []byte("{")}).Key(); err == nil {
		t.Error("broken overrides have a key")
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	l, err := Parse([]byte(doc(`"node_modules/a":{` + good + `}`)))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Matches(map[string]string{"a": "^1"}); err != nil {
		t.Error(err)
	}
	for want, deps := range map[string]map[string]string{
		`package-lock.json: was made for a "^1", and the function depends on "^2": make it anew with npm install`:  {"a": "^2"},
		`package-lock.json: was made with a, which the function does not depend on: make it anew with npm install`: {},
		`package-lock.json: was made without b, which the function depends on: make it anew with npm install`:      {"a": "^1", "b": "1"},
	} {
		if err := l.Matches(deps); err == nil || err.Error() != want {
			t.Errorf("Matches(%v) = %v, want %s", deps, err, want)
		}
	}
}

func TestPlatformLists(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]bool{"": true, "linux": true, "darwin": false, "!linux": false, "!win32": true, "darwin linux": true, "!win32 !darwin": true, "!win32 darwin": false, "any": true, "any darwin": false, "linux !linux": false} {
		if got := listed("linux", strings.Fields(list)); got != want {
			t.Errorf("listed(%q) = %v, want %v", list, got, want)
		}
	}
}

// What is shaped to be slow has to end soon: here the test's own time limit says what never ends.
func TestSlowShapesEnd(t *testing.T) {
	t.Parallel()
	// One circle of 5,000 whose members differ in nothing but their place: none of them is told apart
	// by its name, so this can't come from a lock, where names are labels; it is the worst for classify.
	g := newGraph(linux)
	for i := range 5000 {
		g.nodes = append(g.nodes, node{Package: Package{Name: "a", Package: "a", Version: "1.0.0", Scripts: i == 0}, out: []edge{{"b", (i + 1) % 5000}}})
	}
	if _, _, err := g.keys(); err == nil || !strings.Contains(err.Error(), "too entangled") {
		t.Errorf("keys of a circle of 5,000: %v", err)
	}
	// A deep chain and a clique are fine.
	var b, all strings.Builder
	for i := range 300 {
		b.WriteString(`,"p` + strings.Repeat("x", i%100) + string(rune('a'+i/100)) + `":"1"`)
	}
	for i := range 300 {
		all.WriteString(`,"node_modules/p` + strings.Repeat("x", i%100) + string(rune('a'+i/100)) + `":{` + good + `,"dependencies":{` + b.String()[1:] + `}}`)
	}
	planned(t, []byte(`{"lockfileVersion":3,"packages":{"":{"dependencies":{`+b.String()[1:]+`}}`+all.String()+`}}`), linux)
}
