package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"hearth"
	"hearth/internal/module/plan"
)

// TreeState is how far the contents of a tree are.
type TreeState struct {
	Total, Ready int
	Missing      []string // ids of contents that are not ready, sorted
	Failure      *hearth.Failure
	Waiting      string    // why one of the missing was put off, "" if none was
	RetryAt      time.Time // when that one is tried again
}

var errRemembered = errors.New("a content of the tree failed a short while ago")

// AddTree writes a tree with its packages, and queues the contents that are not there, in the turn of
// tenant (a name). If one of them failed a short while ago nothing is queued, and the state's Failure
// says why. Asking again is free: nothing is queued twice. A tree with a revoked package is a conflict.
func (s *Store) AddTree(ctx context.Context, t *plan.Tree, tenant string) (state TreeState, err error) {
	p, err := s.packTree(t)
	if err != nil {
		return state, err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		at := now()
		if err := addTree(ctx, tx, t, p, tenant, at); err != nil {
			return err
		}
		state, err = treeState(ctx, tx, t.Key)
		if err == nil && state.Failure != nil {
			err = errRemembered
		}
		return err
	})
	if errors.Is(err, errRemembered) {
		err = nil
	}
	return state, err
}

// packedTree is a tree as its row holds it.
type packedTree struct {
	tenant string
	plan   []byte
}

func (s *Store) packTree(t *plan.Tree) (p packedTree, err error) {
	if !validKey(t.Key) {
		return p, fmt.Errorf("add tree: %.80q is not a key", t.Key)
	}
	if int64(len(t.Packages)) > hearth.LimitPackages.Value {
		return p, hearth.Exceeded(hearth.CodeTooLarge, hearth.LimitPackages)
	}
	for _, k := range t.Packages {
		if k.Tenant == "" {
			continue
		}
		if p.tenant != "" && p.tenant != k.Tenant {
			return p, fmt.Errorf("add tree %s: it has private packages of two tenants", t.Key)
		}
		p.tenant = k.Tenant
	}
	p.plan = s.codec.enc.EncodeAll(t.Encode(), nil)
	return p, nil
}

const (
	insertContent = `INSERT INTO contents (id, tenant, package, version, integrity, scripts, state, asked_by, tree, attempts, losses,
		retry_at, blob_bytes, files, bytes, created_at, used_at) VALUES ($1, $2, $3, $4, $5, $6, 'queued', $7, $8, 0, 0, 0, 0, 0, 0, $9, $9)
		ON CONFLICT (id) DO NOTHING`
	// A failure is forgotten once its time has passed and somebody asks.
	requeueContents = `UPDATE contents SET state = 'queued', attempts = 0, losses = 0, failure = NULL, retry_at = 0, asked_by = $3, tree = $1
		WHERE state = 'failed' AND retry_at <= $2 AND id IN (SELECT p.content FROM tree_packages tp JOIN packages p ON p.key = tp.key WHERE tp.tree = $1)`
	touchContents = `UPDATE contents SET used_at = $2 WHERE used_at < $3 AND id IN
		(SELECT p.content FROM tree_packages tp JOIN packages p ON p.key = tp.key WHERE tp.tree = $1)`
)

// usedEvery is how exactly it is known when a tree was last used: a write for each use would cost more.
const usedEvery = time.Hour

func addTree(ctx context.Context, tx *sql.Tx, t *plan.Tree, p packedTree, tenant string, at int64) error {
	hits, err := revokedIn(ctx, tx, t)
	if err != nil {
		return err
	}
	if len(hits) > 0 {
		return hits[0].Refusal()
	}
	var used int64
	err = tx.QueryRowContext(ctx, `SELECT used_at FROM trees WHERE key = $1`, t.Key).Scan(&used)
	switch {
	case err == nil && at-used > usedEvery.Microseconds():
		if _, err := tx.ExecContext(ctx, `UPDATE trees SET used_at = $2 WHERE key = $1`, t.Key, at); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, touchContents, t.Key, at, at-usedEvery.Microseconds()); err != nil {
			return err
		}
	case errors.Is(err, sql.ErrNoRows):
		if err := insertTree(ctx, tx, t, p, tenant, at); err != nil {
			return fmt.Errorf("insert tree %s: %w", t.Key, err)
		}
	case err != nil:
		return err
	}
	if _, err := tx.ExecContext(ctx, requeueContents, t.Key, at, tenant); err != nil {
		return err
	}
	return nil
}

