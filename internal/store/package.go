package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"hearth"
	"hearth/internal/module/plan"
)

// A content goes queued → building → ready, or back to queued, or failed. Whoever builds it holds a
// lease by a token that nobody else has; every step of a builder names it, so that one which slept
// through its lease changes nothing.
const (
	// ContentLease is how long a builder that fell silent keeps a content from the others.
	ContentLease = 10 * time.Second
	// contentAttempts is how often a build is tried that failed by our own trouble.
	contentAttempts = 3
	// contentLosses is how many builders may end while they have a content. That is mostly not the
	// content's fault, and sometimes it is: one that takes the machine down must not do so for ever.
	contentLosses = 10
	// failureLife is how long a failure is told to new deploys before the build is tried again.
	failureLife = 15 * time.Minute
	// retryContent is the first wait after trouble of ours; it doubles.
	retryContent = 2 * time.Second
)

// ErrLeaseLost says that a content is not this builder's any more.
var ErrLeaseLost = errors.New("the lease of this content has passed to another builder")

// Job is one content to build, with the right to say what became of it.
type Job struct {
	Content  string
	Token    string
	Tree     string       // the key of a tree that it is in, which says the rest of Package
	Package  plan.Package // without Name, Deps and Bin; without Key unless it has scripts
	Attempts int          // that failed before
}

const (
	// Of each tenant the first, then of each the second; a tenant that waited longest goes first. So a
	// deploy of a thousand packages does not keep out one of a single package.
	claimQueued = `SELECT id FROM (
			SELECT c.id, c.created_at, row_number() OVER (PARTITION BY c.asked_by ORDER BY c.created_at, c.id) AS turn, coalesce(b.at, 0) AS served
			FROM contents c LEFT JOIN build_turns b ON b.tenant = c.asked_by
			WHERE c.state = 'queued' AND c.scripts = $1 AND c.retry_at <= $2 AND NOT EXISTS
				(SELECT 1 FROM content_needs n JOIN contents d ON d.id = n.needs WHERE n.content = c.id AND d.state <> 'ready')
		) AS waiting ORDER BY turn, served, created_at, id LIMIT $3`
	// Not the claimer's own: it is alive, and a heartbeat that is late, in line behind other writers, is none that was missed.
	expireLeases = `SELECT id, losses FROM contents WHERE state = 'building' AND lease_until < $1 AND owner <> $2`
	takeContent  = `UPDATE contents SET state = 'building', owner = $2, token = $3, lease_until = $4, waiting = NULL WHERE id = $1
		RETURNING tree, package, version, integrity, scripts, tenant, attempts, asked_by`
	freeLease = `owner = NULL, token = NULL, lease_until = NULL`
)

// ClaimContents leases up to n contents, those with scripts or those without, to owner: contents of
// builders that fell silent among them. Tenants are served in turn, each oldest first.
func (s *Store) ClaimContents(ctx context.Context, owner string, scripts bool, n int) (jobs []Job, err error) {
	if idle, err := s.nothingToClaim(ctx, owner); err != nil || idle || n <= 0 {
		return nil, explain("claim contents", err)
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		jobs = nil
		at := now()
		if err := expire(ctx, tx, owner, at); err != nil {
			return err
		}
		ids, err := collect(ctx, tx, func(row scanner) (id string, err error) { return id, row.Scan(&id) }, claimQueued, scripts, at, n)
		if err != nil {
			return err
		}
		served := map[string]bool{}
		for _, id := range ids {
			j := Job{Content: id, Token: newID()}
			var asked string
			p := &j.Package
			err := tx.QueryRowContext(ctx, takeContent, id, owner, j.Token, at+ContentLease.Microseconds()).Scan(&j.Tree, &p.Package, &p.Version, &p.Integrity, &p.Scripts, &p.Tenant, &j.Attempts, &asked)
			if err != nil {
				return fmt.Errorf("take content %s: %w", id, err)
			}
			if p.Content = id; p.Scripts {
				p.Key = id
			}
			jobs = append(jobs, j)
			served[asked] = true
		}
		for tenant := range served {
			if _, err := tx.ExecContext(ctx, `INSERT INTO build_turns (tenant, at) VALUES ($1, $2) ON CONFLICT (tenant) DO UPDATE SET at = excluded.at`, tenant, at); err != nil {
				return err
			}
		}
		return nil
	})
	return jobs, err
}

// nothingToClaim asks without stopping the writers: most looks find nothing.
func (s *Store) nothingToClaim(ctx context.Context, owner string) (bool, error) {
	at := now()
	n, err := count(ctx, s.reader, 1, `SELECT 1 FROM contents WHERE state = 'queued' AND retry_at <= $1
		UNION ALL SELECT 1 FROM contents WHERE state = 'building' AND lease_until < $1 AND owner <> $2`, at, owner)
	return n == 0, err
}

