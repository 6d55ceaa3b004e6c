package store

import (
	"context"
	"database/sql"
	"errors"

	"hearth"
)

const tenantColumns = `name, id, memory_mib, cpus, max_instances, revision, created_at, updated_at`

func scanTenant(row scanner) (t hearth.Tenant, err error) {
	var created, updated int64
	err = row.Scan(&t.Name, &t.ID, &t.Limits.MemoryMiB, &t.Limits.CPUs, &t.Limits.MaxInstances, &t.Revision, &created, &updated)
	t.CreatedAt, t.UpdatedAt = timeOf(created), timeOf(updated)
	return t, err
}

// getTenant returns sql.ErrNoRows if there is none.
func getTenant(ctx context.Context, q querier, name string) (hearth.Tenant, error) {
	return scanTenant(q.QueryRowContext(ctx, `SELECT `+tenantColumns+` FROM tenants WHERE name = $1`, name))
}

// PutTenant creates the tenant or replaces its limits, and changes those of its registries that are
// named. Only Name and Limits are read. The same document again changes nothing. Errors: invalid,
// precondition_failed, conflict (too many tenants).
func (s *Store) PutTenant(ctx context.Context, t hearth.Tenant, pre Precondition, registries ...RegistryChange) (out hearth.Tenant, created bool, err error) {
	if !hearth.ValidName(t.Name) {
		return out, false, invalidName("name")
	}
	for _, c := range registries {
		if err := c.check(); err != nil {
			return out, false, err
		}
	}
	changed := false
	err = s.write(ctx, func(tx *sql.Tx) error {
		created, changed = false, false
		out, err = getTenant(ctx, tx, t.Name)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			created = true
			if out, err = insertTenant(ctx, tx, t, pre); err == nil {
				if _, err = s.mergeRegistries(ctx, tx, out, registries); err == nil {
					out.Registries, err = tenantRegistries(ctx, tx, t.Name)
				}
			}
			return err
		case err != nil:
			return err
		}
		if err := pre.present("tenant", out.ID, out.Revision); err != nil {
			return err
		}
		if changed, err = s.mergeRegistries(ctx, tx, out, registries); err != nil {
			return err
		}
		if out.Limits == t.Limits && !changed {
			out.Registries, err = tenantRegistries(ctx, tx, t.Name)
			return err
		}
		changed = true
		out, err = scanTenant(tx.QueryRowContext(ctx, `UPDATE tenants
			SET memory_mib = $2, cpus = $3, max_instances = $4, revision = revision + 1, updated_at = CASE WHEN updated_at > $5 THEN updated_at ELSE $5 END
			WHERE name = $1 RETURNING `+tenantColumns,
			t.Name, t.Limits.MemoryMiB, t.Limits.CPUs, t.Limits.MaxInstances, now()))
		if err == nil {
			out.Registries, err = tenantRegistries(ctx, tx, t.Name)
		}
		return err
	})
	if err != nil {
		return hearth.Tenant{}, false, err
	}
	if changed { // the limits of all its containers may have
		s.onChange(t.Name, "")
	}
	return out, created, nil
}

func insertTenant(ctx context.Context, tx *sql.Tx, t hearth.Tenant, pre Precondition) (hearth.Tenant, error) {
	if err := pre.absent("tenant"); err != nil {
		return t, err
	}
	n, err := count(ctx, tx, hearth.LimitTenants.Value, `SELECT 1 FROM tenants`)
	if err != nil {
		return t, err
	}
	if n >= hearth.LimitTenants.Value {
		return t, hearth.Exceeded(hearth.CodeConflict, hearth.LimitTenants)
	}
	return scanTenant(tx.QueryRowContext(ctx, `INSERT INTO tenants (`+tenantColumns+`)
		VALUES ($1, $2, $3, $4, $5, 1, $6, $6) RETURNING `+tenantColumns,
		t.Name, newID(), t.Limits.MemoryMiB, t.Limits.CPUs, t.Limits.MaxInstances, now()))
}

// GetTenant returns one tenant, or not_found.
func (s *Store) GetTenant(ctx context.Context, name string) (hearth.Tenant, error) {
	t, err := getTenant(ctx, s.reader, name)
	if err == nil {
		t.Registries, err = tenantRegistries(ctx, s.reader, name)
	}
	if err != nil {
		return hearth.Tenant{}, orNotFound(err, "tenant")
	}
	return t, nil
}

func tenantRegistries(ctx context.Context, q querier, tenant string) (map[string]hearth.Registry, error) {
	rows, err := readRegistries(ctx, q, tenant)
	return showRegistries(rows), err
}

const listTenants = `SELECT ` + tenantColumns + ` FROM tenants WHERE name > $1 ORDER BY name LIMIT $2`

// ListTenants returns a page of tenants by name, without their registries. Cursor "" is the first page and next "" says that
// this was the last; limit 0 is the most, hearth.LimitListItems. All lists work this way.
func (s *Store) ListTenants(ctx context.Context, cursor string, limit int) (page []hearth.Tenant, next string, err error) {
	const list = "tenants"
	size, err := pageSize(limit)
	if err != nil {
		return nil, "", err
	}
	after, err := nameCursor(list, cursor)
	if err != nil {
		return nil, "", err
	}
	page, err = collect(ctx, s.reader, scanTenant, listTenants, after, size+1)
	if err != nil {
		return nil, "", explain("list tenants", err)
	}
	page, next = cut(page, size, list, func(t hearth.Tenant) string { return t.Name })
	return page, next, nil
}

// DeleteTenant deletes a tenant; with containers it is a conflict unless recursive.
func (s *Store) DeleteTenant(ctx context.Context, name string, recursive bool, pre Precondition) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		t, err := getTenant(ctx, tx, name)
		if err != nil {
			return orNotFound(err, "tenant")
		}
		if err := pre.present("tenant", t.ID, t.Revision); err != nil {
			return err
		}
		if !recursive {
			n, err := count(ctx, tx, 1, `SELECT 1 FROM containers WHERE tenant = $1`, name)
			if err != nil {
				return err
			}
			if n > 0 {
				return conflict("has_children", "The tenant has containers; delete them first, or delete it with ?recursive=true.")
			}
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM tenants WHERE name = $1`, name)
		return err
	})
	if err == nil {
		s.onChange(name, "")
	}
	return err
}

func invalidName(field string) error {
	return hearth.Invalid(field, "must be 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end")
}
