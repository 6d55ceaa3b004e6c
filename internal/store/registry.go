package store

import (
	"context"
	"database/sql"
	"time"

	"hearth"
)

// Registry says that a tenant's packages of one scope are at a registry of its own. What a URL may be
// is for package registry to judge.
type Registry struct {
	Scope     string // "@acme"
	URL       string
	UpdatedAt time.Time
}

// registriesMost bounds the scopes of a tenant.
const registriesMost = 100

// sealedFor is whose a registry's token is sealed as. It can't be a function's secret: those have ids
// without a colon.
func sealedFor(tenantID string) string { return "registry:" + tenantID }

const tenantID = `SELECT id FROM tenants WHERE name = $1`

// PutRegistry sets the registry of a scope with its token ("" where it asks for none); the bool says
// that the scope is new. The token is sealed, and never shown.
func (s *Store) PutRegistry(ctx context.Context, tenant string, r Registry, token string) (created bool, err error) {
	if len(r.Scope) < 2 || len(r.Scope) > 255 || r.Scope[0] != '@' {
		return false, hearth.Invalid("scope", "must be one such as @acme")
	}
	if r.URL == "" || len(r.URL) > 2048 {
		return false, hearth.Invalid("url", "must have 1 to 2048 bytes")
	}
	if int64(len(token)) > hearth.LimitSecretBytes.Value {
		return false, hearth.Exceeded(hearth.CodeInvalid, hearth.LimitSecretBytes)
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		var id string
		if err := tx.QueryRowContext(ctx, tenantID, tenant).Scan(&id); err != nil {
			return orNotFound(err, "tenant")
		}
		n, err := count(ctx, tx, 1, `SELECT 1 FROM registries WHERE tenant = $1 AND scope = $2`, tenant, r.Scope)
		if err != nil {
			return err
		}
		if created = n == 0; created {
			if n, err = count(ctx, tx, registriesMost, `SELECT 1 FROM registries WHERE tenant = $1`, tenant); err != nil {
				return err
			}
			if n >= registriesMost {
				return conflict("registries", "A tenant can have %d registries.", registriesMost)
			}
		}
		sealed, err := s.seal(ctx, sealedFor(id), r.Scope, token)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO registries (tenant, scope, url, sealed, updated_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (tenant, scope) DO UPDATE SET url = excluded.url, sealed = excluded.sealed, updated_at = excluded.updated_at`,
			tenant, r.Scope, r.URL, sealed, now())
		return err
	})
	return created && err == nil, err
}

// DeleteRegistry removes the registry of a scope, or not_found. What was locked by it a short while ago
// does not count any more.
func (s *Store) DeleteRegistry(ctx context.Context, tenant, scope string) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM registries WHERE tenant = $1 AND scope = $2`, tenant, scope)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return notFound("registry")
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM lock_cache WHERE tenant = $1`, tenant)
		return err
	})
}

const listRegistries = `SELECT scope, url, updated_at FROM registries WHERE tenant = $1 ORDER BY scope`

// Registries returns a tenant's registries by scope, without tokens. There are at most 100, so there are
// no pages.
func (s *Store) Registries(ctx context.Context, tenant string) ([]Registry, error) {
	all, err := collect(ctx, s.reader, func(row scanner) (r Registry, err error) {
		var at int64
		err = row.Scan(&r.Scope, &r.URL, &at)
		r.UpdatedAt = timeOf(at)
		return r, err
	}, listRegistries, tenant)
	if err == nil && len(all) == 0 {
		err = s.reader.QueryRowContext(ctx, tenantID, tenant).Scan(new(string))
	}
	if err != nil {
		return nil, orNotFound(err, "tenant")
	}
	return all, nil
}

// RegistryToken returns the token of a scope's registry and the tenant's id, which salts its packages'
// keys: for the node's requests to that registry and nothing else.
func (s *Store) RegistryToken(ctx context.Context, tenant, scope string) (id, token string, err error) {
	var sealed []byte
	err = s.reader.QueryRowContext(ctx, `SELECT t.id, r.sealed FROM tenants t JOIN registries r ON r.tenant = t.name WHERE t.name = $1 AND r.scope = $2`,
		tenant, scope).Scan(&id, &sealed)
	if err != nil {
		return "", "", orNotFound(err, "registry")
	}
	if token, err = s.open(ctx, sealedFor(id), scope, sealed); err != nil {
		return "", "", &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "secret_damaged",
			Message: "The token of a registry cannot be opened; set it again.", Cause: err}
	}
	return id, token, nil
}