// expire gives back what silent builders other than owner had.
func expire(ctx context.Context, tx *sql.Tx, owner string, at int64) error {
	type lost struct {
		id     string
		losses int
	}
	all, err := collect(ctx, tx, func(row scanner) (l lost, err error) { return l, row.Scan(&l.id, &l.losses) }, expireLeases, at, owner)
	if err != nil {
		return err
	}
	for _, l := range all {
		if l.losses+1 >= contentLosses {
			f := hearth.Failure{Reason: failurePlatform, Message: fmt.Sprintf("The builder ended %d times while it built this package.", contentLosses)}
			if err := bury(ctx, tx, l.id, f, at); err != nil {
				return err
			}
			continue
		}
		if _, err := tx.ExecContext(ctx, `UPDATE contents SET state = 'queued', losses = losses + 1, `+freeLease+` WHERE id = $1`, l.id); err != nil {
			return err
		}
	}
	return nil
}

// HeartbeatContents prolongs leases, and returns the tokens of those that are lost.
func (s *Store) HeartbeatContents(ctx context.Context, tokens map[string]string) (lost []string, err error) {
	if len(tokens) == 0 {
		return nil, nil
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		lost = nil
		until := now() + ContentLease.Microseconds()
		for token, id := range tokens {
			switch err := owned(tx.ExecContext(ctx, `UPDATE contents SET lease_until = $3 WHERE id = $1 AND token = $2`, id, token, until)); {
			case errors.Is(err, ErrLeaseLost):
				lost = append(lost, token)
			case err != nil:
				return err
			}
		}
		return nil
	})
	return lost, err
}

// owned turns a statement that found no row of this lease into ErrLeaseLost.
func owned(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		err = ErrLeaseLost
	}
	return err
}

// ReleaseContents gives back what a builder has that stops: nothing is held against them.
func (s *Store) ReleaseContents(ctx context.Context, owner string) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE contents SET state = 'queued', `+freeLease+` WHERE state = 'building' AND owner = $1`, owner)
		return err
	})
}

// Built is a content that is done; its archive is in the blob store.
type Built struct {
	Content, Token string
	Digest         string // of the archive, "sha256-…"
	BlobBytes      int64  // of the archive
	Files, Bytes   int64  // of what is in it
}

// FinishContents makes contents ready, many in one commit, and returns the tokens of those whose lease
// was lost, which it leaves alone.
func (s *Store) FinishContents(ctx context.Context, all []Built) (lost []string, err error) {
	if len(all) == 0 {
		return nil, nil
	}
	if err := s.blobs.sync(archiveKey(all[0].Content, all[0].Digest)); err != nil { // the names, once for all; the bytes are synced already
		return nil, explain("finish contents", err)
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		lost = nil
		at := now()
		for _, b := range all {
			err := owned(tx.ExecContext(ctx, `UPDATE contents SET state = 'ready', `+freeLease+`, attempts = 0, losses = 0, waiting = NULL, retry_at = 0,
				digest = $3, blob_bytes = $4, files = $5, bytes = $6,
				built_at = CASE WHEN created_at > $7 THEN created_at ELSE $7 END, used_at = CASE WHEN used_at > $7 THEN used_at ELSE $7 END
				WHERE id = $1 AND token = $2`, b.Content, b.Token, b.Digest, b.BlobBytes, b.Files, b.Bytes, at))
			if errors.Is(err, ErrLeaseLost) {
				lost = append(lost, b.Token)
				continue
			}
			if err != nil {
				return err
			}
			// As in insertVersion: the sweep either finds the row, or is found out here.
			there, err := s.blobs.exists(ctx, archiveKey(b.Content, b.Digest))
			if err != nil {
				return err
			}
			if !there {
				return fmt.Errorf("finish content %s: %w", b.Content, ErrBlobGone)
			}
		}
		return nil
	})
	return lost, err
}

// Fault says whose trouble a failed build was.
type Fault int

// The faults.
const (
	FaultPackage Fault = iota // the package's own: final for a while
	FaultOurs                 // tried three times, then a dead letter
	FaultAway                 // the registry is away: tried for ever, and said so
	FaultAwayAll              // the same, and what else is queued for this registry is put off too
)

// FailContent says that a build failed. It returns when the content may be claimed again; zero: the
// failure is final, and every deploy that asks is told it for 15 minutes. After is the least wait.
func (s *Store) FailContent(ctx context.Context, j Job, fault Fault, f hearth.Failure, after time.Duration) (retry time.Time, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		retry = time.Time{}
		at := now()
		var attempts int
		err := tx.QueryRowContext(ctx, `SELECT attempts FROM contents WHERE id = $1 AND token = $2`, j.Content, j.Token).Scan(&attempts)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrLeaseLost
		}
		if err != nil {
			return err
		}
		if fault == FaultOurs {
			attempts++
		}
		if fault == FaultPackage || fault == FaultOurs && attempts >= contentAttempts {
			return bury(ctx, tx, j.Content, f, at)
		}
		if fault == FaultOurs {
			after = max(after, retryContent<<(attempts-1))
		}
		after += rand.N(after/4 + 1) // so that a registry which comes back is not asked by all at once
		retry = timeOf(at + after.Microseconds())
		_, err = tx.ExecContext(ctx, `UPDATE contents SET state = 'queued', `+freeLease+`, attempts = $2, waiting = $3, retry_at = $4 WHERE id = $1`,
			j.Content, attempts, clip(f.Message, 256), retry.UnixMicro())
		if err == nil && fault == FaultAwayAll {
			// In words of their own: what another tenant asks for is nobody's business.
			_, err = tx.ExecContext(ctx, `UPDATE contents SET waiting = substr(replace($2, $4, package || '@' || version), 1, 256), retry_at = $3
				WHERE state = 'queued' AND tenant = $1 AND retry_at < $3`,
				j.Package.Tenant, clip(f.Message, 256), retry.UnixMicro(), j.Package.Package+"@"+j.Package.Version)
		}
		return err
	})
	return retry, err
}

// RegistryBack makes what was put off since a registry was away due at once: that of a tenant (its id),
// or the shared one.
func (s *Store) RegistryBack(ctx context.Context, tenant string) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE contents SET waiting = NULL, retry_at = 0 WHERE state = 'queued' AND tenant = $1 AND waiting IS NOT NULL AND attempts = 0`, tenant)
		return err
	})
}

