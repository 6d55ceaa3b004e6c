package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"hearth"
)

func decode(t *testing.T, doc string) (put, error) {
	t.Helper()
	v, err := parseJSON([]byte(doc))
	if err != nil {
		t.Fatalf("parse %s: %v", doc, err)
	}
	return decodeFunction(v)
}

func TestEntryIsFoundAsNodeFindsIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ doc, entry string }{
		"code alone":            {`{"code":"x"}`, "index.js"},
		"code with entry":       {`{"code":"x","entry":"main.mts"}`, "main.mts"},
		"entry":                 {`{"files":{"a.js":"","index.js":""},"entry":"a.js"}`, "a.js"},
		"entry with dot":        {`{"files":{"a/b.js":""},"entry":"./a/b.js"}`, "a/b.js"},
		"index order":           {`{"files":{"index.ts":"","index.cjs":"","index.mjs":""}}`, "index.mjs"},
		"main":                  {`{"files":{"package.json":"{\"main\":\"lib/a.js\"}","lib/a.js":""}}`, "lib/a.js"},
		"main with dot":         {`{"files":{"package.json":"{\"main\":\"./lib/a.js\"}","lib/a.js":""}}`, "lib/a.js"},
		"main without ending":   {`{"files":{"package.json":"{\"main\":\"a\"}","a.js":""}}`, "a.js"},
		"main is a folder":      {`{"files":{"package.json":"{\"main\":\"lib/\"}","lib/index.js":""}}`, "lib/index.js"},
		"main is gone":          {`{"files":{"package.json":"{\"main\":\"gone.js\"}","index.mjs":""}}`, "index.mjs"},
		"main leaves":           {`{"files":{"package.json":"{\"main\":\"../index.js\"}","index.js":""}}`, "index.js"},
		"exports before main":   {`{"files":{"package.json":"{\"main\":\"a.js\",\"exports\":\"./b.js\"}","a.js":"","b.js":""}}`, "b.js"},
		"exports by condition":  {`{"files":{"package.json":"{\"exports\":{\".\":{\"browser\":\"./x.js\",\"import\":\"./b.mjs\",\"default\":\"./a.js\"}}}","a.js":"","b.mjs":""}}`, "b.mjs"},
		"exports in order":      {`{"files":{"package.json":"{\"exports\":{\"default\":\"./a.js\",\"import\":\"./b.mjs\"}}","a.js":"","b.mjs":""}}`, "a.js"},
		"exports of parts only": {`{"files":{"package.json":"{\"exports\":{\"./part\":\"./b.js\"}}","index.js":"","b.js":""}}`, "index.js"},
		"exports as a list":     {`{"files":{"package.json":"{\"exports\":[{\"deno\":\"./x.js\"},\"./a.js\"]}","a.js":""}}`, "a.js"},
		"base64":                {`{"files":{"index.js":{"base64":"eA=="}}}`, "index.js"},
	} {
		p, err := decode(t, c.doc)
		if err != nil || p.manifest.Entry != c.entry {
			t.Errorf("%s: entry %q, %v, want %q", name, p.manifest.Entry, err, c.entry)
		}
	}
}

func TestDefaultsOfAFunction(t *testing.T) {
	t.Parallel()
	p, err := decode(t, `{"code":"\u0000x","secrets":{"A":"1","B":null},"config":{"b": 1.0, "a": [1e2]}}`)
	if err != nil {
		t.Fatal(err)
	}
	m := p.manifest
	if m.Runtime != "node24" || m.TimeoutMS != 30000 || m.Auth != "none" || m.Model != hearth.ModelAuto || string(m.Config) != `{"b":1.0,"a":[1e2]}` {
		t.Errorf("manifest %+v", m)
	}
	if len(p.secrets) != 2 || *p.secrets["A"] != "1" || p.secrets["B"] != nil {
		t.Errorf("secrets %v", p.secrets)
	}
	if string(p.files[0].Data) != "\x00x" {
		t.Errorf("code %q", p.files[0].Data)
	}
}

func TestBoundsOfCodeAreExact(t *testing.T) {
	t.Parallel()
	most := strings.Repeat("a", hearth.LimitCodeBytes.Int())
	if _, err := decode(t, `{"code":"`+most+`"}`); err != nil {
		t.Errorf("16 MiB: %v", err)
	}
	_, err := decode(t, `{"files":{"index.js":"a","b.js":"`+most+`"}}`)
	wantError(t, err, hearth.CodeTooLarge, "files", "code_bytes")

	files := func(n int) string {
		var b strings.Builder
		b.WriteString(`{"files":{"index.js":""`)
		for i := range n - 1 {
			b.WriteString(`,"f` + number(float64(i)) + `.js":""`)
		}
		return b.String() + `}}`
	}
	if _, err := decode(t, files(5000)); err != nil {
		t.Errorf("5,000 files: %v", err)
	}
	_, err = decode(t, files(5001))
	wantError(t, err, hearth.CodeInvalid, "files", "code_files")
}

