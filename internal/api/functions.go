package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"hearth"
	"hearth/internal/store"
)

const (
	functionsPath = "/v1/tenants/{tenant}/containers/{container}/functions"
	functionPath  = functionsPath + "/{function}"
)

// functionBody documents what decodeFunction reads.
type functionBody struct {
	Code         string             `json:"code,omitempty" maxLength:"16777216" doc:"The code of a function of one file, stored as entry, or as index.js. Either code or files." example:"module.exports = cb => cb(null, {hello: 'world'})"`
	Files        map[string]any     `json:"files,omitempty" doc:"The files of the function: path to text, or to an object with the bytes as base64. At most 16 MiB and 5,000 files."`
	Entry        string             `json:"entry,omitempty" doc:"The file to begin with; absent: exports or main of package.json, else index.js, .mjs, .cjs, .ts or .mts." example:"index.js"`
	Dependencies map[string]string  `json:"dependencies,omitempty" doc:"npm packages: name to version, range, tag or npm:NAME@RANGE, as in package.json. What a package.json among the files says is added, and a package-lock.json among them is taken as it is. 500 at most." example:"{\"express\":\"^5.1.0\"}"`
	Secrets      map[string]*string `json:"secrets,omitempty" writeOnly:"true" doc:"Secrets by name, merged with those that there are: absent keeps, null removes. Never answered."`
	Config       map[string]any     `json:"config,omitempty" doc:"Any JSON object for the function to read, 64 KiB at most."`
	Runtime      string             `json:"runtime,omitempty" enum:"node24,node26" default:"node24" doc:"Node.js line to run on."`
	Model        string             `json:"model,omitempty" enum:"callback,promise,fetch,server" doc:"Shape of what the code exports; absent: Hearth finds out."`
	TimeoutMS    int                `json:"timeout_ms,omitempty" minimum:"1" maximum:"900000" default:"30000" doc:"Time limit of a request, in milliseconds."`
	Auth         string             `json:"auth,omitempty" enum:"none" default:"none" doc:"Who may call it. Only none for now: everybody."`
}

const (
	putFunctionExample = `{"files":{"index.js":"module.exports = (ctx, cb) => cb(null, {to: ctx.config.to, paid: ctx.body.paid})",
		"logo.png":{"base64":"iVBORw0KGgo="}},"config":{"to":"sales@acme.example"},"secrets":{"STRIPE_KEY":"sk_live_1","OLD_KEY":null},
		"runtime":"node24","timeout_ms":5000}`
	functionCommon = `"name":"paid","tenant":"acme","container":"billing","url":"https://hearth.example/run/acme/billing/paid",
		"config":{"to":"sales@acme.example"},"runtime":"node24","entry":"index.js","timeout_ms":5000,"auth":"none",
		"created_at":"2026-03-01T09:32:00.123456Z","updated_at":"2026-03-01T09:40:00.5Z"`
	functionExample = `{` + functionCommon + `,"version":3,"active":3,"status":"ready","model":"callback","packages":["express@5.1.0"],"secrets":["STRIPE_KEY"]}`
	failedExample   = `{` + functionCommon + `,"version":4,"active":3,"status":"failed","model":null,"packages":["express@5.1.0"],"secrets":["STRIPE_KEY"],
		"error":{"reason":"syntax","message":"SyntaxError: Unexpected token '}'","stack":"index.js:3"}}`
	listedExample = `{` + functionCommon + `,"version":3,"active":3,"status":"ready","model":"callback"}`
)

