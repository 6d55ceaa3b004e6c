package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"hearth"
)

var update = flag.Bool("update", false, "write testdata/openapi.json anew")

func TestDescriptionIsTheOneInTheGoldenFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.must(200, "GET", "/openapi.json", "", "Authorization:")
	var got bytes.Buffer
	if err := json.Indent(&got, r.body, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	const file = "testdata/openapi.json"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the API's edge changed; if that is meant, run go test ./internal/api -update and look at the difference")
	}
}

// eachOperation walks all operations of the description.
func eachOperation(d *huma.OpenAPI, visit func(path string, op *huma.Operation)) {
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		item := d.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Delete} {
			if op != nil {
				visit(path, op)
			}
		}
	}
}

func TestEveryOperationIsDescribedWhole(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d := f.api.huma.OpenAPI()
	if d.OpenAPI != "3.1.0" {
		t.Errorf("version %s", d.OpenAPI)
	}
	n := 0
	eachOperation(d, func(path string, op *huma.Operation) {
		n++
		if op.Summary == "" || op.OperationID == "" || len(op.Tags) != 1 {
			t.Errorf("%s %s lacks words", op.Method, path)
		}
		for _, p := range op.Parameters {
			if p.Description == "" || p.Example == nil || p.Schema == nil {
				t.Errorf("%s: parameter %s lacks something", op.OperationID, p.Name)
			}
		}
		if b := op.RequestBody; b != nil {
			checkMedia(t, d, op.OperationID+" body", b.Content["application/json"], huma.ModeWriteToServer)
		}
		good := 0
		for status, res := range op.Responses {
			if res.Ref != "" {
				if d.Components.Responses[strings.TrimPrefix(res.Ref, "#/components/responses/")] == nil {
					t.Errorf("%s: %s is not there", op.OperationID, res.Ref)
				}
				continue
			}
			good++
			if res.Description == "" {
				t.Errorf("%s: %s lacks words", op.OperationID, status)
			}
			if status != "204" {
				checkMedia(t, d, op.OperationID+" "+status, res.Content["application/json"], huma.ModeReadFromServer)
			}
		}
		if good == 0 {
			t.Errorf("%s has no good answer", op.OperationID)
		}
	})
	if n != 27 {
		t.Errorf("%d operations, want 27", n)
	}
	for status, res := range d.Components.Responses {
		checkMedia(t, d, status, res.Content["application/problem+json"], huma.ModeReadFromServer)
	}
	for name, s := range d.Components.Schemas.Map() {
		if s.Description == "" && !strings.HasSuffix(name, "List") && !strings.Contains(name, "Limits") && name != "Problem" && name != "Pool" && name != "Dropped" {
			t.Errorf("schema %s lacks a description", name)
		}
	}
}

// checkMedia checks that an example is there and fits its schema.
func checkMedia(t *testing.T, d *huma.OpenAPI, what string, m *huma.MediaType, mode huma.ValidateMode) {
	t.Helper()
	if m == nil || m.Schema == nil || m.Example == nil {
		t.Errorf("%s: no schema or no example", what)
		return
	}
	fits(t, d, what, m.Schema, m.Example.(json.RawMessage), mode)
}

func fits(t *testing.T, d *huma.OpenAPI, what string, s *huma.Schema, doc []byte, mode huma.ValidateMode) {
	t.Helper()
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Errorf("%s: %v in %s", what, err, doc)
		return
	}
	var res huma.ValidateResult
	huma.Validate(d.Components.Schemas, s, huma.NewPathBuffer(nil, 0), mode, v, &res)
	for _, err := range res.Errors {
		t.Errorf("%s: %v in %s", what, err, doc)
	}
}