// bury makes a content failed, and those that wait for it. These may be tried at once when somebody
// asks again: if it still fails, it is what they are told.
func bury(ctx context.Context, tx *sql.Tx, id string, f hearth.Failure, at int64) error {
	set := func(id string, f hearth.Failure, until int64) error {
		raw, err := encodeFailure(f)
		if err == nil {
			_, err = tx.ExecContext(ctx, `UPDATE contents SET state = 'failed', `+freeLease+`, waiting = NULL, failure = $2, retry_at = $3 WHERE id = $1`, id, raw, until)
		}
		return err
	}
	var name string
	if err := tx.QueryRowContext(ctx, `SELECT package || '@' || version FROM contents WHERE id = $1`, id).Scan(&name); err != nil {
		return err
	}
	f.Message = name + ": " + f.Message
	if err := set(id, f, at+failureLife.Microseconds()); err != nil {
		return err
	}
	waiting, err := collect(ctx, tx, func(row scanner) (id string, err error) { return id, row.Scan(&id) },
		`SELECT c.id FROM content_needs n JOIN contents c ON c.id = n.content WHERE n.needs = $1 AND c.state = 'queued'`, id)
	if err != nil {
		return err
	}
	for _, id := range waiting {
		if err := set(id, f, at); err != nil {
			return err
		}
	}
	return nil
}

// Content is what may be told of one.
type Content struct {
	ID               string
	Tenant           string // the id of the tenant that it is private to; "" shared
	Package, Version string
	Integrity        string
	Scripts          bool
	State            string // queued, building, ready, failed
	Attempts         int    // that failed
	Waiting          string // why a queued one was put off
	RetryAt          time.Time
	Digest           string // of the archive
	BlobBytes        int64  // of the archive
	Files, Bytes     int64  // of what is in it
	Failure          *hearth.Failure
	CreatedAt        time.Time
	BuiltAt          time.Time // zero until it is ready
	UsedAt           time.Time // when a deploy last asked for it
}

const contentColumns = `c.id, c.tenant, c.package, c.version, c.integrity, c.scripts, c.state, c.attempts, c.waiting, c.retry_at,
	c.digest, c.blob_bytes, c.files, c.bytes, c.failure, c.created_at, c.built_at, c.used_at`

func scanContent(row scanner, more ...any) (c Content, err error) {
	var waiting, digest, failure sql.NullString
	var retry, created, used int64
	var built sql.NullInt64
	err = row.Scan(append([]any{&c.ID, &c.Tenant, &c.Package, &c.Version, &c.Integrity, &c.Scripts, &c.State, &c.Attempts, &waiting, &retry,
		&digest, &c.BlobBytes, &c.Files, &c.Bytes, &failure, &created, &built, &used}, more...)...)
	if err != nil {
		return c, err
	}
	c.Waiting, c.Digest, c.CreatedAt, c.UsedAt = waiting.String, digest.String, timeOf(created), timeOf(used)
	if retry > 0 {
		c.RetryAt = timeOf(retry)
	}
	if built.Valid {
		c.BuiltAt = timeOf(built.Int64)
	}
	c.Failure, err = decodeFailure(failure)
	return c, err
}

