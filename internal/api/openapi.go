package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"hearth"
	"hearth/internal/problem"
)

// describe begins the description of the API; document adds the operations.
func describe() *huma.OpenAPI {
	registry := huma.NewMapRegistry("#/components/schemas/", schemaName)
	d := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{Title: "Hearth management API", Version: "1",
			Description: "Tenants, containers, functions, versions, secrets, logs and packages of a Hearth installation. Errors are RFC 9457 problems that name " +
				"the field at fault. Names are lower case letters, digits and inner hyphens, 63 at most. Unknown fields and query parameters are refused."},
		Tags: []*huma.Tag{
			{Name: "Tenants", Description: "A tenant is a customer; it owns containers and never trusts another tenant."},
			{Name: "Containers", Description: "A container is an isolation boundary: its functions may share a process, those of two containers never do."},
			{Name: "Functions", Description: "A function is the code of one webhook with its manifest."},
			{Name: "Versions", Description: "A version is an immutable snapshot of a function, its secrets left out."},
			{Name: "Secrets", Description: "Secrets belong to a function and can be written only."},
			{Name: "Logs", Description: "What a function printed, and one record a call."},
			{Name: "Packages", Description: "A package of npm is built once in the whole installation, whoever uses it."},
			{Name: "Nodes", Description: "A node is one machine of the installation."},
		},
		Components: &huma.Components{
			Schemas:   registry,
			Responses: map[string]*huma.Response{},
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"token": {Type: "http", Scheme: "bearer", Description: "The admin token."},
			},
		},
		Security: []map[string][]string{{"token": {}}},
	}
	schema := registry.Schema(reflect.TypeFor[problem.Problem](), true, "")
	registry.Map()["Problem"].Description = "What went wrong, after RFC 9457."
	for text, e := range problems {
		doc, _ := json.Marshal(problem.From("3mzqv5gk2w7xn4ytb6hc0jrd8s", e)) // strings only
		d.Components.Responses[strconv.Itoa(text)] = &huma.Response{Description: e.Message,
			Content: map[string]*huma.MediaType{problem.ContentType: {Schema: schema, Example: json.RawMessage(doc)}}}
	}
	return d
}

// problems are examples of what each status may say.
var problems = map[int]*hearth.Error{
	http.StatusBadRequest:            malformed("The body is not JSON: unexpected end of JSON input at byte 12."),
	http.StatusUnauthorized:          hearth.Errorf(hearth.CodeUnauthorized, "The token is not valid."),
	http.StatusForbidden:             hearth.Errorf(hearth.CodeForbidden, "This address does not serve the host \"example.com\"."),
	http.StatusNotFound:              hearth.Errorf(hearth.CodeNotFound, "There is no such function."),
	http.StatusRequestTimeout:        exceeded("body", hearth.CodeRequestTimeout, hearth.LimitBodyIdle),
	http.StatusConflict:              hearth.Errorf(hearth.CodeConflict, "The state forbids this, or the first request with this Idempotency-Key is still being made."),
	http.StatusPreconditionFailed:    hearth.Errorf(hearth.CodePreconditionFailed, "The object has another ETag by now."),
	http.StatusRequestEntityTooLarge: exceeded("body", hearth.CodeTooLarge, hearth.LimitDocument),
	http.StatusUnsupportedMediaType:  hearth.Errorf(hearth.CodeUnsupportedMedia, "The body must be JSON in UTF-8, sent as Content-Type: application/json."),
	http.StatusUnprocessableEntity:   hearth.Invalid("timeout_ms", "must be a number, not a string"),
	http.StatusInternalServerError:   hearth.Errorf(hearth.CodeInternal, "A fault of Hearth; the operator finds the cause in the log."),
	http.StatusServiceUnavailable:    hearth.Errorf(hearth.CodeUnavailable, "Wait and try again."),
	http.StatusInsufficientStorage:   hearth.Errorf(hearth.CodeNoSpace, "The disk of the node is full."),
}

// schemaName names a schema as readers know the thing: Tenant, PutTenant, TenantList.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	name := t.Name()
	if inner, ok := strings.CutPrefix(name, "list["); ok {
		inner = strings.TrimSuffix(inner, "]")
		return schemaTitle(inner[strings.LastIndexAny(inner, "./")+1:]) + "List"
	}
	return schemaTitle(cmp.Or(name, hint))
}

