package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"hearth"
)

// SecretInfo is what may be told of a secret.
type SecretInfo struct {
	Name      string
	UpdatedAt time.Time
}

// checkSecrets checks the names and values of a write.
func checkSecrets(set map[string]*string) error {
	for name, value := range set {
		field := "secrets." + name
		if !hearth.ValidSecretName(name) {
			return hearth.Invalid("secrets", "has the name %.140q, which is not letters, digits and underscores, or begins with a digit", name)
		}
		if value != nil && int64(len(*value)) > hearth.LimitSecretBytes.Value {
			err := hearth.Exceeded(hearth.CodeInvalid, hearth.LimitSecretBytes)
			err.Fields = []hearth.FieldError{{Field: field, Message: err.Message}}
			return err
		}
	}
	return nil
}

// mergeSecrets sets and removes secrets of f, and counts f.secretsRevision up if any changed in
// effect. f's ETag is the caller's business.
func (s *Store) mergeSecrets(ctx context.Context, tx *sql.Tx, f *functionRow, set map[string]*string, at int64) (changed bool, err error) {
	if len(set) == 0 {
		return false, nil
	}
	have, err := sealedSecrets(ctx, tx, f.ID)
	if err != nil {
		return false, err
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		value := set[name]
		sealed, there := have[name]
		switch {
		case value == nil && !there:
			continue
		case value == nil:
			delete(have, name)
			_, err = tx.ExecContext(ctx, `DELETE FROM secrets WHERE function_id = $1 AND name = $2`, f.ID, name)
		default:
			if there {
				// One that cannot be opened is replaced like one that differs.
				if old, err := s.open(ctx, f.ID, name, sealed); err == nil && old == *value {
					continue
				}
			}
			if sealed, err = s.seal(ctx, f.ID, name, *value); err != nil {
				return false, err
			}
			have[name] = sealed
			_, err = tx.ExecContext(ctx, `INSERT INTO secrets (function_id, name, sealed, updated_at) VALUES ($1, $2, $3, $4)
				ON CONFLICT (function_id, name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at`, f.ID, name, sealed, at)
		}
		if err != nil {
			return false, fmt.Errorf("write secret: %w", err)
		}
		changed = true
	}
	if int64(len(have)) > hearth.LimitSecrets.Value {
		return false, hearth.Exceeded(hearth.CodeInvalid, hearth.LimitSecrets)
	}
	if !changed {
		return false, nil
	}
	f.secretsRevision++
	_, err = tx.ExecContext(ctx, `UPDATE functions SET secrets_revision = $2 WHERE id = $1`, f.ID, f.secretsRevision)
	return true, err
}

func sealedSecrets(ctx context.Context, q querier, functionID string) (map[string][]byte, error) {
	rows, err := q.QueryContext(ctx, `SELECT name, sealed FROM secrets WHERE function_id = $1`, functionID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := make(map[string][]byte)
	for rows.Next() {
		var name string
		var sealed []byte
		if err := rows.Scan(&name, &sealed); err != nil {
			return nil, err
		}
		all[name] = sealed
	}
	return all, rows.Err()
}

const listSecrets = `SELECT s.name, s.updated_at FROM functions f JOIN secrets s ON s.function_id = f.id
	WHERE f.tenant = $1 AND f.container = $2 AND f.name = $3 ORDER BY s.name`

// ListSecrets returns the secrets of a function by name, without values. There are at most
// hearth.LimitSecrets, so there are no pages.
func (s *Store) ListSecrets(ctx context.Context, tenant, container, function string) ([]SecretInfo, error) {
	all, err := collect(ctx, s.reader, scanSecretInfo, listSecrets, tenant, container, function)
	if err == nil && len(all) == 0 {
		_, err = getFunction(ctx, s.reader, tenant, container, function)
	}
	if err != nil {
		return nil, orNotFound(err, "function")
	}
	return all, nil
}

func scanSecretInfo(row scanner) (info SecretInfo, err error) {
	var updated int64
	err = row.Scan(&info.Name, &updated)
	info.UpdatedAt = timeOf(updated)
	return info, err
}

// PutSecret sets a secret; the bool says that it is new. The same value again changes nothing.
func (s *Store) PutSecret(ctx context.Context, tenant, container, function, name, value string) (info SecretInfo, created bool, err error) {
	set := map[string]*string{name: &value}
	if err := checkSecrets(set); err != nil {
		return info, false, err
	}
	err = s.changeSecret(ctx, tenant, container, function, func(tx *sql.Tx, f *functionRow, at int64) (bool, error) {
		n, err := count(ctx, tx, 1, `SELECT 1 FROM secrets WHERE function_id = $1 AND name = $2`, f.ID, name)
		if err != nil {
			return false, err
		}
		created = n == 0
		changed, err := s.mergeSecrets(ctx, tx, f, set, at)
		if err != nil {
			return false, err
		}
		info, err = scanSecretInfo(tx.QueryRowContext(ctx, `SELECT name, updated_at FROM secrets WHERE function_id = $1 AND name = $2`, f.ID, name))
		return changed, err
	})
	if err != nil {
		return SecretInfo{}, false, err
	}
	return info, created, nil
}

// DeleteSecret removes a secret, or not_found.
func (s *Store) DeleteSecret(ctx context.Context, tenant, container, function, name string) error {
	return s.changeSecret(ctx, tenant, container, function, func(tx *sql.Tx, f *functionRow, at int64) (bool, error) {
		changed, err := s.mergeSecrets(ctx, tx, f, map[string]*string{name: nil}, at)
		if err == nil && !changed {
			err = notFound("secret")
		}
		return changed, err
	})
}

// changeSecret runs change in a transaction on a function, and tells of it if it changed something.
func (s *Store) changeSecret(ctx context.Context, tenant, container, function string, change func(tx *sql.Tx, f *functionRow, at int64) (bool, error)) error {
	changed := false
	err := s.write(ctx, func(tx *sql.Tx) error {
		f, err := getFunction(ctx, tx, tenant, container, function)
		if err != nil {
			return orNotFound(err, "function")
		}
		at := now()
		if changed, err = change(tx, &f, at); err != nil || !changed {
			return err
		}
		return touch(ctx, tx, f.ID, at)
	})
	if err == nil && changed {
		s.onChange(tenant, container)
	}
	return err
}

// SecretValues returns the values of a function's secrets, for the instance that runs it and nothing
// else, with their revision.
func (s *Store) SecretValues(ctx context.Context, tenant, container, function string) (values map[string]string, revision int64, err error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT f.id, f.secrets_revision, s.name, s.sealed
		FROM functions f LEFT JOIN secrets s ON s.function_id = f.id
		WHERE f.tenant = $1 AND f.container = $2 AND f.name = $3`, tenant, container, function)
	if err != nil {
		return nil, 0, explain("read secrets", err)
	}
	defer rows.Close()
	values = make(map[string]string)
	found := false
	for rows.Next() {
		var id string
		var name sql.NullString
		var sealed []byte
		if err := rows.Scan(&id, &revision, &name, &sealed); err != nil {
			return nil, 0, explain("read secrets", err)
		}
		found = true
		if !name.Valid {
			continue
		}
		if values[name.String], err = s.open(ctx, id, name.String, sealed); err != nil {
			return nil, 0, &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "secret_damaged",
				Message: fmt.Sprintf("The secret %s of the function cannot be opened; set it again.", name.String), Cause: err}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, 0, explain("read secrets", err)
	}
	if !found {
		return nil, 0, notFound("function")
	}
	return values, revision, nil
}
