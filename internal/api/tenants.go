package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"hearth"
	"hearth/internal/store"
)

// tenantBody documents what decodeTenant reads.
type tenantBody struct {
	Limits *tenantLimitsBody `json:"limits,omitempty" doc:"Limits of the tenant; absent ones have their defaults."`

	Registries map[string]registryBody `json:"registries,omitempty" writeOnly:"true" doc:"npm registries by scope, such as @acme, merged with those that there are: absent keeps. null removes one; the scope's packages then come from nowhere, not from the public registry, until it has another or is public. At most 20 scopes."`
}

type tenantLimitsBody struct {
	MemoryMiB    int     `json:"memory_mib,omitempty" minimum:"64" maximum:"65536" default:"2048" doc:"The most memory that one of the tenant's containers may set, in MiB."`
	CPUs         float64 `json:"cpus,omitempty" minimum:"0.05" maximum:"64" default:"4" doc:"The most processors that one of the tenant's containers may set."`
	MaxInstances int     `json:"max_instances,omitempty" minimum:"1" maximum:"1000" default:"20" doc:"Instances of all the tenant's containers together."`
}

const tenantListExample = `{"name":"acme","limits":{"memory_mib":2048,"cpus":4,"max_instances":20},
	"created_at":"2026-03-01T09:30:00.123456Z","updated_at":"2026-03-01T09:30:00.123456Z"}`

const tenantExample = `{"name":"acme","limits":{"memory_mib":2048,"cpus":4,"max_instances":20},
	"registries":{"@acme":{"url":"https://npm.acme.example/","token":true}},
	"created_at":"2026-03-01T09:30:00.123456Z","updated_at":"2026-03-01T09:30:00.123456Z"}`

func (a *api) tenants() []operation {
	const path = "/v1/tenants/{tenant}"
	tags := []string{"Tenants"}
	one := sample{"The tenant.", tenantView{}, tenantExample}
	return []operation{
		{Operation: huma.Operation{Method: http.MethodPut, Path: path, OperationID: "put-tenant", Tags: tags,
			Summary: "Create a tenant or replace its limits", Description: "Registries are merged; their tokens are never answered."},
			conditions: creates,
			body:       &sample{"The limits, and changes of registries.", tenantBody{}, `{"limits":{"max_instances":20},"registries":{"@acme":{"url":"https://npm.acme.example/","token":"npm_1"},"@old":null}}`},
			answers:    map[int]sample{200: one, 201: one},
			run:        a.putTenant},
		{Operation: huma.Operation{Method: http.MethodGet, Path: path, OperationID: "get-tenant", Tags: tags,
			Summary: "Get a tenant"},
			answers: map[int]sample{200: one},
			run:     a.getTenant},
		{Operation: huma.Operation{Method: http.MethodDelete, Path: path, OperationID: "delete-tenant", Tags: tags,
			Summary:     "Delete a tenant",
			Description: "With containers it is a conflict, unless recursive.", Errors: []int{http.StatusConflict}},
			query: []string{"recursive"}, conditions: matches,
			answers: noContent,
			run: func(r *request) (answer, error) {
				return answer{status: http.StatusNoContent}, a.Store.DeleteTenant(r.Context(), r.tenant, r.query.recursive, r.pre)
			}},
		{Operation: huma.Operation{Method: http.MethodGet, Path: "/v1/tenants", OperationID: "list-tenants", Tags: tags,
			Summary: "List tenants"},
			query:   []string{"limit", "cursor"},
			answers: map[int]sample{200: {"A page of tenants, by name.", list[tenantView]{}, `{"items":[` + tenantListExample + `],"next":""}`}},
			run:     a.listTenants},
	}
}

func (a *api) decodeTenant(doc *value) (t hearth.Tenant, registries []store.RegistryChange, err error) {
	var f fields
	if f.object(doc, "", "limits", "registries") {
		t.Limits = f.tenantLimits(doc.member("limits"), "limits")
		registries = f.registries(doc.member("registries"), a.CheckRegistry)
	}
	return t, registries, f.err()
}

func (a *api) putTenant(r *request) (answer, error) {
	t, registries, err := a.decodeTenant(r.body)
	if err != nil {
		return answer{}, err
	}
	t.Name = r.tenant
	t, created, err := a.Store.PutTenant(r.Context(), t, r.pre, registries...)
	if err != nil {
		return answer{}, err
	}
	ans := answerTenant(t)
	ans.status = status(created)
	return ans, nil
}

func (a *api) getTenant(r *request) (answer, error) {
	t, err := a.Store.GetTenant(r.Context(), r.tenant)
	return answerTenant(t), err
}

func answerTenant(t hearth.Tenant) answer {
	return answer{status: http.StatusOK, etag: store.ETag(t.ID, t.Revision), body: viewTenant(t)}
}

func (a *api) listTenants(r *request) (answer, error) {
	tenants, next, err := a.Store.ListTenants(r.Context(), r.query.cursor, r.query.limit)
	return answer{status: http.StatusOK, body: page(tenants, next, viewTenant)}, err
}
