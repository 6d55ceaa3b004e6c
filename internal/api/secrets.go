package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// secretBody documents what decodeSecret reads.
type secretBody struct {
	Value string `json:"value" writeOnly:"true" maxLength:"65536" doc:"The value; it is never answered."`
}

const secretExample = `{"name":"STRIPE_KEY","updated_at":"2026-03-01T09:32:00.123456Z"}`

func (a *api) secrets() []operation {
	const path = functionPath + "/secrets/{secret}"
	tags := []string{"Secrets"}
	one := sample{"The secret, without its value.", secretView{}, secretExample}
	return []operation{
		{Operation: huma.Operation{Method: http.MethodGet, Path: functionPath + "/secrets", OperationID: "list-secrets", Tags: tags,
			Summary: "List the secrets of a function", Description: "Names and times, never values. There are at most 100, so there is one page."},
			answers: map[int]sample{200: {"The secrets, by name.", list[secretView]{}, `{"items":[` + secretExample + `],"next":""}`}},
			run:     a.listSecrets},
		{Operation: huma.Operation{Method: http.MethodPut, Path: path, OperationID: "put-secret", Tags: tags,
			Summary: "Set a secret", Description: "Instances that loaded the old value are retired within a second."},
			body:    &sample{"The value.", secretBody{}, `{"value":"sk_live_1"}`},
			answers: map[int]sample{200: one, 201: one},
			run:     a.putSecret},
		{Operation: huma.Operation{Method: http.MethodDelete, Path: path, OperationID: "delete-secret", Tags: tags,
			Summary: "Remove a secret"},
			answers: noContent,
			run: func(r *request) (answer, error) {
				return answer{status: http.StatusNoContent}, a.Store.DeleteSecret(r.Context(), r.tenant, r.container, r.function, r.secret)
			}},
	}
}

func (a *api) listSecrets(r *request) (answer, error) {
	secrets, err := a.Store.ListSecrets(r.Context(), r.tenant, r.container, r.function)
	return answer{status: http.StatusOK, body: page(secrets, "", viewSecret)}, err
}

func decodeSecret(doc *value) (string, error) {
	var f fields
	if !f.object(doc, "", "value") {
		return "", f.err()
	}
	v := doc.member("value")
	if v == nil {
		f.bad("value", "is missing")
		return "", f.err()
	}
	return *f.secret(v, "value"), f.err()
}

func (a *api) putSecret(r *request) (answer, error) {
	text, err := decodeSecret(r.body)
	if err != nil {
		return answer{}, err
	}
	s, created, err := a.Store.PutSecret(r.Context(), r.tenant, r.container, r.function, r.secret, text)
	return answer{status: status(created), body: viewSecret(s)}, err
}
