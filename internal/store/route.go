package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"hearth"
)

// A route is read by one statement, which sees one moment.
const (
	selectRoutes = `SELECT f.tenant, f.container, f.name, c.id, f.id, f.active, f.secrets_revision, c.isolation,
		c.memory_mib, c.cpus, c.pids, c.tmp_mib, c.max_instances, c.concurrency, t.memory_mib, t.cpus, t.max_instances,
		l.status, a.digest, a.manifest, a.loaded, a.tree
		FROM functions f
		JOIN tenants t ON t.name = f.tenant
		JOIN containers c ON c.tenant = f.tenant AND c.name = f.container
		JOIN versions l ON l.function_id = f.id AND l.number = f.latest
		LEFT JOIN versions a ON a.function_id = f.id AND a.number = f.active `
	allRoutes       = selectRoutes
	tenantRoutes    = selectRoutes + `WHERE f.tenant = $1`
	containerRoutes = selectRoutes + `WHERE f.tenant = $1 AND f.container = $2`
)

// Routes returns the routes of a container, of a tenant if container is "", of the whole node if
// tenant is "" too.
func (s *Store) Routes(ctx context.Context, tenant, container string) ([]hearth.Route, error) {
	query, args := containerRoutes, []any{tenant, container}
	switch {
	case tenant == "":
		query, args = allRoutes, nil
	case container == "":
		query, args = tenantRoutes, args[:1]
	}
	all, err := collect(ctx, s.reader, scanRoute, query, args...)
	return all, explain("read routes", err)
}

func scanRoute(row scanner) (hearth.Route, error) {
	var r hearth.Route
	var c hearth.ContainerLimits
	var t hearth.TenantLimits
	var digest, manifest, loaded, tree sql.NullString
	err := row.Scan(&r.Tenant, &r.Container, &r.Function, &r.ContainerID, &r.FunctionID, &r.Active, &r.SecretsRevision, &r.Isolation,
		&c.MemoryMiB, &c.CPUs, &c.Pids, &c.TmpMiB, &c.MaxInstances, &c.Concurrency, &t.MemoryMiB, &t.CPUs, &t.MaxInstances,
		&r.LatestStatus, &digest, &manifest, &loaded, &tree)
	if err != nil {
		return r, err
	}
	t = t.Effective()
	r.Limits, r.TenantMaxInstances = c.Effective(t), t.MaxInstances
	if r.Active == 0 {
		return r, nil
	}
	r.Digest, r.Tree = digest.String, tree.String
	err = json.Unmarshal([]byte(manifest.String), &r.Manifest)
	if err == nil {
		r.Loaded, r.Stripped, err = decodeLoaded(loaded.String)
	}
	if err != nil {
		return r, fmt.Errorf("read active version of function %s: %w", r.FunctionID, err)
	}
	return r, nil
}
