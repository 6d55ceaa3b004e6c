package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"hearth"
)

// rollbackBody documents what decodeRollback reads.
type rollbackBody struct {
	Version int `json:"version" minimum:"1" doc:"Number of a kept version that is ready."`
}

const versionExample = `{"name":"paid","tenant":"acme","container":"billing","version":3,"active":true,"status":"ready",
	"config":{"to":"sales@acme.example"},"runtime":"node24","entry":"index.js","model":"callback","timeout_ms":5000,"auth":"none",
	"created_at":"2026-03-01T09:40:00.5Z","settled_at":"2026-03-01T09:40:00.9Z"}`

func (a *api) versions() []operation {
	tags := []string{"Versions"}
	return []operation{
		{Operation: huma.Operation{Method: http.MethodGet, Path: functionPath + "/versions", OperationID: "list-versions", Tags: tags,
			Summary: "List the versions of a function", Description: "The last 20 and the active one are kept."},
			query:   []string{"limit", "cursor"},
			answers: map[int]sample{200: {"A page of versions, the newest first.", list[versionView]{}, `{"items":[` + versionExample + `],"next":""}`}},
			run:     a.listVersions},
		{Operation: huma.Operation{Method: http.MethodPost, Path: functionPath + "/rollback", OperationID: "rollback-function", Tags: tags,
			Summary:     "Activate a kept version",
			Description: "The version serves under its own number. One that is not ready is a conflict.", Errors: []int{http.StatusConflict}},
			conditions: matches,
			body:       &sample{"The version to activate.", rollbackBody{}, `{"version":3}`},
			answers:    map[int]sample{200: {"The function.", functionView{}, functionExample}},
			run:        a.rollback},
		a.progress(),
		a.bill(),
	}
}

func decodeRollback(doc *value) (int, error) {
	var f fields
	if !f.object(doc, "", "version") {
		return 0, f.err()
	}
	v := doc.member("version")
	if v == nil {
		f.bad("version", "is missing: the number of the version to activate")
	}
	n := f.whole(v, "version", hearth.LimitLeastOne, hearth.Limit{Name: "version", Value: maxVersion, Unit: "count", About: "The number of a version", Raise: "it is fixed"})
	return n, f.err()
}

func (a *api) rollback(r *request) (answer, error) {
	number, err := decodeRollback(r.body)
	if err != nil {
		return answer{}, err
	}
	s, err := a.Store.Rollback(r.Context(), r.tenant, r.container, r.function, number, r.pre)
	if err != nil {
		return answer{}, err
	}
	return a.answerFunction(r, s), nil
}

func (a *api) listVersions(r *request) (answer, error) {
	s, err := a.Store.GetFunction(r.Context(), r.tenant, r.container, r.function)
	if err != nil {
		return answer{}, err
	}
	versions, next, err := a.Store.ListVersions(r.Context(), r.tenant, r.container, r.function, r.query.cursor, r.query.limit)
	view := func(v hearth.Version) versionView {
		out := viewVersion(v, s.Function.Active)
		out.Progress = a.viewProgress(v)
		return out
	}
	return answer{status: http.StatusOK, body: page(versions, next, view)}, err
}
