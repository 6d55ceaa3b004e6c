package store_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"gocloud.dev/secrets/localsecrets"

	"hearth"
	"hearth/internal/store"
	"hearth/internal/store/storetest"
)

func config(t *testing.T, dir string) store.Config {
	return store.Config{Database: "sqlite:" + filepath.Join(dir, "hearth.db"), Blobs: "file:" + filepath.Join(dir, "blobs"),
		Keeper: storetest.Keeper(t), Log: slog.New(slog.DiscardHandler)}
}

func fixtureAt(t *testing.T, dir string) *storetest.Fixture {
	return storetest.New(t, func(t *testing.T, c store.Config) *store.Store { return openAt(t, c, dir) })
}

func wantRefused(t *testing.T, c store.Config, parts ...string) {
	t.Helper()
	s, err := store.Open(t.Context(), c)
	if err == nil {
		s.Close()
		t.Fatalf("open: no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("open: %v; want one with %q", err, part)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := config(t, dir)
	c.Database = "postgres://user:canary@host/db"
	wantRefused(t, c, "sqlite:PATH", "postgres:")
	if _, err := store.Open(t.Context(), c); strings.Contains(err.Error(), "canary") {
		t.Errorf("the error tells the password: %v", err)
	}
	for _, blobs := range []string{"s3://bucket?region=x", "", "file:", "/plain/path", "file://host/path"} {
		c := config(t, dir)
		c.Blobs = blobs
		wantRefused(t, c, "file:DIRECTORY")
	}
	c = config(t, dir)
	c.Keeper = nil
	wantRefused(t, c, "keeper")
}

func TestOpenRefusesNewerSchema(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := fixtureAt(t, dir)
	store.Exec(t, f.Store, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
	wantRefused(t, config(t, dir), "newer Hearth", "9999")
}

func TestOpenRefusesAnotherKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fixtureAt(t, dir)
	c := config(t, dir)
	c.Keeper = localsecrets.NewKeeper([32]byte{9})
	t.Cleanup(func() { c.Keeper.Close() })
	wantRefused(t, c, "key does not open")
}

func TestOpenDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hearth.db"), bytes.Repeat([]byte("not a database\n"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, config(t, dir), "damaged", "backup")
}

// Pages overwritten with noise, the header spared: an answer is right or says that there is damage.
func TestDamagedPages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Run("write", func(t *testing.T) {
		f := fixtureAt(t, dir)
		f.Container("acme", "main")
		for i := range 30 {
			f.Put(fmt.Sprint("f", i), "x")
		}
	})
	path := filepath.Join(dir, "hearth.db")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(raw); i++ {
		raw[i] = byte(i * 7)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, config(t, dir), "damaged")
}

func TestReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var before store.FunctionState
	t.Run("first", func(t *testing.T) {
		f := fixtureAt(t, dir)
		f.Container("acme", "main")
		f.Put("hello", "1")
		before = f.Ready("hello", 1)
		if _, _, err := f.Begin(t.Context(), "s", "left behind", "p"); err != nil {
			t.Fatal(err)
		}
	})
	f := fixtureAt(t, dir)
	if got := f.Get("hello"); got.ID != before.ID || got.Active == nil || !reflect.DeepEqual(got, before) {
		t.Fatalf("after reopening: %+v, want %+v", got, before)
	}
	if answer, _, err := f.Begin(t.Context(), "s", "left behind", "p"); answer != nil || err != nil {
		t.Fatalf("a key that a dead process had claimed: %v, %v", answer, err)
	}
	store.CheckWhole(t, f.Store)
}