func insertTree(ctx context.Context, tx *sql.Tx, t *plan.Tree, p packedTree, tenant string, at int64) error {
	if _, err := tx.ExecContext(ctx, `INSERT INTO trees (key, tenant, plan, packages, created_at, used_at) VALUES ($1, $2, $3, $4, $5, $5)`,
		t.Key, p.tenant, p.plan, len(t.Packages), at); err != nil {
		return err
	}
	content, err := tx.PrepareContext(ctx, insertContent)
	if err != nil {
		return err
	}
	defer content.Close()
	same, err := tx.PrepareContext(ctx, `SELECT tenant, package, version, integrity, scripts, used_at FROM contents WHERE id = $1`)
	if err != nil {
		return err
	}
	defer same.Close()
	entry, err := tx.PrepareContext(ctx, `INSERT INTO packages (key, content, tenant, name, package, version) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (key) DO NOTHING`)
	if err != nil {
		return err
	}
	defer entry.Close()
	member, err := tx.PrepareContext(ctx, `INSERT INTO tree_packages (tree, key) VALUES ($1, $2)`)
	if err != nil {
		return err
	}
	defer member.Close()
	var scripted []plan.Package // that are new here
	done := map[string]bool{}
	for _, k := range t.Packages {
		if !validKey(k.Key) || !validKey(k.Content) {
			return fmt.Errorf("%.80q, content %.80q: not keys", k.Key, k.Content)
		}
		if !done[k.Content] {
			done[k.Content] = true
			result, err := content.ExecContext(ctx, k.Content, k.Tenant, k.Package, k.Version, k.Integrity, k.Scripts, tenant, t.Key, at)
			if err != nil {
				return fmt.Errorf("content %s of %s@%s: %w", k.Content, k.Package, k.Version, err)
			}
			if n, err := result.RowsAffected(); err != nil {
				return err
			} else if n > 0 && k.Scripts {
				scripted = append(scripted, k)
			} else if n == 0 {
				var had plan.Package
				var used int64
				if err := same.QueryRowContext(ctx, k.Content).Scan(&had.Tenant, &had.Package, &had.Version, &had.Integrity, &had.Scripts, &used); err != nil {
					return err
				}
				// The content is a hash of these; two that share it were planned wrongly, and must never share bytes.
				if had.Tenant != k.Tenant || had.Package != k.Package || had.Version != k.Version || had.Integrity != k.Integrity || had.Scripts != k.Scripts {
					return fmt.Errorf("content %s is %s@%s, not %s@%s", k.Content, had.Package, had.Version, k.Package, k.Version)
				}
				if at-used > usedEvery.Microseconds() {
					if _, err := tx.ExecContext(ctx, `UPDATE contents SET used_at = $2 WHERE id = $1`, k.Content, at); err != nil {
						return err
					}
				}
			}
		}
		if _, err := entry.ExecContext(ctx, k.Key, k.Content, k.Tenant, k.Name, k.Package, k.Version); err != nil {
			return fmt.Errorf("package %s: %w", k.Key, err)
		}
		if _, err := member.ExecContext(ctx, t.Key, k.Key); err != nil {
			return fmt.Errorf("package %s: %w", k.Key, err)
		}
	}
	for _, k := range scripted {
		for need := range needs(t, k) {
			if _, err := tx.ExecContext(ctx, `INSERT INTO content_needs (content, needs) VALUES ($1, $2)`, k.Content, need); err != nil {
				return fmt.Errorf("needs of %s@%s: %w", k.Package, k.Version, err)
			}
		}
	}
	return nil
}

// needs is the contents that must be ready before k is built: what it depends on, directly or not,
// less what depends on it in turn. Of a cycle somebody has to be first.
func needs(t *plan.Tree, k plan.Package) map[string]bool {
	index := make(map[string]*plan.Package, len(t.Packages))
	for i := range t.Packages {
		index[t.Packages[i].Key] = &t.Packages[i]
	}
	all := map[string]bool{}
	for key := range closure(index, k.Key) {
		p := index[key]
		if p == nil || p.Content == k.Content {
			continue
		}
		if p.Scripts && closure(index, key)[k.Key] {
			continue
		}
		all[p.Content] = true
	}
	return all
}