// Contents returns contents by their ids, in no order; unknown ones are left out.
func (s *Store) Contents(ctx context.Context, ids []string) (all []Content, err error) {
	const most = 500 // parameters of a statement
	for len(ids) > 0 {
		part := ids[:min(most, len(ids))]
		ids = ids[len(part):]
		marks, args := placeholders(part)
		some, err := collect(ctx, s.reader, func(row scanner) (Content, error) { return scanContent(row) },
			`SELECT `+contentColumns+` FROM contents c WHERE c.id IN (`+marks+`)`, args...)
		if err != nil {
			return nil, explain("read contents", err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// placeholders is "$1, $2, …" with their values.
func placeholders(values []string) (string, []any) {
	var b strings.Builder
	args := make([]any, len(values))
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", i+1)
		args[i] = v
	}
	return b.String(), args
}

// PackageInfo is a content with the number of functions whose kept versions use it.
type PackageInfo struct {
	Content
	Functions int64
}

const (
	selectPackages = `SELECT ` + contentColumns + `, (SELECT count(DISTINCT v.function_id) FROM packages p
		JOIN tree_packages tp ON tp.key = p.key JOIN versions v ON v.tree = tp.tree WHERE p.content = c.id AND length(v.tree) = 64) FROM contents c `
	afterPackage  = `(c.package, c.version, c.id) > (SELECT l.package, l.version, l.id FROM contents l WHERE l.id = $1)`
	orderPackages = ` ORDER BY c.package, c.version, c.id LIMIT $2`

	firstPackages      = selectPackages + `WHERE $1 = ''` + orderPackages
	morePackages       = selectPackages + `WHERE ` + afterPackage + orderPackages
	firstNamedPackages = selectPackages + `WHERE $1 = '' AND c.package = $3` + orderPackages
	moreNamedPackages  = selectPackages + `WHERE ` + afterPackage + ` AND c.package = $3` + orderPackages
)

// Packages returns a page of what is built, queued or failed in the whole system, by name and version;
// of one package only if name is not "". It is the operator's: private packages are in it.
func (s *Store) Packages(ctx context.Context, name, cursor string, limit int) (page []PackageInfo, next string, err error) {
	list := "packages/" + name
	size, err := pageSize(limit)
	if err != nil {
		return nil, "", err
	}
	after, err := decodeCursor(list, cursor)
	if err == nil && after != "" && !validKey(after) {
		err = hearth.Invalid("cursor", "is not one that this list gave")
	}
	if err != nil {
		return nil, "", err
	}
	query, args := firstPackages, []any{after, size + 1}
	switch {
	case name != "" && after != "":
		query, args = moreNamedPackages, append(args, name)
	case name != "":
		query, args = firstNamedPackages, append(args, name)
	case after != "":
		query = morePackages
	}
	page, err = collect(ctx, s.reader, func(row scanner) (p PackageInfo, err error) {
		p.Content, err = scanContent(row, &p.Functions)
		return p, err
	}, query, args...)
	if err != nil {
		return nil, "", explain("list packages", err)
	}
	page, next = cut(page, size, list, func(p PackageInfo) string { return p.ID })
	return page, next, nil
}

// contentStates counts by the partial indexes alone; what is ready, and most, has none.
const contentStates = `SELECT (SELECT count(*) FROM contents WHERE state = 'queued'), (SELECT count(*) FROM contents WHERE state = 'building'),
	(SELECT count(*) FROM contents WHERE state = 'failed')`

// ContentStates says how many contents are queued, building and failed.
func (s *Store) ContentStates(ctx context.Context) (queued, building, failed int64, err error) {
	err = s.reader.QueryRowContext(ctx, contentStates).Scan(&queued, &building, &failed)
	return queued, building, failed, explain("count packages", err)
}

func encodeFailure(f hearth.Failure) (string, error) {
	raw, err := json.Marshal(hearth.Failure{Reason: clip(f.Reason, failureReasonMost),
		Message: clip(f.Message, failureMessageMost), Stack: clip(f.Stack, failureStackMost)})
	return string(raw), err
}

func decodeFailure(raw sql.NullString) (*hearth.Failure, error) {
	if !raw.Valid {
		return nil, nil
	}
	f := new(hearth.Failure)
	return f, json.Unmarshal([]byte(raw.String), f)
}
