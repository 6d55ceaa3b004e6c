package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"hearth"
)

// FunctionState is a function with the versions that matter.
type FunctionState struct {
	hearth.Function
	Active      *hearth.Version // the version that serves; nil while none is ready
	Latest      *hearth.Version // the newest version, whatever became of it
	SecretNames []string        // sorted; nil in lists
	Packages    []string        // name@version of the latest version's packages, sorted; nil in lists and until they are settled
}

const functionColumns = `f.tenant, f.container, f.name, f.id, f.active, f.latest, f.secrets_revision, f.revision, f.created_at, f.updated_at`

// functionRow is a row of functions.
type functionRow struct {
	hearth.Function
	secretsRevision int64
}

// functionDest is where Scan puts functionColumns; the times want timeOf afterwards.
func functionDest(f *functionRow, created, updated *int64) []any {
	return []any{&f.Tenant, &f.Container, &f.Name, &f.ID, &f.Active, &f.Latest, &f.secretsRevision, &f.Revision, created, updated}
}

// getFunction returns sql.ErrNoRows if there is none.
func getFunction(ctx context.Context, q querier, tenant, container, name string) (f functionRow, err error) {
	var created, updated int64
	err = q.QueryRowContext(ctx, `SELECT `+functionColumns+` FROM functions f WHERE f.tenant = $1 AND f.container = $2 AND f.name = $3`,
		tenant, container, name).Scan(functionDest(&f, &created, &updated)...)
	f.CreatedAt, f.UpdatedAt = timeOf(created), timeOf(updated)
	return f, err
}

// A state is read by one statement, which sees one moment: a row for the latest version, and another
// for the active one if that is not the latest.
const (
	selectStates  = `SELECT ` + functionColumns + `, ` + versionColumns + ` FROM `
	joinStates    = ` f JOIN versions v ON v.function_id = f.id AND v.number IN (f.active, f.latest) `
	getState      = selectStates + `functions` + joinStates + `WHERE f.tenant = $1 AND f.container = $2 AND f.name = $3 ORDER BY v.number`
	listFunctions = selectStates + `(SELECT * FROM functions WHERE tenant = $1 AND container = $2 AND name > $3 ORDER BY name LIMIT $4)` +
		joinStates + `ORDER BY f.name, v.number`
)

func readStates(ctx context.Context, q querier, query string, args ...any) ([]FunctionState, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []FunctionState
	for rows.Next() {
		var f functionRow
		var v versionRow
		var created, updated int64
		if err := rows.Scan(append(functionDest(&f, &created, &updated), v.dest()...)...); err != nil {
			return nil, err
		}
		f.CreatedAt, f.UpdatedAt = timeOf(created), timeOf(updated)
		version, err := v.version(f.Function)
		if err != nil {
			return nil, err
		}
		if n := len(all); n == 0 || all[n-1].ID != f.ID {
			all = append(all, FunctionState{Function: f.Function})
		}
		state := &all[len(all)-1]
		if version.Number == f.Function.Active {
			state.Active = &version
		}
		if version.Number == f.Function.Latest {
			state.Latest = &version
		}
	}
	return all, rows.Err()
}

// readState reads one function with the names of its secrets.
func readState(ctx context.Context, q querier, tenant, container, name string) (FunctionState, error) {
	states, err := readStates(ctx, q, getState, tenant, container, name)
	if err == nil && len(states) == 0 {
		err = sql.ErrNoRows
	}
	if err != nil {
		return FunctionState{}, orNotFound(err, "function")
	}
	state := states[0]
	state.SecretNames, err = collect(ctx, q, func(row scanner) (name string, err error) {
		return name, row.Scan(&name)
	}, `SELECT name FROM secrets WHERE function_id = $1 ORDER BY name`, state.ID)
	if err != nil {
		return FunctionState{}, explain("read names of secrets", err)
	}
	if state.Latest != nil && state.Latest.Tree != "" {
		state.Packages, err = treePackages(ctx, q, state.Latest.Tree)
	}
	return state, explain("read packages", err)
}

// GetFunction returns one function, or not_found.
func (s *Store) GetFunction(ctx context.Context, tenant, container, name string) (FunctionState, error) {
	return readState(ctx, s.reader, tenant, container, name)
}

// ListFunctions returns a page of a container's functions by name, without the names of secrets.
func (s *Store) ListFunctions(ctx context.Context, tenant, container, cursor string, limit int) (page []FunctionState, next string, err error) {
	list := "functions/" + tenant + "/" + container
	size, err := pageSize(limit)
	if err != nil {
		return nil, "", err
	}
	after, err := nameCursor(list, cursor)
	if err != nil {
		return nil, "", err
	}
	page, err = readStates(ctx, s.reader, listFunctions, tenant, container, after, size+1)
	if err == nil && len(page) == 0 {
		_, err = getContainer(ctx, s.reader, tenant, container)
	}
	if err != nil {
		return nil, "", orNotFound(err, "container")
	}
	page, next = cut(page, size, list, func(f FunctionState) string { return f.Name })
	return page, next, nil
}

// PutFunction is a whole document of a function, as PUT carries it.
type PutFunction struct {
	Tenant, Container, Name string

	Manifest     hearth.Manifest
	Files        []hearth.File
	Secrets      map[string]*string // merged: absent keeps, nil removes
	Refresh      bool               // resolve the dependencies again, though nothing else changed
	Precondition Precondition
}

// ErrBlobGone says that what a write names was swept away, since nothing named it for minutes: write
// it again, then its row.
var ErrBlobGone = errors.New("the blob was swept before its row was written")