// closure is the keys that can be reached from key's dependencies.
func closure(index map[string]*plan.Package, key string) map[string]bool {
	seen := map[string]bool{}
	next := []string{key}
	for len(next) > 0 {
		p := index[next[len(next)-1]]
		next = next[:len(next)-1]
		if p == nil {
			continue
		}
		for _, dep := range p.Deps {
			if !seen[dep] {
				seen[dep] = true
				next = append(next, dep)
			}
		}
	}
	return seen
}

const missingContents = `SELECT DISTINCT ` + contentColumns + ` FROM tree_packages tp JOIN packages p ON p.key = tp.key JOIN contents c ON c.id = p.content
	WHERE tp.tree = $1 AND c.state <> 'ready'`

// TreeState says how far a tree is.
func (s *Store) TreeState(ctx context.Context, key string) (TreeState, error) {
	state, err := treeState(ctx, s.reader, key)
	return state, explain("read tree", err)
}

func treeState(ctx context.Context, q querier, key string) (state TreeState, err error) {
	if err := q.QueryRowContext(ctx, `SELECT count(DISTINCT p.content) FROM tree_packages tp JOIN packages p ON p.key = tp.key WHERE tp.tree = $1`,
		key).Scan(&state.Total); err != nil {
		return state, err
	}
	missing, err := collect(ctx, q, func(row scanner) (Content, error) { return scanContent(row) }, missingContents, key)
	if err != nil {
		return state, err
	}
	state.Ready = state.Total - len(missing)
	for _, c := range missing {
		state.Missing = append(state.Missing, c.ID)
		if c.Failure != nil && state.Failure == nil {
			state.Failure = c.Failure
		}
		if c.Waiting != "" && (state.Waiting == "" || c.RetryAt.Before(state.RetryAt)) {
			state.Waiting, state.RetryAt = c.Waiting, c.RetryAt
		}
	}
	slices.Sort(state.Missing)
	return state, nil
}

// Tree returns a tree's plan, or not_found. It is the node's: whoever may name the key may have it.
func (s *Store) Tree(ctx context.Context, key string) (*plan.Tree, error) {
	var packed []byte
	if err := s.reader.QueryRowContext(ctx, `SELECT plan FROM trees WHERE key = $1`, key).Scan(&packed); err != nil {
		return nil, orNotFound(err, "tree")
	}
	raw, err := s.codec.dec.DecodeAll(packed, nil)
	var t *plan.Tree
	if err == nil {
		t, err = plan.Decode(raw)
	}
	if err == nil && t.Key != key {
		err = fmt.Errorf("it is the plan of %.80q", t.Key)
	}
	if err != nil {
		return nil, fmt.Errorf("read tree %s: %w", key, err)
	}
	return t, nil
}

const listTreePackages = `SELECT DISTINCT p.package || '@' || p.version FROM tree_packages tp JOIN packages p ON p.key = tp.key
	WHERE tp.tree = $1 ORDER BY 1 LIMIT $2`

// TreePackages returns name@version of a tree's packages, sorted, no more than LimitPackages.
func (s *Store) TreePackages(ctx context.Context, tree string) ([]string, error) {
	if tree == "" {
		return nil, nil
	}
	all, err := treePackages(ctx, s.reader, tree)
	return all, explain("read packages", err)
}

func treePackages(ctx context.Context, q querier, tree string) ([]string, error) {
	return collect(ctx, q, func(row scanner) (name string, err error) { return name, row.Scan(&name) }, listTreePackages, tree, hearth.LimitPackages.Value)
}

// TreeUse is how many functions have a tree as their active version's, for who decides what to preload.
type TreeUse struct {
	Tree      string
	Functions int
}

// Trees returns the trees of active versions, the most used first, at most limit.
func (s *Store) Trees(ctx context.Context, limit int) ([]TreeUse, error) {
	all, err := collect(ctx, s.reader, func(row scanner) (u TreeUse, err error) { return u, row.Scan(&u.Tree, &u.Functions) },
		`SELECT v.tree, count(*) AS n FROM functions f JOIN versions v ON v.function_id = f.id AND v.number = f.active
			WHERE length(v.tree) = 64 GROUP BY v.tree ORDER BY n DESC, v.tree LIMIT $1`, limit)
	return all, explain("list trees", err)
}

