package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"hearth"
	"hearth/internal/store"
)

// egressNone is the only egress there is: instances have no network yet.
const egressNone = "none"

// containerBody documents what decodeContainer reads.
type containerBody struct {
	Isolation string               `json:"isolation,omitempty" doc:"OCI runtime that runs its instances, of those that the node offers; absent means the node's default." example:"runc"`
	Egress    string               `json:"egress,omitempty" enum:"none" default:"none" doc:"Where its instances may connect to. Only none for now: instances have no network yet."`
	Limits    *containerLimitsBody `json:"limits,omitempty" doc:"Limits of the container; absent ones have their defaults."`
}

type containerLimitsBody struct {
	MemoryMiB    int     `json:"memory_mib,omitempty" minimum:"64" default:"256" doc:"Memory of an instance, in MiB; at most what the tenant's limits allow."`
	CPUs         float64 `json:"cpus,omitempty" minimum:"0.05" default:"1" doc:"Processors of an instance; at most what the tenant's limits allow."`
	Pids         int     `json:"pids,omitempty" minimum:"32" maximum:"1024" default:"128" doc:"Processes and threads of an instance."`
	TmpMiB       int     `json:"tmp_mib,omitempty" minimum:"1" maximum:"1024" default:"64" doc:"Size of /tmp of an instance, in MiB."`
	MaxInstances int     `json:"max_instances,omitempty" minimum:"1" default:"4" doc:"Instances of the container; at most what the tenant's limits allow."`
	Concurrency  int     `json:"concurrency,omitempty" minimum:"1" maximum:"1000" default:"64" doc:"Requests in an instance at once."`
}

const containerExample = `{"name":"billing","tenant":"acme","isolation":"runc","egress":"none",
	"limits":{"memory_mib":256,"cpus":1,"pids":128,"tmp_mib":64,"max_instances":4,"concurrency":64},
	"created_at":"2026-03-01T09:31:00.123456Z","updated_at":"2026-03-01T09:31:00.123456Z"}`

func (a *api) containers() []operation {
	const all = "/v1/tenants/{tenant}/containers"
	const path = all + "/{container}"
	tags := []string{"Containers"}
	one := sample{"The container.", containerView{}, containerExample}
	return []operation{
		{Operation: huma.Operation{Method: http.MethodPut, Path: path, OperationID: "put-container", Tags: tags,
			Summary: "Create a container or replace its limits and isolation"},
			conditions: creates,
			body:       &sample{"Isolation and limits.", containerBody{}, `{"isolation":"runc","limits":{"memory_mib":256,"concurrency":64}}`},
			answers:    map[int]sample{200: one, 201: one},
			run:        a.putContainer},
		{Operation: huma.Operation{Method: http.MethodGet, Path: path, OperationID: "get-container", Tags: tags,
			Summary: "Get a container"},
			answers: map[int]sample{200: one},
			run:     a.getContainer},
		{Operation: huma.Operation{Method: http.MethodDelete, Path: path, OperationID: "delete-container", Tags: tags,
			Summary:     "Delete a container",
			Description: "With functions it is a conflict, unless recursive.", Errors: []int{http.StatusConflict}},
			query: []string{"recursive"}, conditions: matches,
			answers: noContent,
			run: func(r *request) (answer, error) {
				return answer{status: http.StatusNoContent}, a.Store.DeleteContainer(r.Context(), r.tenant, r.container, r.query.recursive, r.pre)
			}},
		{Operation: huma.Operation{Method: http.MethodGet, Path: all, OperationID: "list-containers", Tags: tags,
			Summary: "List the containers of a tenant"},
			query:   []string{"limit", "cursor"},
			answers: map[int]sample{200: {"A page of containers, by name.", list[containerView]{}, `{"items":[` + containerExample + `],"next":""}`}},
			run:     a.listContainers},
	}
}

// decodeContainer reads a container of a tenant with these (effective) limits.
func decodeContainer(doc *value, tenant hearth.TenantLimits, isolation []string) (hearth.Container, error) {
	var f fields
	var c hearth.Container
	if !f.object(doc, "", "isolation", "egress", "limits") {
		return c, f.err()
	}
	if v := doc.member("isolation"); v != nil {
		c.Isolation = f.choice(v, "isolation", isolation...)
	}
	if v := doc.member("egress"); v != nil && f.text(v, "egress", egressNone) != egressNone {
		f.bad("egress", "can only be %q: instances have no network yet", egressNone)
	}
	c.Limits = f.containerLimits(doc.member("limits"), "limits", tenant)
	return c, f.err()
}

func (a *api) putContainer(r *request) (answer, error) {
	t, err := a.Store.GetTenant(r.Context(), r.tenant)
	if err != nil {
		return answer{}, err
	}
	c, err := decodeContainer(r.body, t.Limits.Effective(), a.Isolation)
	if err != nil {
		return answer{}, err
	}
	c.Name = r.container
	c, created, err := a.Store.PutContainer(r.Context(), r.tenant, c, r.pre)
	if err != nil {
		return answer{}, err
	}
	ans := a.answerContainer(c, t)
	ans.status = status(created)
	return ans, nil
}

func (a *api) getContainer(r *request) (answer, error) {
	t, err := a.Store.GetTenant(r.Context(), r.tenant)
	if err != nil {
		return answer{}, err
	}
	c, err := a.Store.GetContainer(r.Context(), r.tenant, r.container)
	return a.answerContainer(c, t), err
}

func (a *api) answerContainer(c hearth.Container, t hearth.Tenant) answer {
	return answer{status: http.StatusOK, etag: store.ETag(c.ID, c.Revision), body: viewContainer(c, t.Limits, a.Isolation[0])}
}

func (a *api) listContainers(r *request) (answer, error) {
	t, err := a.Store.GetTenant(r.Context(), r.tenant)
	if err != nil {
		return answer{}, err
	}
	containers, next, err := a.Store.ListContainers(r.Context(), r.tenant, r.query.cursor, r.query.limit)
	view := func(c hearth.Container) containerView { return viewContainer(c, t.Limits, a.Isolation[0]) }
	return answer{status: http.StatusOK, body: page(containers, next, view)}, err
}