// TestExamplesWork carries out every example and checks the real answers against the description.
func TestExamplesWork(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.log.add("stdout", "a line")
	d := f.api.huma.OpenAPI()
	ops := map[string]*huma.Operation{}
	eachOperation(d, func(_ string, op *huma.Operation) { ops[op.OperationID] = op })
	done := map[string]bool{}
	for _, id := range []string{"put-tenant", "put-container", "put-function", "put-function", "put-secret", "put-secret", "rollback-function",
		"get-tenant", "list-tenants", "get-container", "list-containers", "get-function", "list-functions", "list-versions", "list-secrets",
		"get-progress", "get-sbom", "get-logs", "list-nodes", "list-packages", "list-package-functions", "revoke-package", "list-revocations",
		"list-package-functions", "restore-package", "verify-packages", "delete-secret", "delete-function", "delete-container", "delete-tenant"} {
		op := ops[id]
		if op == nil {
			t.Fatalf("no operation %s", id)
		}
		target, body := op.Path, ""
		for _, p := range op.Parameters {
			if p.In == "path" {
				target = strings.ReplaceAll(target, "{"+p.Name+"}", p.Example.(string))
			}
		}
		if op.RequestBody != nil {
			body = string(op.RequestBody.Content["application/json"].Example.(json.RawMessage))
		}
		for _, p := range op.Parameters {
			if p.In == "query" && p.Required {
				target += "?" + p.Name + "=" + url.QueryEscape(fmt.Sprint(p.Example))
			}
		}
		if id == "put-function" {
			target += "?wait=10s"
		}
		if id == "rollback-function" {
			body = `{"version":1}`
		}
		r := f.do(op.Method, target, body)
		res := op.Responses[itoa(r.status)]
		if res == nil || r.status > 299 {
			t.Errorf("%s: %d %s", id, r.status, r.body)
			continue
		}
		done[id] = true
		if r.status == 204 {
			continue
		}
		fits(t, d, id, res.Content["application/json"].Schema, r.body, huma.ModeReadFromServer)
		if _, ok := res.Headers["ETag"]; ok != (r.header.Get("ETag") != "") {
			t.Errorf("%s: ETag %q, documented: %v", id, r.header.Get("ETag"), ok)
		}
	}
	for id := range ops {
		if !done[id] {
			t.Errorf("%s was not tried", id)
		}
	}
}

func itoa(n int) string { return number(float64(n)) }

// TestRefusalsAreDocumented sends all bad requests and looks each status up in the description.
func TestRefusalsAreDocumented(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d := f.api.huma.OpenAPI()
	for _, c := range badRequests() {
		if c.status == 405 || c.status == 414 {
			continue
		}
		path, _, _ := strings.Cut(c.target, "?")
		best := ""
		for template := range d.Paths {
			if matchesTemplate(template, path) {
				best = template
			}
		}
		if best == "" {
			continue
		}
		item := d.Paths[best]
		op := map[string]*huma.Operation{"GET": item.Get, "PUT": item.Put, "POST": item.Post, "DELETE": item.Delete}[c.method]
		if op != nil && op.Responses[itoa(c.status)] == nil {
			t.Errorf("%s: %s does not document %d", c.name, op.OperationID, c.status)
		}
	}
}

func matchesTemplate(template, path string) bool {
	a, b := strings.Split(template, "/"), strings.Split(path, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !strings.HasPrefix(a[i], "{") {
			return false
		}
	}
	return true
}

// TestSchemasAndDecodersKnowTheSameFields keeps the description of a body and what is read of it together.
func TestSchemasAndDecodersKnowTheSameFields(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	schemas := f.api.huma.OpenAPI().Components.Schemas.Map()
	got := slices.Sorted(maps.Keys(schemas["PutFunction"].Properties))
	want := slices.Clone(functionFields)
	slices.Sort(want)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("PutFunction has %v, want %v", got, want)
	}
	for name, decode := range map[string]func(*value) error{
		"PutTenant": func(v *value) error { _, _, err := (&api{}).decodeTenant(v); return err },
		"PutContainer": func(v *value) error {
			_, err := decodeContainer(v, hearth.DefaultTenantLimits(), []string{"runc"})
			return err
		},
		"PutRollback": func(v *value) error { _, err := decodeRollback(v); return err },
		"PutSecret":   func(v *value) error { _, err := decodeSecret(v); return err },
		"PutRevoke":   func(v *value) error { _, err := decodeRevoke(v); return err },
		"PutRestore":  func(v *value) error { _, err := decodeRestore(v); return err },
		"PutVerify":   func(v *value) error { _, err := decodeVerify(v); return err },
	} {
		if schemas[name] == nil {
			t.Errorf("no schema %s", name)
			continue
		}
		for field := range schemas[name].Properties {
			v, _ := parseJSON([]byte(`{"` + field + `":"wrong?"}`))
			if err := decode(v); err != nil && strings.Contains(err.Error(), "is not a field here") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestDocsNeedNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.must(200, "GET", "/docs", "", "Authorization:")
	html := string(r.body)
	for _, no := range []string{"<script", "http://", "src=", "@import"} {
		if strings.Contains(strings.ReplaceAll(html, "https://hearth.example", ""), no) {
			t.Errorf("the page has %q", no)
		}
	}
	eachOperation(f.api.huma.OpenAPI(), func(_ string, op *huma.Operation) {
		if !strings.Contains(html, `id="`+op.OperationID+`"`) {
			t.Errorf("the page lacks %s", op.OperationID)
		}
	})
	if p := r.header.Get("Content-Security-Policy"); !strings.Contains(p, "style-src 'sha256-") {
		t.Errorf("policy %q", p)
	}
}
