package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

func (a *api) nodes() []operation {
	return []operation{
		{Operation: huma.Operation{Method: http.MethodGet, Path: "/v1/nodes", OperationID: "list-nodes", Tags: []string{"Nodes"},
			Summary: "List the nodes"},
			query: []string{"limit", "cursor"},
			answers: map[int]sample{200: {"The nodes, by name.", list[Node]{},
				`{"items":[{"name":"hearth-1","version":"0.1.0","runtimes":["node24","node26"],"isolation":["runc"],"pool":{"size":4,"ready":4}}],"next":""}`}},
			run: func(*request) (answer, error) {
				return answer{status: http.StatusOK, body: list[Node]{Items: []Node{a.Node()}}}, nil
			}},
	}
}
