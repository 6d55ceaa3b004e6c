package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"hearth"
)

const containerColumns = `tenant, name, id, isolation, memory_mib, cpus, pids, tmp_mib, max_instances, concurrency,
	revision, created_at, updated_at`

func scanContainer(row scanner) (c hearth.Container, err error) {
	var created, updated int64
	l := &c.Limits
	err = row.Scan(&c.Tenant, &c.Name, &c.ID, &c.Isolation, &l.MemoryMiB, &l.CPUs, &l.Pids, &l.TmpMiB, &l.MaxInstances, &l.Concurrency,
		&c.Revision, &created, &updated)
	c.CreatedAt, c.UpdatedAt = timeOf(created), timeOf(updated)
	return c, err
}

// getContainer returns sql.ErrNoRows if there is none.
func getContainer(ctx context.Context, q querier, tenant, name string) (hearth.Container, error) {
	return scanContainer(q.QueryRowContext(ctx, `SELECT `+containerColumns+` FROM containers WHERE tenant = $1 AND name = $2`, tenant, name))
}

// PutContainer creates the container c.Name of tenant or replaces its limits and isolation. Only
// Name, Isolation and Limits are read. Limits above the tenant's are invalid. The same document again
// changes nothing.
func (s *Store) PutContainer(ctx context.Context, tenant string, c hearth.Container, pre Precondition) (out hearth.Container, created bool, err error) {
	if !hearth.ValidName(c.Name) {
		return out, false, invalidName("name")
	}
	changed := false
	err = s.write(ctx, func(tx *sql.Tx) error {
		created, changed = false, false
		t, err := getTenant(ctx, tx, tenant)
		if err != nil {
			return orNotFound(err, "tenant")
		}
		out, err = getContainer(ctx, tx, tenant, c.Name)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			created = true
			if err := pre.absent("container"); err != nil {
				return err
			}
			if err := withinTenant(c.Limits, t.Limits.Effective()); err != nil {
				return err
			}
			out, err = insertContainer(ctx, tx, tenant, c)
			return err
		case err != nil:
			return err
		}
		if err := pre.present("container", out.ID, out.Revision); err != nil {
			return err
		}
		if out.Limits == c.Limits && out.Isolation == c.Isolation {
			return nil
		}
		if err := withinTenant(c.Limits, t.Limits.Effective()); err != nil {
			return err
		}
		changed = true
		out, err = updateContainer(ctx, tx, tenant, c)
		return err
	})
	if err != nil {
		return hearth.Container{}, false, err
	}
	if changed {
		s.onChange(tenant, c.Name)
	}
	return out, created, nil
}

func insertContainer(ctx context.Context, tx *sql.Tx, tenant string, c hearth.Container) (hearth.Container, error) {
	n, err := count(ctx, tx, hearth.LimitContainers.Value, `SELECT 1 FROM containers WHERE tenant = $1`, tenant)
	if err != nil {
		return c, err
	}
	if n >= hearth.LimitContainers.Value {
		return c, hearth.Exceeded(hearth.CodeConflict, hearth.LimitContainers)
	}
	l := c.Limits
	return scanContainer(tx.QueryRowContext(ctx, `INSERT INTO containers (`+containerColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $11) RETURNING `+containerColumns,
		tenant, c.Name, newID(), c.Isolation, l.MemoryMiB, l.CPUs, l.Pids, l.TmpMiB, l.MaxInstances, l.Concurrency, now()))
}

func updateContainer(ctx context.Context, tx *sql.Tx, tenant string, c hearth.Container) (hearth.Container, error) {
	l := c.Limits
	return scanContainer(tx.QueryRowContext(ctx, `UPDATE containers
		SET isolation = $3, memory_mib = $4, cpus = $5, pids = $6, tmp_mib = $7, max_instances = $8, concurrency = $9,
			revision = revision + 1, updated_at = CASE WHEN updated_at > $10 THEN updated_at ELSE $10 END
		WHERE tenant = $1 AND name = $2 RETURNING `+containerColumns,
		tenant, c.Name, c.Isolation, l.MemoryMiB, l.CPUs, l.Pids, l.TmpMiB, l.MaxInstances, l.Concurrency, now()))
}

// withinTenant checks what a container asks for against what its tenant may have at this moment. A
// tenant's limits that are lowered later cut it silently (hearth.ContainerLimits.Effective).
func withinTenant(c hearth.ContainerLimits, t hearth.TenantLimits) error {
	exceeded := func(field string, l hearth.Limit, most float64, unit string) error {
		message := fmt.Sprintf("%s is limited to %g%s (limit %s; %s)", l.About, most, unit, l.Name, l.Raise)
		return &hearth.Error{Code: hearth.CodeInvalid, Component: hearth.ComponentLimit, Reason: l.Name, Message: message,
			Fields: []hearth.FieldError{{Field: "limits." + field, Message: message}}}
	}
	switch {
	case c.MemoryMiB > t.MemoryMiB:
		return exceeded("memory_mib", hearth.LimitTenantMemory, float64(t.MemoryMiB), " MiB")
	case c.CPUs > t.CPUs:
		return exceeded("cpus", hearth.LimitTenantCPUs, t.CPUs, "")
	case c.MaxInstances > t.MaxInstances:
		return exceeded("max_instances", hearth.LimitTenantInstance, float64(t.MaxInstances), "")
	}
	return nil
}

// GetContainer returns one container, or not_found.
func (s *Store) GetContainer(ctx context.Context, tenant, name string) (hearth.Container, error) {
	c, err := getContainer(ctx, s.reader, tenant, name)
	if err != nil {
		return hearth.Container{}, orNotFound(err, "container")
	}
	return c, nil
}

const listContainers = `SELECT ` + containerColumns + ` FROM containers WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3`

// ListContainers returns a page of a tenant's containers by name.
func (s *Store) ListContainers(ctx context.Context, tenant, cursor string, limit int) (page []hearth.Container, next string, err error) {
	list := "containers/" + tenant
	size, err := pageSize(limit)
	if err != nil {
		return nil, "", err
	}
	after, err := nameCursor(list, cursor)
	if err != nil {
		return nil, "", err
	}
	page, err = collect(ctx, s.reader, scanContainer, listContainers, tenant, after, size+1)
	if err == nil && len(page) == 0 {
		_, err = getTenant(ctx, s.reader, tenant)
	}
	if err != nil {
		return nil, "", orNotFound(err, "tenant")
	}
	page, next = cut(page, size, list, func(c hearth.Container) string { return c.Name })
	return page, next, nil
}

// DeleteContainer deletes a container; with functions it is a conflict unless recursive.
func (s *Store) DeleteContainer(ctx context.Context, tenant, name string, recursive bool, pre Precondition) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		c, err := getContainer(ctx, tx, tenant, name)
		if err != nil {
			return orNotFound(err, "container")
		}
		if err := pre.present("container", c.ID, c.Revision); err != nil {
			return err
		}
		if !recursive {
			n, err := count(ctx, tx, 1, `SELECT 1 FROM functions WHERE tenant = $1 AND container = $2`, tenant, name)
			if err != nil {
				return err
			}
			if n > 0 {
				return conflict("has_children", "The container has functions; delete them first, or delete it with ?recursive=true.")
			}
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM containers WHERE tenant = $1 AND name = $2`, tenant, name)
		return err
	})
	if err == nil {
		s.onChange(tenant, name)
	}
	return err
}
