package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"

	"hearth"
)

// RegistryChange sets, closes or releases one scope of a tenant. What a URL and a token may be is for
// package registry to judge.
type RegistryChange struct {
	Scope string
	URL   string  // "": none any more, so the scope's packages are taken from nowhere
	Token *string // "" removes it; nil keeps the one there is, if it was set for this URL
	// Public forgets that the scope ever had a registry: its packages are the public registry's.
	Public bool
}

func (c RegistryChange) check() error {
	field := "registries." + c.Scope
	switch {
	case !hearth.ValidScope(c.Scope):
		return hearth.Invalid("registries", "has the scope %.110q, which is not one such as @acme", c.Scope)
	case len(c.URL) > 2048:
		return hearth.Invalid(field, "has a URL longer than 2048 bytes")
	case c.Token != nil && int64(len(*c.Token)) > hearth.LimitSecretBytes.Value:
		return hearth.Exceeded(hearth.CodeInvalid, hearth.LimitSecretBytes)
	case c.URL == "" && c.Token != nil || c.Public && c.URL != "":
		return hearth.Invalid(field, "has a token without a registry, or a registry that it is not to have")
	}
	return nil
}

// sealedFor is whose a registry's token is sealed as. It can't be a function's secret: those have ids
// without a colon.
func sealedFor(tenantID string) string { return "registry:" + tenantID }

// sealedAs binds a token to its URL too, so that whoever can write the database cannot send it elsewhere.
func sealedAs(scope, url string) string { return scope + "\n" + url }

// registryRow is a row of registries.
type registryRow struct {
	scope, url    string
	sealed        []byte
	token, closed bool
}

const registryRows = `SELECT scope, url, sealed, token, closed FROM registries WHERE tenant = $1 ORDER BY scope`

func readRegistries(ctx context.Context, q querier, tenant string) ([]registryRow, error) {
	return collect(ctx, q, func(row scanner) (r registryRow, err error) {
		return r, row.Scan(&r.scope, &r.url, &r.sealed, &r.token, &r.closed)
	}, registryRows, tenant)
}

// showRegistries is what may be told of a tenant's registries, never nil.
func showRegistries(rows []registryRow) map[string]hearth.Registry {
	all := make(map[string]hearth.Registry, len(rows))
	for _, r := range rows {
		if r.closed {
			r.url = ""
		}
		all[r.scope] = hearth.Registry{URL: r.url, Token: r.token}
	}
	return all
}

// mergeRegistries changes the scopes of t that changes name, and says whether anything is other than it was.
func (s *Store) mergeRegistries(ctx context.Context, tx *sql.Tx, t hearth.Tenant, changes []RegistryChange) (changed bool, err error) {
	if len(changes) == 0 {
		return false, nil
	}
	rows, err := readRegistries(ctx, tx, t.Name)
	if err != nil {
		return false, err
	}
	have := make(map[string]registryRow, len(rows))
	for _, r := range rows {
		have[r.scope] = r
	}
	for _, c := range changes {
		old, there := have[c.Scope]
		if c.Public {
			if !there {
				continue
			}
			changed = true
			delete(have, c.Scope)
			if _, err := tx.ExecContext(ctx, `DELETE FROM registries WHERE tenant = $1 AND scope = $2`, t.Name, c.Scope); err != nil {
				return false, fmt.Errorf("remove registry: %w", err)
			}
			continue
		}
		r := registryRow{scope: c.Scope, url: c.URL, closed: c.URL == ""}
		if r.closed {
			if !there || old.closed { // what never was is no mistake, as for secrets
				continue
			}
			r.url = old.url
		}
		same := there && !old.closed && !r.closed && old.url == r.url
		if same && c.Token == nil {
			continue
		}
		token := ""
		if c.Token != nil {
			token = *c.Token
		}
		if same {
			// One that cannot be opened is replaced.
			if was, err := s.open(ctx, sealedFor(t.ID), sealedAs(old.scope, old.url), old.sealed); err == nil && was == token {
				continue
			}
		}
		r.token = token != ""
		if r.sealed, err = s.seal(ctx, sealedFor(t.ID), sealedAs(r.scope, r.url), token); err != nil {
			return false, err
		}
		changed = true
		have[c.Scope] = r
		if _, err := tx.ExecContext(ctx, `INSERT INTO registries (tenant, scope, url, sealed, token, closed, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (tenant, scope) DO UPDATE SET url = excluded.url, sealed = excluded.sealed, token = excluded.token,
				closed = excluded.closed, updated_at = excluded.updated_at`,
			t.Name, r.scope, r.url, r.sealed, r.token, r.closed, now()); err != nil {
			return false, fmt.Errorf("write registry: %w", err)
		}
	}
	if int64(len(have)) > hearth.LimitRegistries.Value {
		return false, hearth.Exceeded(hearth.CodeInvalid, hearth.LimitRegistries)
	}
	return changed, nil
}

