package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"hearth"
	"hearth/internal/module/plan"
)

// Revocation takes a package at one version out of use: no new tree may have it, and no new instance
// uses a tree that has.
type Revocation struct {
	Package, Version string
	Reason           string
	At               time.Time
}

// Refusal is what a deploy that resolves to it is told, and a request that would need it.
func (r Revocation) Refusal() *hearth.Error {
	message := fmt.Sprintf("%s@%s was revoked by the operator", r.Package, r.Version)
	if r.Reason != "" {
		message += ": " + r.Reason
	}
	err := hearth.Errorf(hearth.CodeConflict, "%s", message)
	err.Component, err.Reason = hearth.ComponentRequest, "revoked"
	return err
}

// User is a function with a kept version that uses a package.
type User struct {
	Tenant, Container, Function string
	Versions                    []int // that use it, ascending
	Active                      bool  // the one that serves is among them
}

// usersMost bounds how many versions Users tells of.
const usersMost = 100_000

const packageUsers = `SELECT DISTINCT f.tenant, f.container, f.name, v.number, f.active = v.number
	FROM packages p JOIN tree_packages tp ON tp.key = p.key JOIN versions v ON v.tree = tp.tree JOIN functions f ON f.id = v.function_id
	WHERE p.package = $1 AND p.version = $2 AND length(v.tree) = 64 ORDER BY f.tenant, f.container, f.name, v.number LIMIT $3`

// Users returns the functions that use a package at a version, sorted. It is the operator's.
func (s *Store) Users(ctx context.Context, name, version string) ([]User, error) {
	users, err := packageUses(ctx, s.reader, name, version)
	return users, explain("list users of package", err)
}

func packageUses(ctx context.Context, q querier, name, version string) (users []User, err error) {
	rows, err := q.QueryContext(ctx, packageUsers, name, version, usersMost)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var u User
		var number int
		if err := rows.Scan(&u.Tenant, &u.Container, &u.Function, &number, &u.Active); err != nil {
			return nil, err
		}
		if n := len(users) - 1; n < 0 || users[n].Tenant != u.Tenant || users[n].Container != u.Container || users[n].Function != u.Function {
			users = append(users, u)
		}
		last := &users[len(users)-1]
		last.Versions = append(last.Versions, number)
		last.Active = last.Active || u.Active
	}
	return users, rows.Err()
}

// Revoke takes a package out of use, and returns the functions that it hits. Revoking it again changes
// the reason. OnChange tells of each container hit.
func (s *Store) Revoke(ctx context.Context, name, version, reason string) (users []User, err error) {
	if name == "" || len(name) > 255 || version == "" || len(version) > 255 {
		return nil, hearth.Invalid("package", "must be NAME@VERSION")
	}
	if len(reason) > 4096 {
		return nil, hearth.Invalid("reason", "must have 4096 bytes at most")
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO revocations (package, version, reason, at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (package, version) DO UPDATE SET reason = excluded.reason`, name, version, reason, now()); err != nil {
			return err
		}
		users, err = packageUses(ctx, tx, name, version)
		return err
	})
	if err == nil {
		s.tell(users)
	}
	return users, err
}

// Restore takes a revocation back; one that is not there is not_found.
func (s *Store) Restore(ctx context.Context, name, version string) error {
	var users []User
	err := s.write(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM revocations WHERE package = $1 AND version = $2`, name, version)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return notFound("revocation")
		}
		users, err = packageUses(ctx, tx, name, version)
		return err
	})
	if err == nil {
		s.tell(users)
	}
	return err
}

func (s *Store) tell(users []User) {
	type pair struct{ tenant, container string }
	told := map[pair]bool{}
	for _, u := range users {
		if p := (pair{u.Tenant, u.Container}); !told[p] {
			told[p] = true
			s.onChange(u.Tenant, u.Container)
		}
	}
}

// revocationsMost bounds what is read at once; the operator makes each by hand.
const revocationsMost = 100_000

// Revocations returns all of them, by package and version.
func (s *Store) Revocations(ctx context.Context) ([]Revocation, error) {
	all, err := readRevocations(ctx, s.reader)
	return all, explain("read revocations", err)
}

func readRevocations(ctx context.Context, q querier) ([]Revocation, error) {
	return collect(ctx, q, func(row scanner) (r Revocation, err error) {
		var at int64
		err = row.Scan(&r.Package, &r.Version, &r.Reason, &at)
		r.At = timeOf(at)
		return r, err
	}, `SELECT package, version, reason, at FROM revocations ORDER BY package, version LIMIT $1`, revocationsMost)
}

// revokedIn returns the revocations that a tree meets.
func revokedIn(ctx context.Context, q querier, t *plan.Tree) ([]Revocation, error) {
	all, err := readRevocations(ctx, q)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return Revoked(all, t), nil
}

// Revoked returns those of all that t meets.
func Revoked(all []Revocation, t *plan.Tree) (hits []Revocation) {
	if len(all) == 0 {
		return nil
	}
	has := make(map[string]bool, len(t.Packages))
	for _, p := range t.Packages {
		has[p.Package+"@"+p.Version] = true
	}
	for _, r := range all {
		if has[r.Package+"@"+r.Version] {
			hits = append(hits, r)
		}
	}
	return hits
}

const revokedTrees = `SELECT DISTINCT tp.tree, r.package, r.version, r.reason, r.at FROM revocations r
	JOIN packages p ON p.package = r.package AND p.version = r.version JOIN tree_packages tp ON tp.key = p.key`

// RevokedTrees returns the trees that have a revoked package, each with one of its revocations.
func (s *Store) RevokedTrees(ctx context.Context) (map[string]Revocation, error) {
	trees := map[string]Revocation{}
	_, err := collect(ctx, s.reader, func(row scanner) (none struct{}, err error) {
		var tree string
		var r Revocation
		var at int64
		err = row.Scan(&tree, &r.Package, &r.Version, &r.Reason, &at)
		r.At = timeOf(at)
		trees[tree] = r
		return none, err
	}, revokedTrees)
	return trees, explain("read revoked trees", err)
}
