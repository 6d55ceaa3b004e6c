package api

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"hearth"
	"hearth/internal/module/plan"
	"hearth/internal/module/sbom"
)

// billView is a CycloneDX document, whose schema is not ours to repeat.
type billView map[string]any

const billExample = `{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,
	"metadata":{"timestamp":"2026-03-01T09:40:00Z","tools":{"components":[{"type":"application","name":"hearth","version":"0.1.0"}]},
	"component":{"type":"application","bom-ref":"function","group":"acme/billing","name":"paid","version":"3"}},
	"components":[{"type":"library","bom-ref":"4f1c","name":"left-pad","version":"1.3.0","purl":"pkg:npm/left-pad@1.3.0"}],
	"dependencies":[{"ref":"function","dependsOn":["4f1c"]},{"ref":"4f1c","dependsOn":[]}]}`

func (a *api) bill() operation {
	return operation{Operation: huma.Operation{Method: http.MethodGet, Path: functionPath + "/sbom", OperationID: "get-sbom", Tags: []string{"Versions"},
		Summary: "Get the software bill of materials of a version",
		Description: "Of the version, or of the active one, or of the newest while none is active: a CycloneDX 1.6 document of all its packages, with the hashes " +
			"that were checked. One whose packages are not settled is a conflict.", Errors: []int{http.StatusConflict}},
		query:   []string{"version"},
		answers: map[int]sample{200: {"The document.", billView{}, billExample}},
		run:     a.getBill}
}

func (a *api) getBill(r *request) (answer, error) {
	s, err := a.Store.GetFunction(r.Context(), r.tenant, r.container, r.function)
	if err != nil {
		return answer{}, err
	}
	number := s.Function.Active
	if number == 0 {
		number = s.Function.Latest
	}
	v, err := a.version(r, number)
	if err != nil {
		return answer{}, err
	}
	if !v.Settled {
		why := "are not settled yet"
		if v.Status == hearth.StatusFailed {
			why = "could not be settled"
		}
		return answer{}, hearth.Errorf(hearth.CodeConflict, "The packages of version %d %s.", v.Number, why)
	}
	var tree *plan.Tree
	if v.Tree != "" {
		if tree, err = a.Store.Tree(r.Context(), v.Tree); err != nil {
			return answer{}, err
		}
	}
	made := v.SettledAt
	if made.IsZero() {
		made = v.CreatedAt
	}
	doc, err := sbom.Document(tree, sbom.Subject{Tenant: v.Tenant, Container: v.Container, Function: v.Function, Version: strconv.Itoa(v.Number),
		Made: made, Hearth: a.Node().Version})
	return answer{status: http.StatusOK, body: json.RawMessage(doc)}, err
}