// TenantRegistries are the registries of one tenant at one moment.
type TenantRegistries struct {
	TenantID string
	State    string // another one after every change, "" while there are none
	rows     []registryRow
}

// RegistryAccess is a scope's registry with its token: for the node's requests to it and nothing else.
type RegistryAccess struct{ Scope, URL, Token string }

// Registries returns the registries of a tenant, by its name.
func (s *Store) Registries(ctx context.Context, tenant string) (TenantRegistries, error) {
	return s.registries(ctx, `SELECT name, id FROM tenants WHERE name = $1`, tenant)
}

// RegistriesByID is the same by the tenant's id.
func (s *Store) RegistriesByID(ctx context.Context, id string) (TenantRegistries, error) {
	return s.registries(ctx, `SELECT name, id FROM tenants WHERE id = $1`, id)
}

func (s *Store) registries(ctx context.Context, query, key string) (r TenantRegistries, err error) {
	// In one transaction, since the rows are found by the name, which a deleted tenant leaves to another.
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return r, explain("read registries", err)
	}
	defer tx.Rollback()
	var name string
	if err := tx.QueryRowContext(ctx, query, key).Scan(&name, &r.TenantID); err != nil {
		return r, orNotFound(err, "tenant")
	}
	if r.rows, err = readRegistries(ctx, tx, name); err != nil {
		return r, explain("read registries", err)
	}
	if len(r.rows) > 0 {
		sum := sha256.New()
		for _, row := range r.rows { // what is sealed differs with each write
			fmt.Fprintf(sum, "%s\n%s\n%x\n%t\n", row.scope, row.url, row.sealed, row.closed)
		}
		r.State = hex.EncodeToString(sum.Sum(nil))
	}
	return r, nil
}

// Private reports whether a package of this name is the tenant's own: of a scope that has a registry,
// or had one. The case of letters does not count: where it does for a registry, that is the tenant's.
func (r TenantRegistries) Private(name string) bool {
	scope, _, ok := strings.Cut(strings.ToLower(name), "/")
	for _, row := range r.rows {
		if ok && row.scope == scope {
			return true
		}
	}
	return false
}

// Closed returns the scopes that had a registry and have none now.
func (r TenantRegistries) Closed() (scopes []string) {
	for _, row := range r.rows {
		if row.closed {
			scopes = append(scopes, row.scope)
		}
	}
	return scopes
}

// OpenRegistries opens the tokens of registries.
func (s *Store) OpenRegistries(ctx context.Context, r TenantRegistries) (all []RegistryAccess, err error) {
	for _, row := range r.rows {
		if row.closed {
			continue
		}
		token, err := s.open(ctx, sealedFor(r.TenantID), sealedAs(row.scope, row.url), row.sealed)
		if err != nil {
			return nil, &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "secret_damaged",
				Message: "The token of the registry of " + row.scope + " cannot be opened; set it again.", Cause: err}
		}
		all = append(all, RegistryAccess{row.scope, row.url, token})
	}
	return all, nil
}