func (a *api) functions() []operation {
	tags := []string{"Functions"}
	one := sample{"The function.", functionView{}, functionExample}
	return []operation{
		{Operation: huma.Operation{Method: http.MethodPut, Path: functionPath, OperationID: "put-function", Tags: tags,
			Summary: "Create a function or deploy a new version",
			Description: "Replaces the whole document; only secrets are merged. An identical document makes no new version. " +
				"A version is tried in a sandbox and becomes active when it is ready; one that fails is told by status and error, not by the HTTP status."},
			query: []string{"wait", "refresh"}, conditions: creates,
			body: &sample{"Code and manifest.", functionBody{}, putFunctionExample},
			answers: map[int]sample{200: {"The function, with a new version or as it was.", functionView{}, failedExample},
				201: {"The function, new.", functionView{}, functionExample}},
			run: a.putFunction},
		{Operation: huma.Operation{Method: http.MethodGet, Path: functionPath, OperationID: "get-function", Tags: tags,
			Summary: "Get a function"},
			answers: map[int]sample{200: one},
			run:     a.getFunction},
		{Operation: huma.Operation{Method: http.MethodDelete, Path: functionPath, OperationID: "delete-function", Tags: tags,
			Summary:     "Delete a function",
			Description: "Its versions, secrets and logs go with it. Requests in flight finish."},
			conditions: matches,
			answers:    noContent,
			run: func(r *request) (answer, error) {
				return answer{status: http.StatusNoContent}, a.Store.DeleteFunction(r.Context(), r.tenant, r.container, r.function, r.pre)
			}},
		{Operation: huma.Operation{Method: http.MethodGet, Path: functionsPath, OperationID: "list-functions", Tags: tags,
			Summary: "List the functions of a container"},
			query:   []string{"limit", "cursor"},
			answers: map[int]sample{200: {"A page of functions, by name.", list[functionView]{}, `{"items":[` + listedExample + `],"next":""}`}},
			run:     a.listFunctions},
	}
}

func (a *api) putFunction(r *request) (answer, error) {
	p, err := decodeFunction(r.body)
	if err != nil {
		return answer{}, err
	}
	r.body = nil // the files are copies or share its strings; the tree itself may be large
	s, created, err := a.Store.PutFunction(r.Context(), store.PutFunction{Tenant: r.tenant, Container: r.container, Name: r.function,
		Manifest: p.manifest, Files: p.files, Secrets: p.secrets, Refresh: r.query.refresh, Precondition: r.pre})
	if err != nil {
		return answer{}, err
	}
	if r.query.wait > 0 && s.Latest != nil && s.Latest.Status == hearth.StatusBuilding {
		s = a.await(r, s)
	}
	ans := a.answerFunction(r, s)
	ans.status = status(created)
	return ans, nil
}

// await holds the answer of a deploy until its version is settled or the wait is over. The deploy is
// made either way, so whatever goes wrong here only leaves the answer at what was known before.
func (a *api) await(r *request, s store.FunctionState) store.FunctionState {
	ctx, cancel := context.WithTimeout(r.Context(), r.query.wait)
	defer cancel()
	err := a.Deployer.Settled(ctx, r.tenant, r.container, r.function, s.Latest.Number)
	if err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
		a.Log.Warn("wait for a version ended early", "tenant", r.tenant, "container", r.container, "function", r.function,
			"version", s.Latest.Number, "err", err)
	}
	now, err := a.Store.GetFunction(r.Context(), r.tenant, r.container, r.function)
	if err != nil || now.ID != s.ID {
		return s
	}
	return now
}

func (a *api) getFunction(r *request) (answer, error) {
	s, err := a.Store.GetFunction(r.Context(), r.tenant, r.container, r.function)
	if err != nil {
		return answer{}, err
	}
	return a.answerFunction(r, s), nil
}

func (a *api) answerFunction(r *request, s store.FunctionState) answer {
	if s.SecretNames == nil {
		s.SecretNames = []string{}
	}
	if s.Packages == nil {
		s.Packages = []string{}
	}
	view := a.viewFunction(r, s)
	if s.Latest != nil {
		view.Progress = a.viewProgress(*s.Latest)
	}
	return answer{status: http.StatusOK, etag: store.ETag(s.ID, s.Revision), body: view}
}

func (a *api) viewFunction(r *request, s store.FunctionState) functionView {
	return viewFunction(s, a.URL(r.Request, s.Tenant, s.Container, s.Name))
}

func (a *api) listFunctions(r *request) (answer, error) {
	functions, next, err := a.Store.ListFunctions(r.Context(), r.tenant, r.container, r.query.cursor, r.query.limit)
	view := func(s store.FunctionState) functionView { return a.viewFunction(r, s) }
	return answer{status: http.StatusOK, body: page(functions, next, view)}, err
}
