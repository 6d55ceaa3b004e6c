package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"hearth"
)

const versionColumns = `v.number, v.status, v.manifest, v.digest, v.loaded, v.failure, v.created_at, v.settled_at, v.tree, v.lock, v.refresh`

// versionRow is where Scan puts versionColumns.
type versionRow struct {
	number           int
	status, digest   string
	manifest         string
	loaded, failure  sql.NullString
	created, settled sql.NullInt64
	tree, lock       sql.NullString
	refresh          bool
}

func (r *versionRow) dest() []any {
	return []any{&r.number, &r.status, &r.manifest, &r.digest, &r.loaded, &r.failure, &r.created, &r.settled, &r.tree, &r.lock, &r.refresh}
}

// version makes a row a version of f.
func (r *versionRow) version(f hearth.Function) (hearth.Version, error) {
	v := hearth.Version{Tenant: f.Tenant, Container: f.Container, Function: f.Name, FunctionID: f.ID, Number: r.number,
		Status: hearth.Status(r.status), Digest: r.digest, CreatedAt: timeOf(r.created.Int64),
		Tree: r.tree.String, Settled: r.tree.Valid, Lock: r.lock.String, Refresh: r.refresh}
	if r.settled.Valid {
		v.SettledAt = timeOf(r.settled.Int64)
	}
	err := json.Unmarshal([]byte(r.manifest), &v.Manifest)
	if err == nil && r.loaded.Valid {
		v.Loaded, v.Stripped, err = decodeLoaded(r.loaded.String)
	}
	if err == nil {
		v.Failure, err = decodeFailure(r.failure)
	}
	if err != nil {
		return v, fmt.Errorf("read version %d of function %s: %w", r.number, f.ID, err)
	}
	return v, nil
}

// Of a version with its function's names, in this order.
const versionWithNames = `f.tenant, f.container, f.name, f.id, ` + versionColumns

func scanVersion(row scanner) (hearth.Version, error) {
	var f hearth.Function
	var r versionRow
	if err := row.Scan(append([]any{&f.Tenant, &f.Container, &f.Name, &f.ID}, r.dest()...)...); err != nil {
		return hearth.Version{}, err
	}
	return r.version(f)
}

// encodeManifest is the text by which manifests are kept and compared.
func encodeManifest(m hearth.Manifest) (string, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return "", hearth.Invalid("config", "is not JSON")
	}
	return strings.TrimSuffix(buf.String(), "\n"), nil
}

// The reasons of failures that the same document need not have again: it was not the code's fault.
const (
	failurePlatform     = "platform"
	failureDependencies = "dependencies"
)

