package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"hearth/internal/store"
	"hearth/internal/store/storetest"
)

func TestMain(m *testing.M) {
	storetest.Exec = func(t *testing.T, s *store.Store, query string, args ...any) { store.Exec(t, s, query, args...) }
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir)
		return
	}
	if dir := os.Getenv(syncDir); dir != "" {
		syncChild(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, openSQLite)
}

func openSQLite(t *testing.T, c store.Config) *store.Store {
	t.Helper()
	return openAt(t, c, t.TempDir())
}

func openAt(t *testing.T, c store.Config, dir string) *store.Store {
	t.Helper()
	c.Database, c.Blobs = "sqlite:"+filepath.Join(dir, "hearth.db"), "file:"+filepath.Join(dir, "blobs")
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}