// Of each tenant the oldest, then of each the next, so that a thousand of one do not hide another's.
const unsettled = `SELECT ` + versionWithNames + ` FROM (
		SELECT v.*, row_number() OVER (PARTITION BY f.tenant ORDER BY v.created_at, v.function_id, v.number) AS turn
		FROM versions v JOIN functions f ON f.id = v.function_id WHERE v.status = 'building' AND v.tree IS NULL
	) AS v JOIN functions f ON f.id = v.function_id ORDER BY v.turn, v.created_at, v.function_id, v.number LIMIT 1000`

// Unsettled returns versions of the whole node whose packages are to be settled before their trial,
// tenants in turn and each one's oldest first, at most 1000.
func (s *Store) Unsettled(ctx context.Context) ([]hearth.Version, error) {
	all, err := collect(ctx, s.reader, scanVersion, unsettled)
	return all, explain("list unsettled versions", err)
}

// SettleTree writes down which tree a version has ("" none) and the lock that says so; its trial may
// begin. A version that is settled already, or is not building any more, is left as it is; one that is
// gone is not_found.
func (s *Store) SettleTree(ctx context.Context, v hearth.Version, tree, lock string) error {
	if tree != "" && !validKey(tree) || lock != "" && !validDigest(lock) {
		return fmt.Errorf("settle tree of %s/%s/%s version %d: %.80q and %.80q are no keys", v.Tenant, v.Container, v.Function, v.Number, tree, lock)
	}
	changed := false
	err := s.write(ctx, func(tx *sql.Tx) error {
		changed = false
		f, err := getFunction(ctx, tx, v.Tenant, v.Container, v.Function)
		if err == nil && v.FunctionID != "" && v.FunctionID != f.ID {
			err = sql.ErrNoRows
		}
		if err != nil {
			return orNotFound(err, "version")
		}
		n, err := count(ctx, tx, 1, `SELECT 1 FROM versions WHERE function_id = $1 AND number = $2`, f.ID, v.Number)
		if err == nil && n == 0 {
			err = sql.ErrNoRows
		}
		if err != nil {
			return orNotFound(err, "version")
		}
		if tree != "" {
			if n, err = count(ctx, tx, 1, `SELECT 1 FROM trees WHERE key = $1`, tree); err == nil && n == 0 {
				err = notFound("tree")
			}
			if err != nil {
				return err
			}
		}
		var digest sql.NullString
		if lock != "" {
			digest = sql.NullString{String: lock, Valid: true}
			if there, err := s.blobs.exists(ctx, lockKey(lock)); err != nil {
				return err
			} else if !there {
				return fmt.Errorf("settle tree: lock %s: %w", lock, ErrBlobGone)
			}
		}
		result, err := tx.ExecContext(ctx, `UPDATE versions SET tree = $3, lock = $4 WHERE function_id = $1 AND number = $2 AND status = 'building' AND tree IS NULL`,
			f.ID, v.Number, tree, digest)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		changed = n > 0
		return err
	})
	if err == nil && changed {
		s.onChange(v.Tenant, v.Container)
	}
	return err
}

// validKey reports whether s is 64 hex digits.
func validKey(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == 32 && hex.EncodeToString(raw) == s
}

// HealTree queues again those contents of a tree whose archives are missing from the blob store, or if
// damaged is set have other bytes than were published, in the turn of tenant (a name). It returns how
// many.
func (s *Store) HealTree(ctx context.Context, key, tenant string, damaged bool) (n int, err error) {
	type archive struct{ content, digest string }
	all, err := collect(ctx, s.reader, func(row scanner) (a archive, err error) { return a, row.Scan(&a.content, &a.digest) },
		`SELECT DISTINCT c.id, c.digest FROM tree_packages tp JOIN packages p ON p.key = tp.key JOIN contents c ON c.id = p.content
			WHERE tp.tree = $1 AND c.state = 'ready'`, key)
	if err != nil {
		return 0, explain("heal tree", err)
	}
	for _, a := range all {
		key := archiveKey(a.content, a.digest)
		whole, err := s.blobs.exists(ctx, key)
		if err == nil && whole && damaged {
			whole, err = s.blobs.intact(ctx, key, a.digest)
		}
		if err == nil && !whole {
			n++
			// So that the next one is written whatever is there under its name.
			if err = s.blobs.remove(key); err == nil {
				err = s.RebuildContent(ctx, a.content, a.digest, tenant)
			}
		}
		if err != nil {
			return n, explain("heal tree", err)
		}
	}
	return n, nil
}