func wantError(t *testing.T, err error, code hearth.Code, field, reason string) {
	t.Helper()
	var e *hearth.Error
	if !errors.As(err, &e) || e.Code != code || len(e.Fields) == 0 || e.Fields[0].Field != field || e.Reason != reason {
		t.Errorf("error %#v, want %s of %s, reason %q", err, code, field, reason)
	}
}

func TestEveryMistakeIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := decode(t, `{"code":1,"runtime":"node18","timeout_ms":0,"auth":"key","model":"x","colour":"red","secrets":{"a-b":"SECRET"},"config":[]}`)
	var e *hearth.Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	var got []string
	for _, f := range e.Fields {
		got = append(got, f.Field)
	}
	slices.Sort(got)
	want := []string{"auth", "code", "colour", "config", "model", "runtime", `secrets["a-b"]`, "timeout_ms"}
	if !slices.Equal(got, want) {
		t.Errorf("fields %q, want %q", got, want)
	}
	if strings.Contains(e.Error(), "SECRET") {
		t.Errorf("error repeats a secret: %v", e)
	}
}

func FuzzPutFunction(f *testing.F) {
	for _, doc := range []string{putFunctionExample, `{"code":"x","entry":"a.ts"}`, `{"files":{"a":"","a/b":"","A":"","ﬁ.js":{"base64":"eA=="}},"entry":"./a"}`,
		`{"code":"x","secrets":{"A":null,"B":"x"},"config":{"a":{"b":[1,2]}},"timeout_ms":1e3,"model":"fetch","auth":"none","dependencies":{}}`,
		`{"files":{"index.js":"","package.json":"{\"dependencies\":{\"a\":\"^1\"},\"overrides\":{\"b\":\"2\"}}","package-lock.json":"{\"lockfileVersion\":3,\"packages\":{\"node_modules/a\":{}}}"},"dependencies":{"@c/d":"npm:e@>=1 <2 || 3.x"}}`} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		v, perr := parseJSON(doc)
		if perr != nil {
			return
		}
		p, err := decodeFunction(v)
		if err != nil {
			var e *hearth.Error
			if !errors.As(err, &e) || len(e.Fields) == 0 || e.Message == "" {
				t.Fatalf("error without a field: %#v", err)
			}
			return
		}
		checkPut(t, p)
	})
}

// checkPut fails if something was taken that must never reach the store.
func checkPut(t *testing.T, p put) {
	t.Helper()
	seen, size := map[string]bool{}, 0
	for _, file := range p.files {
		if err := hearth.CheckFilePath(file.Path); err != nil {
			t.Fatalf("file %q: %v", file.Path, err)
		}
		if seen[strings.ToLower(file.Path)] {
			t.Fatalf("file %q has a twin", file.Path)
		}
		seen[strings.ToLower(file.Path)] = true
		size += len(file.Data)
	}
	for _, file := range p.files {
		for i, c := range file.Path {
			if c == '/' && seen[strings.ToLower(file.Path[:i])] {
				t.Fatalf("file %q is below a file", file.Path)
			}
		}
	}
	m := p.manifest
	if !slices.ContainsFunc(p.files, func(file hearth.File) bool { return file.Path == m.Entry }) {
		t.Fatalf("entry %q is not among the files", m.Entry)
	}
	if size > hearth.LimitCodeBytes.Int() || len(p.files) > hearth.LimitCodeFiles.Int() || !json.Valid(m.Config) || m.TimeoutMS < 1 ||
		m.TimeoutMS > 900_000 || m.Auth != "none" || !slices.Contains(hearth.Runtimes, m.Runtime) ||
		len(m.Dependencies)+len(m.OptionalDependencies)+len(m.PeerDependencies) > hearth.LimitDependencies.Int() || len(m.Overrides) > hearth.LimitOverrides.Int() {
		t.Fatalf("taken: %+v", m)
	}
	for _, deps := range []map[string]string{m.Dependencies, m.OptionalDependencies, m.PeerDependencies} {
		for name, spec := range deps {
			if strings.Contains(name, "..") || strings.HasPrefix(name, "/") || strings.Contains(strings.TrimPrefix(spec, "npm:"), ":") {
				t.Fatalf("dependency %q: %q", name, spec)
			}
		}
	}
	for name := range p.secrets {
		if !hearth.ValidSecretName(name) {
			t.Fatalf("secret %q", name)
		}
	}
}