// During an upgrade two processes have the database open.
func TestTwoStores(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := fixtureAt(t, dir), fixtureAt(t, dir)
	a.Container("acme", "main")
	var wg sync.WaitGroup
	for i, f := range []*storetest.Fixture{a, b, a, b} {
		wg.Go(func() {
			for n := range 20 {
				if _, _, err := f.PutFunction(t.Context(), storetest.Document("f", fmt.Sprint(i, n))); err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got := b.Get("f").Latest.Number; got != 80 {
		t.Fatalf("after 80 writes the version is %d", got)
	}
}

// Whoever reads database and blobs finds no secret in them, and cannot move one to another owner.
func TestSecretsAtRest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := fixtureAt(t, dir)
	f.Container("acme", "main")
	mine, evil := f.Put("mine", "x"), f.Put("evil", "x")
	const canary = "canary-7f3a91"
	for _, name := range []string{"A", "B"} {
		if _, _, err := f.PutSecret(t.Context(), "acme", "main", "mine", name, canary+name); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, []byte(canary)) {
			t.Errorf("%s holds the secret", path)
		}
		if info, err := d.Info(); err == nil && !strings.Contains(path, "blobs") && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// To another function, and to another name of the same one.
	store.Exec(t, f.Store, `INSERT INTO secrets SELECT $1, name, sealed, updated_at FROM secrets WHERE function_id = $2 AND name = 'A'`, evil.ID, mine.ID)
	values, _, err := f.SecretValues(t.Context(), "acme", "main", "evil")
	if hearth.CodeOf(err) != hearth.CodeUnavailable || values != nil {
		t.Fatalf("a secret moved to another function: %v, %v", values, err)
	}
	store.Exec(t, f.Store, `UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE function_id = $1 AND name = 'A') WHERE function_id = $1 AND name = 'B'`, mine.ID)
	if values, _, err = f.SecretValues(t.Context(), "acme", "main", "mine"); hearth.CodeOf(err) != hearth.CodeUnavailable || values != nil {
		t.Fatalf("a secret under another name: %v, %v", values, err)
	}
	// Setting it again mends it.
	if _, _, err := f.PutSecret(t.Context(), "acme", "main", "mine", "B", "new"); err != nil {
		t.Fatal(err)
	}
	if values, _, err = f.SecretValues(t.Context(), "acme", "main", "mine"); err != nil || values["B"] != "new" {
		t.Fatalf("after mending: %v, %v", values, err)
	}
}

func TestListsUseIndexes(t *testing.T) {
	t.Parallel()
	f := fixtureAt(t, t.TempDir())
	for name, plan := range store.Plans(t, f.Store) {
		for _, step := range plan {
			scan := strings.HasPrefix(step, "SCAN") && !strings.Contains(step, "USING INDEX")
			if name == "listFunctions" && step == "SCAN f" { // a page of at most 101, which is found by an index
				scan = plan[0] != "CO-ROUTINE f"
			}
			if scan || strings.Contains(step, "AUTOMATIC") || strings.Contains(step, "TEMP B-TREE FOR ORDER BY") {
				t.Errorf("%s: %s\n\t%s", name, step, strings.Join(plan, "\n\t"))
			}
		}
	}
}

func TestCountLimits(t *testing.T) {
	t.Parallel()
	f := fixtureAt(t, t.TempDir())
	f.Container("acme", "main")
	f.Put("seed", "x")
	id := func(kind, i string) string {
		return `substr('` + kind + `' || '00000000000000000000000000' || ` + i + `, -26)`
	}
	numbers := `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `
	fill := func(most int64, insert string) { store.Exec(t, f.Store, fmt.Sprintf(numbers, most-1)+insert) }
	full := func(what, limit string, err error) {
		t.Helper()
		if hearth.CodeOf(err) != hearth.CodeConflict || !strings.Contains(err.Error(), "limit "+limit) {
			t.Errorf("one %s too many: %v", what, err)
		}
	}
	fill(hearth.LimitFunctions.Value, `INSERT INTO functions SELECT 'acme', 'main', 'f-' || i, `+id("f", "i")+`, 0, 1, 0, 1, 1, 1 FROM n`)
	_, _, err := f.PutFunction(t.Context(), storetest.Document("more", "x"))
	full("function", "functions", err)
	f.Put("seed", "one that exists may change")
	fill(hearth.LimitContainers.Value, `INSERT INTO containers SELECT 'acme', 'c-' || i, `+id("c", "i")+`, '', 0, 0, 0, 0, 0, 0, 1, 1, 1 FROM n`)
	_, _, err = f.PutContainer(t.Context(), "acme", hearth.Container{Name: "more"}, store.Precondition{})
	full("container", "containers", err)
	if raceEnabled { // a hundred thousand rows take minutes
		return
	}
	fill(hearth.LimitTenants.Value, `INSERT INTO tenants SELECT 't-' || i, `+id("t", "i")+`, 0, 0, 0, 1, 1, 1 FROM n`)
	_, _, err = f.PutTenant(t.Context(), hearth.Tenant{Name: "more"}, store.Precondition{})
	full("tenant", "tenants", err)
}

func TestIdempotencyKeysExpire(t *testing.T) {
	t.Parallel()
	f := fixtureAt(t, t.TempDir())
	ctx := t.Context()
	begin := func(key string) (*store.Answer, store.Claim) {
		t.Helper()
		answer, claim, err := f.Begin(ctx, "s", key, "p")
		if err != nil {
			t.Fatal(err)
		}
		return answer, claim
	}
	age := func(d time.Duration) {
		store.Exec(t, f.Store, `UPDATE idempotency_keys SET claimed_at = claimed_at - $1`, d.Microseconds())
	}
	_, old := begin("k")
	age(11 * time.Minute)
	_, claim := begin("k") // the lease of the first is over
	for _, c := range []store.Claim{old, claim} {
		if err := f.Finish(ctx, c, store.Answer{Status: 200}); err != nil {
			t.Fatal(err)
		}
	}
	age(23 * time.Hour)
	if _, err := f.Sweep(ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	if answer, _ := begin("k"); answer == nil {
		t.Fatal("the answer is gone after 23 hours")
	}
	age(2 * time.Hour)
	if answer, _ := begin("k"); answer != nil {
		t.Fatal("the answer is there after 25 hours")
	}
	age(25 * time.Hour)
	if _, err := f.Sweep(ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	if n, _ := store.Exec(t, f.Store, `DELETE FROM idempotency_keys`).RowsAffected(); n != 0 {
		t.Fatalf("%d keys are left after the sweep", n)
	}
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := fixtureAt(t, dir)
	stray := filepath.Join(dir, "blobs", "code", "left-by-a-crash.tmp")
	young := stray + ".young"
	for _, path := range []string{stray, young} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hour := time.Now().Add(-time.Hour)
	if err := os.Chtimes(stray, hour, hour); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }() // ends below
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(stray); os.IsNotExist(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the stray file is still there")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Fatalf("a file that may be being written was removed: %v", err)
	}
}

// What was deployed before there were packages has none, and goes on.
func TestUpgradeFromTheFirstSchema(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id := strings.Repeat("a", 26)
	store.FirstSchema(t, filepath.Join(dir, "hearth.db"),
		`INSERT INTO tenants VALUES ('acme', '`+id+`', 0, 0, 0, 1, 1, 1)`,
		`INSERT INTO containers VALUES ('acme', 'main', '`+id+`', '', 0, 0, 0, 0, 0, 0, 1, 1, 1)`,
		`INSERT INTO functions VALUES ('acme', 'main', 'hello', '`+id+`', 1, 2, 0, 1, 1, 1)`,
		`INSERT INTO versions (function_id, number, status, activates, manifest, digest, secrets_revision, loaded, created_at, settled_at) VALUES
			('`+id+`', 1, 'ready', 1, '{"runtime":"node24","entry":"index.js"}', 'sha256-`+strings.Repeat("0", 64)+`', 0, '{}', 1, 1)`,
		`INSERT INTO versions (function_id, number, status, activates, manifest, digest, secrets_revision, created_at) VALUES
			('`+id+`', 2, 'building', 1, '{"runtime":"node24","entry":"index.js"}', 'sha256-`+strings.Repeat("0", 64)+`', 0, 1)`)
	f := fixtureAt(t, dir)
	s := f.Get("hello")
	if !s.Active.Settled || s.Active.Tree != "" || s.Active.Number != 1 {
		t.Errorf("active: %+v", s.Active)
	}
	building, err := f.Building(t.Context())
	if err != nil || len(building) != 1 || building[0].Number != 2 {
		t.Errorf("building: %+v, %v", building, err)
	}
	if unsettled, err := f.Unsettled(t.Context()); err != nil || len(unsettled) != 0 {
		t.Errorf("unsettled: %+v, %v", unsettled, err)
	}
}
