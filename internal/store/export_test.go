package store

import (
	"database/sql"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"hearth"
)

// CheckWhole checks what must hold of the database as a whole, whatever happened to it: SQLite's own
// checks, and that each row finds what it points at.
func CheckWhole(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	for query, want := range map[string]string{
		`PRAGMA integrity_check`:                        "ok",
		`SELECT count(*) FROM pragma_foreign_key_check`: "0",
		`SELECT count(*) FROM functions f WHERE active > 0 AND NOT EXISTS
			(SELECT 1 FROM versions v WHERE v.function_id = f.id AND v.number = f.active AND v.status = 'ready')`: "0",
		`SELECT count(*) FROM versions v WHERE length(v.tree) = 64 AND NOT EXISTS (SELECT 1 FROM trees t WHERE t.key = v.tree)`: "0",
		`SELECT count(*) FROM functions f WHERE NOT EXISTS
			(SELECT 1 FROM versions v WHERE v.function_id = f.id AND v.number = f.latest)`: "0",
	} {
		var got string
		if err := s.writer.QueryRowContext(ctx, query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", query, got, err, want)
		}
	}
	digests, err := collect(ctx, s.reader, func(row scanner) (d string, err error) { return d, row.Scan(&d) }, `SELECT DISTINCT digest FROM versions`)
	if err != nil {
		t.Error(err)
	}
	for _, d := range digests {
		if _, err := s.Code(ctx, d); err != nil {
			t.Errorf("a version names code that is not there: %v", err)
		}
	}
	contents, err := collect(ctx, s.reader, func(row scanner) (id string, err error) { return id, row.Scan(&id) }, `SELECT id FROM contents WHERE state = 'ready'`)
	if err != nil {
		t.Error(err)
	}
	for _, id := range contents {
		r, digest, _, err := s.OpenArchive(ctx, id)
		if err != nil {
			t.Errorf("a content names an archive that is not there: %v", err)
			continue
		}
		raw, err := io.ReadAll(r)
		r.Close()
		if err != nil || digestOf(raw) != digest {
			t.Errorf("the archive of content %s is not that of %s: %v", id, digest, err)
		}
	}
	locks, err := collect(ctx, s.reader, func(row scanner) (d string, err error) { return d, row.Scan(&d) },
		`SELECT lock FROM versions WHERE lock IS NOT NULL UNION SELECT lock FROM lock_cache`)
	if err != nil {
		t.Error(err)
	}
	for _, d := range locks {
		if _, err := s.Lock(ctx, d); err != nil {
			t.Errorf("a lock is not there: %v", err)
		}
	}
}

// FirstSchema makes a database as the first release did, with these statements run on it.
func FirstSchema(t *testing.T, path string, statements ...string) {
	t.Helper()
	if err := create(path); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", dsn(path, "_txlock=immediate"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err == nil {
		_, err = p.UpTo(t.Context(), 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// Exec runs a statement on the writing connection.
func Exec(t *testing.T, s *Store, query string, args ...any) sql.Result {
	t.Helper()
	r, err := s.writer.ExecContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return r
}

// packageUses1 is packageUsers without its order, which DISTINCT sorts for.
var packageUses1, _, _ = strings.Cut(packageUsers, " ORDER BY")

// Plans returns SQLite's plan of each list query, by name.
func Plans(t *testing.T, s *Store) map[string][]string {
	t.Helper()
	plans := map[string][]string{}
	for name, q := range map[string]struct {
		query string
		args  []any
	}{
		"listTenants":     {listTenants, []any{"", 1}},
		"listContainers":  {listContainers, []any{"", "", 1}},
		"listFunctions":   {listFunctions, []any{"", "", "", 1}},
		"getState":        {getState, []any{"", "", ""}},
		"listVersions":    {listVersions, []any{"", "", "", 1, 1}},
		"building":        {building, nil},
		"listSecrets":     {listSecrets, []any{"", "", ""}},
		"tenantRoutes":    {tenantRoutes, []any{""}},
		"containerRoutes": {containerRoutes, []any{"", ""}},
		"pruneKeys":       {pruneKeys, []any{1}},
		"orphan":          {`SELECT 1 FROM versions WHERE digest = $1`, []any{""}},
		"firstPackages":   {firstPackages, []any{"", 1}},
		"morePackages":    {morePackages, []any{"", 1}},
		"moreNamed":       {moreNamedPackages, []any{"", 1, ""}},
		"missing":         {missingContents, []any{""}},
		"packageUsers":    {packageUses1, []any{"", ""}},
		"orphan archive":  {`SELECT 1 FROM contents WHERE digest = $1 AND id = $2`, []any{"", ""}},
		"orphan lock":     {`SELECT 1 FROM versions WHERE lock = $1 UNION ALL SELECT 1 FROM lock_cache WHERE lock = $1`, []any{""}},
		"expired":         {expireLeases, []any{1, ""}},
		"count keys":      {`SELECT 1 FROM idempotency_keys WHERE scope = $1`, []any{""}},
	} {
		plan, err := collect(t.Context(), s.reader, func(row scanner) (detail string, err error) {
			var a, b, c int
			return detail, row.Scan(&a, &b, &c, &detail)
		}, "EXPLAIN QUERY PLAN "+q.query, q.args...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		plans[name] = plan
	}
	return plans
}

// The parsers of foreign bytes, for the fuzz tests.
var (
	DecodeCursor = decodeCursor
	EncodeCursor = encodeCursor
	NameCursor   = nameCursor
	NumberCursor = numberCursor
	DecodeSecret = decodeSecret
	EncodeSecret = encodeSecret
	ReadTar      = readTar
	ArchiveMost  = archiveMost
	DigestOf     = digestOf
)

// Codec returns pack and unpack of a fresh codec.
func Codec(t testing.TB) *codec {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func (c *codec) Pack(files []hearth.File) (string, []byte, error) { return c.pack(files) }
func (c *codec) Unpack(data []byte, digest string) ([]hearth.File, error) {
	return c.unpack(data, digest)
}

func Present(p Precondition, what, id string, revision int64) error {
	return p.present(what, id, revision)
}