func FuzzFiles(f *testing.F) {
	f.Add("index.js", "a/b.js", "eA==")
	f.Add("A.js", "a.js", "")
	f.Add("a", "a/b", "x")
	f.Add("\u00e9.js", "e\u0301.js", "=")
	f.Add("..", "/etc/passwd", "e\nA==")
	f.Fuzz(func(t *testing.T, one, two, text string) {
		doc, err := json.Marshal(map[string]any{one: text, two: map[string]string{"base64": text}})
		if err != nil {
			return
		}
		v, perr := parseJSON(doc)
		if perr != nil {
			return
		}
		var fs fields
		files := fs.files(v, "files")
		if fs.err() == nil {
			checkPut(t, put{files: files, manifest: hearth.Manifest{Entry: files[0].Path, Config: json.RawMessage("{}"), TimeoutMS: 1, Auth: "none", Runtime: "node24"}})
		}
	})
}

func FuzzEntry(f *testing.F) {
	f.Add(`{"main":"a"}`, "", "a.js")
	f.Add(`{"exports":{".":{"import":["./a.mjs"]}}}`, "", "a.mjs")
	f.Add(`{"exports":{"exports":{"default":{"default":{}}}}}`, "./b.ts", "b.ts")
	f.Fuzz(func(t *testing.T, pkg, named, file string) {
		files := []hearth.File{{Path: "package.json", Data: []byte(pkg)}, {Path: file}}
		var fs fields
		entry := fs.resolveEntry(named, fs.packageJSON(files, "files"), files)
		if fs.err() == nil && entry != file && entry != "package.json" {
			t.Fatalf("entry %q of package.json %q, named %q, file %q", entry, pkg, named, file)
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, q := range []string{"limit=10&cursor=abc", "limit=10&limit=11", "wait=30s", "wait=-1s", "%zz", "recursive=1", "limit=99999999999999999999", ";", "a[b]=1", "\xff=1"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := parseQuery(raw)
		if err != nil {
			return
		}
		var fs fields
		q := fs.query(values, []string{"limit", "cursor", "since", "wait", "recursive", "follow"})
		if fs.err() == nil && (q.limit < 1 || q.limit > 100 || q.wait < 0 || q.wait > hearth.LimitWait.Duration() || len(q.cursor) > maxCursor || len(q.since) > maxCursor) {
			t.Fatalf("%q gives %+v", raw, q)
		}
	})
}

func TestDependenciesAreTaken(t *testing.T) {
	t.Parallel()
	lock := `{"lockfileVersion":3,"packages":{"":{},"node_modules/a":{}}}`
	doc, err := json.Marshal(map[string]any{
		"files": map[string]string{"index.js": "", "package-lock.json": lock, "package.json": `{"dependencies":{"a":"^1","@x/y":"latest"},
			"optionalDependencies":{"o":"npm:@x/z@~2.1"},"peerDependencies":{"p":"1 || 2"},"devDependencies":{"d":"git+ssh://x"},"overrides":{ "a": {".": "1.2"} }}`},
		"dependencies": map[string]string{"a": "^1", "b": ""}})
	if err != nil {
		t.Fatal(err)
	}
	v, perr := parseJSON(doc)
	if perr != nil {
		t.Fatal(perr)
	}
	p, err := decodeFunction(v)
	if err != nil {
		t.Fatal(err)
	}
	m := p.manifest
	got := fmt.Sprintf("%v %v %v %s %v %v %v", m.Dependencies, m.OptionalDependencies, m.PeerDependencies, m.Overrides, len(m.Lock), len(p.files), m.HasDependencies())
	if want := `map[@x/y:latest a:^1 b:] map[o:npm:@x/z@~2.1] map[p:1 || 2] {"a":{".":"1.2"}} 71 3 true`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for name, doc := range map[string]string{
		"nothing":                  `{"code":""}`,
		"empty":                    `{"code":"","dependencies":{}}`,
		"developer's alone":        `{"files":{"index.js":"","package.json":"{\"devDependencies\":{\"a\":\"1\"},\"overrides\":{\"a\":\"1\"}}"}}`,
		"a lock of nothing":        `{"files":{"index.js":"","package-lock.json":"{\"lockfileVersion\":3,\"packages\":{\"\":{}}}"}}`,
		"a lock of the first form": `{"files":{"index.js":"","package-lock.json":"{\"lockfileVersion\":1,\"dependencies\":{\"a\":{}}}"}}`,
	} {
		v, perr := parseJSON([]byte(doc))
		if perr != nil {
			t.Fatal(perr)
		}
		if p, err := decodeFunction(v); err != nil || p.manifest.HasDependencies() {
			t.Errorf("%s: %+v, %v", name, p.manifest, err)
		}
	}
}