func schemaTitle(name string) string {
	if base, ok := strings.CutSuffix(name, "View"); ok {
		name = base
	} else if base, ok := strings.CutSuffix(name, "Body"); ok {
		name = "Put" + strings.ToUpper(base[:1]) + base[1:]
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// params are the parameters that operations may have.
func params() map[string]*huma.Param {
	text := func(in, name, doc string, example any) *huma.Param {
		return &huma.Param{Name: name, In: in, Description: doc, Example: example, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	list := []*huma.Param{
		text("path", "tenant", "Name of the tenant.", "acme"),
		text("path", "container", "Name of the container.", "billing"),
		text("path", "function", "Name of the function.", "paid"),
		text("path", "secret", "Name of the secret: a letter or _ first, then letters, digits and _, 128 at most.", "STRIPE_KEY"),
		text("query", "limit", "Objects in a page, 100 at most and by default.", 50),
		text("query", "cursor", "Where the page begins: next of the page before.", "YWNtZQ"),
		text("query", "name", "Only the packages of this name.", "left-pad"),
		text("query", "package", "The package, NAME@VERSION.", "left-pad@1.3.0"),
		text("query", "version", "Number of the version.", 1),
		text("query", "since", "Where to go on: the cursor of an entry, or next of the answer before.", "1-240"),
		text("query", "wait", "How long to hold the answer for the version to be ready or failed; 5m at most.", "30s"),
		text("query", "refresh", "Resolve the dependencies again, though nothing changed; makes a new version if there are any.", true),
		text("query", "recursive", "Delete what is in it too.", true),
		text("query", "follow", "Stream entries as they come.", true),
		text("header", "If-Match", "Write only if the object has this ETag; * if it exists.", `"9f2c-4"`),
		text("header", "If-None-Match", "With *: write only if there is no such object yet.", "*"),
		text("header", "Idempotency-Key", "Makes the write once: within 24 hours the same key gets the same answer.", "b1946ac9-2492"),
		text("header", "Last-Event-ID", "The id of the last event that was seen, when following.", "1-240"),
	}
	byName := map[string]*huma.Param{}
	for _, p := range list {
		p.Required = p.In == "path"
		byName[p.Name] = p
	}
	for _, name := range []string{"tenant", "container", "function"} {
		byName[name].Schema.Pattern = `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
	}
	least, most := 1.0, float64(hearth.LimitListItems.Value)
	byName["secret"].Schema.Pattern = `^[A-Za-z_][A-Za-z0-9_]{0,127}$`
	byName["limit"].Schema = &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most, Default: hearth.LimitListItems.Value}
	one := float64(hearth.LimitLeastOne.Value)
	byName["version"].Schema = &huma.Schema{Type: huma.TypeInteger, Minimum: &one}
	byName["package"].Required = true
	byName["refresh"].Schema = &huma.Schema{Type: huma.TypeBoolean, Default: false}
	byName["recursive"].Schema = &huma.Schema{Type: huma.TypeBoolean, Default: false}
	byName["follow"].Schema = &huma.Schema{Type: huma.TypeBoolean, Default: false}
	return byName
}

// document fills in what /openapi.json says of an operation, from what it declares.
func (a *api) document(op *operation) {
	known := params()
	errs := append([]int{400, 401, 403, 422, 500, 503}, op.Errors...)
	use := func(names ...string) {
		for _, name := range names {
			op.Parameters = append(op.Parameters, known[name])
		}
	}
	for _, name := range []string{"tenant", "container", "function", "secret"} {
		if strings.Contains(op.Path, "{"+name+"}") {
			use(name)
		}
	}
	if len(op.Parameters) > 0 {
		errs = append(errs, 404)
	}
	use(op.query...)
	if slices.Contains(op.query, "since") {
		use("Last-Event-ID")
	}
	if op.conditions != noConditions {
		use("If-Match")
		errs = append(errs, 412)
	}
	if op.conditions == creates {
		use("If-None-Match")
	}
	if op.Method != http.MethodGet {
		use("Idempotency-Key")
		errs = append(errs, 409, 507)
	}
	if op.body != nil {
		errs = append(errs, 408, 413, 415)
		op.RequestBody = &huma.RequestBody{Description: op.body.text, Required: true, Content: a.content(*op.body)}
	}
	op.Responses = map[string]*huma.Response{}
	for status, s := range op.answers {
		res := &huma.Response{Description: s.text, Content: a.content(s), Headers: map[string]*huma.Header{
			"Hearth-Request-Id": {Description: "Names this request in logs.", Schema: &huma.Schema{Type: huma.TypeString}}}}
		if op.conditions != noConditions && s.of != nil || op.Method == http.MethodGet && strings.HasSuffix(op.Path, "}") {
			res.Headers["ETag"] = &huma.Header{Description: "For If-Match.", Schema: &huma.Schema{Type: huma.TypeString}}
		}
		op.Responses[strconv.Itoa(status)] = res
	}
	if op.events != nil {
		op.Responses["200"].Content["text/event-stream"] = &huma.MediaType{
			Schema: &huma.Schema{Type: huma.TypeString, Description: op.events.text}, Example: op.events.example}
	}
	slices.Sort(errs)
	for _, status := range slices.Compact(errs) {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Ref: "#/components/responses/" + strconv.Itoa(status)}
	}
}

func (a *api) content(s sample) map[string]*huma.MediaType {
	if s.of == nil {
		return nil
	}
	if !json.Valid([]byte(s.example)) {
		panic(fmt.Sprintf("example of %T is not JSON", s.of)) // a mistake in this package, found by every test
	}
	registry := a.huma.OpenAPI().Components.Schemas
	schema := registry.Schema(reflect.TypeOf(s.of), true, "")
	adjust(registry)
	return map[string]*huma.MediaType{"application/json": {Schema: schema, Example: json.RawMessage(s.example)}}
}

// adjust says of schemas what a Go type cannot.
func adjust(registry huma.Registry) {
	for name, about := range map[string]string{"PutFunction": "A function: its code and manifest.", "PutTenant": "A tenant.", "PutContainer": "A container.",
		"PutRollback": "Which version to activate.", "PutSecret": "The value of a secret.", "Function": "A function with its newest version.", "Tenant": "A tenant.",
		"Container": "A container.", "Version": "A version of a function.", "Secret": "A secret, without its value.", "Node": "A node.", "Entry": "An entry of a log.",
		"Failure": "Why a version failed.", "FieldError": "One field and what is wrong with it.", "Call": "What the host measured of one call.", "Package": "A package of npm, as it is built.",
		"PackageUser": "A function that uses a package.", "Revocation": "A package that is out of use.", "Revoked": "What a revocation hits.",
		"PutRevoke": "Which package to take out of use, and why.", "PutRestore": "Which package may be used again.", "PutVerify": "What to do about damage.",
		"Verification": "How the packages on the node's disk are.", "Damage": "One thing that is not as it was unpacked or linked.",
		"Progress": "How far a version is.", "Deploy": "Where a version stands."} {
		if s := registry.Map()[name]; s != nil {
			s.Description = about
		}
	}
	adjustRegistries(registry)
	if s := registry.Map()["PutFunction"]; s != nil {
		s.Properties["files"].AdditionalProperties = &huma.Schema{OneOf: []*huma.Schema{
			{Type: huma.TypeString, Description: "Text."},
			{Type: huma.TypeObject, Required: []string{"base64"}, AdditionalProperties: false, Properties: map[string]*huma.Schema{
				"base64": {Type: huma.TypeString, ContentEncoding: "base64", Description: "Bytes."}}},
		}}
		s.OneOf = []*huma.Schema{needs("code"), needs("files")}
	}
	for _, name := range []string{"Function", "Version"} {
		if s := registry.Map()[name]; s != nil {
			s.Properties["config"].Type = huma.TypeObject
			s.Properties["config"].AdditionalProperties = true
		}
	}
}

func needs(field string) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, Required: []string{field}, AdditionalProperties: true,
		Properties: map[string]*huma.Schema{field: {}}}
	s.PrecomputeMessages()
	return s
}

// serveDescription serves /openapi.json and /docs, both made once.
func (a *api) serveDescription() {
	doc, err := json.Marshal(a.huma.OpenAPI())
	if err != nil {
		panic(fmt.Sprintf("encode openapi: %v", err)) // a mistake in this package, found by every test
	}
	a.serveStatic("/openapi.json", "application/json", "default-src 'none'", doc)
	html, policy := a.docs()
	a.serveStatic("/docs", "text/html; charset=utf-8", policy, html)
}

func (a *api) serveStatic(path, media, policy string, data []byte) {
	a.allowed[path] = append(a.allowed[path], http.MethodGet)
	a.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" {
			a.fail(w, r, hearth.Invalid("query", "is not taken here"))
			return
		}
		w.Header().Set("Content-Type", media)
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data)
	})
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