// blobTries bounds how often a blob is written again that was swept away before its row: twice in a row
// takes a sweep that spares nothing for its age, as tests have it.
const blobTries = 20

// PutFunction creates the function or gives it a new version, in state building. A document equal
// to the newest version's makes none; if that one is ready and not active, it becomes active again.
// A failed version is made anew when its secrets changed since or the platform was at fault.
// The bool says that the function was created. Errors: invalid, too_large, not_found (the container),
// precondition_failed, conflict (too many functions), no_space.
func (s *Store) PutFunction(ctx context.Context, p PutFunction) (state FunctionState, created bool, err error) {
	if !hearth.ValidName(p.Name) {
		return state, false, invalidName("name")
	}
	if err := checkSecrets(p.Secrets); err != nil {
		return state, false, err
	}
	manifest, err := encodeManifest(p.Manifest)
	if err != nil {
		return state, false, err
	}
	digest, archive, err := s.codec.pack(p.Files)
	if err != nil {
		return state, false, err
	}
	// Before the blob is written, so that requests for nothing leave nothing behind.
	if _, err := getContainer(ctx, s.reader, p.Tenant, p.Container); err != nil {
		return state, false, orNotFound(err, "container")
	}
	changed := false
	for try := 0; ; try++ {
		if err := s.keepCode(ctx, digest, archive); err != nil {
			return FunctionState{}, false, explain("keep code", err)
		}
		err = s.write(ctx, func(tx *sql.Tx) error {
			created, changed, err = s.putFunction(ctx, tx, p, manifest, digest)
			if err != nil {
				return err
			}
			state, err = readState(ctx, tx, p.Tenant, p.Container, p.Name)
			return err
		})
		if !errors.Is(err, ErrBlobGone) || try == blobTries {
			break
		}
	}
	if err != nil {
		return FunctionState{}, false, err
	}
	if changed {
		s.onChange(p.Tenant, p.Container)
	}
	return state, created, nil
}

// putFunction is PutFunction within a transaction; the blob is there already.
func (s *Store) putFunction(ctx context.Context, tx *sql.Tx, p PutFunction, manifest, digest string) (created, changed bool, err error) {
	if _, err := getContainer(ctx, tx, p.Tenant, p.Container); err != nil {
		return false, false, orNotFound(err, "container")
	}
	at := now()
	f, err := getFunction(ctx, tx, p.Tenant, p.Container, p.Name)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		if f, err = insertFunction(ctx, tx, p, at); err != nil {
			return false, false, err
		}
		if _, err := s.mergeSecrets(ctx, tx, &f, p.Secrets, at); err != nil {
			return false, false, err
		}
		return true, true, s.insertVersion(ctx, tx, f, p, 1, manifest, digest, at)
	case err != nil:
		return false, false, err
	}
	if err := p.Precondition.present("function", f.ID, f.Revision); err != nil {
		return false, false, err
	}
	secretsChanged, err := s.mergeSecrets(ctx, tx, &f, p.Secrets, at)
	if err != nil {
		return false, false, err
	}
	versionChanged, err := s.putVersion(ctx, tx, f, p, manifest, digest, at)
	if err != nil || !secretsChanged && !versionChanged {
		return false, false, err
	}
	return false, true, touch(ctx, tx, f.ID, at)
}

func insertFunction(ctx context.Context, tx *sql.Tx, p PutFunction, at int64) (f functionRow, err error) {
	if err := p.Precondition.absent("function"); err != nil {
		return f, err
	}
	n, err := count(ctx, tx, hearth.LimitFunctions.Value, `SELECT 1 FROM functions WHERE tenant = $1 AND container = $2`, p.Tenant, p.Container)
	if err != nil {
		return f, err
	}
	if n >= hearth.LimitFunctions.Value {
		return f, hearth.Exceeded(hearth.CodeConflict, hearth.LimitFunctions)
	}
	f.Function = hearth.Function{ID: newID(), Tenant: p.Tenant, Container: p.Container, Name: p.Name, Latest: 1, Revision: 1}
	_, err = tx.ExecContext(ctx, `INSERT INTO functions (tenant, container, name, id, active, latest, secrets_revision, revision, created_at, updated_at)
		VALUES ($1, $2, $3, $4, 0, 1, 0, 1, $5, $5)`, p.Tenant, p.Container, p.Name, f.ID, at)
	return f, err
}

// touch marks a write on a function. What the platform does by itself (Settle) is none: it would take
// the ETag from under an owner who just got it.
func touch(ctx context.Context, tx *sql.Tx, id string, at int64) error {
	_, err := tx.ExecContext(ctx, `UPDATE functions SET revision = revision + 1, updated_at = CASE WHEN updated_at > $2 THEN updated_at ELSE $2 END WHERE id = $1`, id, at)
	return err
}

// DeleteFunction deletes a function with its versions and secrets; the sweep removes its code.
func (s *Store) DeleteFunction(ctx context.Context, tenant, container, name string, pre Precondition) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		f, err := getFunction(ctx, tx, tenant, container, name)
		if err != nil {
			return orNotFound(err, "function")
		}
		if err := pre.present("function", f.ID, f.Revision); err != nil {
			return err
		}
		if _, err = tx.ExecContext(ctx, `DELETE FROM functions WHERE tenant = $1 AND container = $2 AND name = $3`, tenant, container, name); err != nil {
			return fmt.Errorf("delete function: %w", err)
		}
		return nil
	})
	if err == nil {
		s.onChange(tenant, container)
	}
	return err
}