// putVersion sees to it that the newest version is this manifest with this code, and that it serves
// once it is ready. It reports whether anything had to change.
func (s *Store) putVersion(ctx context.Context, tx *sql.Tx, f functionRow, p PutFunction, manifest, digest string, at int64) (changed bool, err error) {
	var r versionRow
	var activates bool
	var secretsRevision int64
	err = tx.QueryRowContext(ctx, `SELECT `+versionColumns+`, v.activates, v.secrets_revision FROM versions v WHERE v.function_id = $1 AND v.number = $2`,
		f.ID, f.Latest).Scan(append(r.dest(), &activates, &secretsRevision)...)
	if err != nil {
		return false, fmt.Errorf("read newest version: %w", err)
	}
	latest, err := r.version(f.Function)
	if err != nil {
		return false, err
	}
	same := r.manifest == manifest && r.digest == digest && !(p.Refresh && p.Manifest.HasDependencies())
	switch {
	case same && latest.Status == hearth.StatusReady:
		if f.Active == latest.Number {
			return false, nil
		}
		return true, activate(ctx, tx, f.ID, latest.Number)
	case same && latest.Status == hearth.StatusBuilding:
		if activates {
			return false, nil
		}
		_, err := tx.ExecContext(ctx, `UPDATE versions SET activates = 1 WHERE function_id = $1 AND number = $2`, f.ID, latest.Number)
		return true, err
	case same && latest.Failure.Reason != failurePlatform && latest.Failure.Reason != failureDependencies && secretsRevision == f.secretsRevision:
		return false, nil // it would fail again
	}
	number := f.Latest + 1
	if _, err := tx.ExecContext(ctx, `UPDATE functions SET latest = $2 WHERE id = $1`, f.ID, number); err != nil {
		return false, err
	}
	if err := s.insertVersion(ctx, tx, f, p, number, manifest, digest, at); err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM versions WHERE function_id = $1 AND number <= $2 AND number <> $3`,
		f.ID, number-hearth.LimitVersions.Int(), f.Active)
	return true, err
}

func (s *Store) insertVersion(ctx context.Context, tx *sql.Tx, f functionRow, p PutFunction, number int, manifest, digest string, at int64) error {
	tree := sql.NullString{Valid: !p.Manifest.HasDependencies()}
	_, err := tx.ExecContext(ctx, `INSERT INTO versions (function_id, number, status, activates, manifest, digest, secrets_revision, created_at, tree, refresh)
		VALUES ($1, $2, 'building', 1, $3, $4, $5, $6, $7, $8)`, f.ID, number, manifest, digest, f.secretsRevision, at, tree, p.Refresh)
	if err == nil && p.Refresh {
		err = forgetLock(ctx, tx, f.Tenant, LockKey(p.Manifest))
	}
	if err != nil {
		return fmt.Errorf("insert version: %w", err)
	}
	// The sweep deletes within a write transaction too, after looking for a row like this one. So
	// either it comes later and finds the row, or it came before and is found out here.
	there, err := s.blobs.exists(ctx, codeKey(digest))
	if err == nil && !there {
		err = ErrBlobGone
	}
	return err
}

func activate(ctx context.Context, tx *sql.Tx, functionID string, number int) error {
	_, err := tx.ExecContext(ctx, `UPDATE functions SET active = $2 WHERE id = $1`, functionID, number)
	return err
}

const listVersions = `SELECT ` + versionWithNames + ` FROM functions f JOIN versions v ON v.function_id = f.id
	WHERE f.tenant = $1 AND f.container = $2 AND f.name = $3 AND v.number < $4 ORDER BY v.number DESC LIMIT $5`

// ListVersions returns a page of a function's versions, the newest first.
func (s *Store) ListVersions(ctx context.Context, tenant, container, function, cursor string, limit int) (page []hearth.Version, next string, err error) {
	list := "versions/" + tenant + "/" + container + "/" + function
	size, err := pageSize(limit)
	if err != nil {
		return nil, "", err
	}
	before, err := numberCursor(list, cursor, 1<<62)
	if err != nil {
		return nil, "", err
	}
	page, err = collect(ctx, s.reader, scanVersion, listVersions, tenant, container, function, before, size+1)
	if err == nil && len(page) == 0 {
		_, err = getFunction(ctx, s.reader, tenant, container, function)
	}
	if err != nil {
		return nil, "", orNotFound(err, "function")
	}
	page, next = cut(page, size, list, func(v hearth.Version) string { return strconv.Itoa(v.Number) })
	return page, next, nil
}

// GetVersion returns one version, or not_found.
func (s *Store) GetVersion(ctx context.Context, tenant, container, function string, number int) (hearth.Version, error) {
	v, err := scanVersion(s.reader.QueryRowContext(ctx, `SELECT `+versionWithNames+` FROM functions f JOIN versions v ON v.function_id = f.id
		WHERE f.tenant = $1 AND f.container = $2 AND f.name = $3 AND v.number = $4`, tenant, container, function, number))
	if err != nil {
		return hearth.Version{}, orNotFound(err, "version")
	}
	return v, nil
}

// Rollback activates a kept ready version, older or newer. Versions that are still building will not
// take over by themselves any more. A version that is not ready is a conflict, an unknown one not_found.
func (s *Store) Rollback(ctx context.Context, tenant, container, name string, number int, pre Precondition) (state FunctionState, err error) {
	changed := false
	err = s.write(ctx, func(tx *sql.Tx) error {
		f, err := getFunction(ctx, tx, tenant, container, name)
		if err != nil {
			return orNotFound(err, "function")
		}
		if err := pre.present("function", f.ID, f.Revision); err != nil {
			return err
		}
		var status hearth.Status
		err = tx.QueryRowContext(ctx, `SELECT status FROM versions WHERE function_id = $1 AND number = $2`, f.ID, number).Scan(&status)
		if err != nil {
			return orNotFound(err, "version")
		}
		if status != hearth.StatusReady {
			return conflict(string(status), "Version %d is %s; only a ready version can serve.", number, status)
		}
		result, err := tx.ExecContext(ctx, `UPDATE versions SET activates = 0 WHERE function_id = $1 AND status = 'building' AND activates = 1`, f.ID)
		if err != nil {
			return err
		}
		stopped, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if changed = stopped > 0 || f.Active != number; changed {
			if err := activate(ctx, tx, f.ID, number); err != nil {
				return err
			}
			if err := touch(ctx, tx, f.ID, now()); err != nil {
				return err
			}
		}
		state, err = readState(ctx, tx, tenant, container, name)
		return err
	})
	if err != nil {
		return FunctionState{}, err
	}
	if changed {
		s.onChange(tenant, container)
	}
	return state, nil
}

const building = `SELECT ` + versionWithNames + ` FROM versions v JOIN functions f ON f.id = v.function_id
	WHERE v.status = 'building' AND v.tree IS NOT NULL ORDER BY v.created_at, v.function_id, v.number LIMIT 1000`

// Building returns versions of the whole node that wait for their trial, the oldest first, at most
// 1000. Those whose packages are not settled are not among them: see Unsettled.
func (s *Store) Building(ctx context.Context) ([]hearth.Version, error) {
	all, err := collect(ctx, s.reader, scanVersion, building)
	return all, explain("list building versions", err)
}

// Settle writes down what became of a building version: v.Status ready with v.Loaded and, if it was
// kept, v.Stripped; or failed with v.Failure. A ready version becomes active unless a newer one is, or a rollback came after it was
// made. Settling a version that is settled already changes nothing. If v.FunctionID is set, the
// function must still be that one. A version that is gone is not_found.
func (s *Store) Settle(ctx context.Context, v hearth.Version) error {
	loaded, failure, err := encodeOutcome(v)
	if err != nil {
		return err
	}
	changed := false
	err = s.write(ctx, func(tx *sql.Tx) error {
		changed = false
		f, err := getFunction(ctx, tx, v.Tenant, v.Container, v.Function)
		if err == nil && v.FunctionID != "" && v.FunctionID != f.ID {
			err = sql.ErrNoRows
		}
		var status hearth.Status
		var activates bool
		if err == nil {
			err = tx.QueryRowContext(ctx, `SELECT status, activates FROM versions WHERE function_id = $1 AND number = $2`, f.ID, v.Number).Scan(&status, &activates)
		}
		if err != nil {
			return orNotFound(err, "version")
		}
		if status != hearth.StatusBuilding {
			return nil
		}
		changed = true
		if _, err := tx.ExecContext(ctx, `UPDATE versions SET status = $3, loaded = $4, failure = $5, settled_at = CASE WHEN created_at > $6 THEN created_at ELSE $6 END
			WHERE function_id = $1 AND number = $2`, f.ID, v.Number, string(v.Status), loaded, failure, now()); err != nil {
			return err
		}
		if v.Status == hearth.StatusReady && activates && v.Number > f.Active {
			return activate(ctx, tx, f.ID, v.Number)
		}
		return nil
	})
	if err == nil && changed {
		s.onChange(v.Tenant, v.Container)
	}
	return err
}

// Bounds of what a failure may say, in bytes; the schema allows for JSON's escapes.
const (
	failureReasonMost  = 64
	failureMessageMost = 16 << 10
	failureStackMost   = 64 << 10
)

// loadedColumn is what the column loaded holds: what the trial's instance said, and what we made of
// the version there.
type loadedColumn struct {
	hearth.Loaded
	Stripped string `json:"stripped,omitempty"`
}

func decodeLoaded(text string) (hearth.Loaded, string, error) {
	var c loadedColumn
	err := json.Unmarshal([]byte(text), &c)
	return c.Loaded, c.Stripped, err
}

func encodeOutcome(v hearth.Version) (loaded, failure sql.NullString, err error) {
	switch {
	case v.Status == hearth.StatusReady:
		raw, err := json.Marshal(loadedColumn{v.Loaded, v.Stripped})
		return sql.NullString{String: string(raw), Valid: true}, failure, err
	case v.Status == hearth.StatusFailed && v.Failure != nil:
		raw, err := encodeFailure(*v.Failure)
		return loaded, sql.NullString{String: raw, Valid: true}, err
	}
	return loaded, failure, fmt.Errorf("settle version %d of %s/%s/%s: it is %q, neither ready nor failed with a reason",
		v.Number, v.Tenant, v.Container, v.Function, v.Status)
}

// clip cuts s to most bytes, not within a character.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
