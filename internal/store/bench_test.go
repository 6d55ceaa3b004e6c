package store_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"hearth"
	"hearth/internal/store"
	"hearth/internal/store/storetest"
)

func benchStore(b *testing.B) *store.Store {
	dir := b.TempDir()
	s, err := store.Open(b.Context(), store.Config{Database: "sqlite:" + filepath.Join(dir, "hearth.db"), Blobs: "file:" + filepath.Join(dir, "blobs"),
		Keeper: storetest.Keeper(b), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	if _, _, err := s.PutTenant(b.Context(), hearth.Tenant{Name: "acme"}, store.Precondition{}); err != nil {
		b.Fatal(err)
	}
	if _, _, err := s.PutContainer(b.Context(), "acme", hearth.Container{Name: "main"}, store.Precondition{}); err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkPutFunction is a new version of a small function; see BenchmarkSync for what of it is the disk's.
func BenchmarkPutFunction(b *testing.B) {
	s := benchStore(b)
	for i := 0; b.Loop(); i++ {
		if _, _, err := s.PutFunction(b.Context(), storetest.Document("hello", fmt.Sprint(i))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPutIdentical is the same document again.
func BenchmarkPutIdentical(b *testing.B) {
	s := benchStore(b)
	for b.Loop() {
		if _, _, err := s.PutFunction(b.Context(), storetest.Document("hello", "1")); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSync is the least that a new version asks of the disk: a file, its directory, the WAL.
func BenchmarkSync(b *testing.B) {
	dir := b.TempDir()
	for i := 0; b.Loop(); i++ {
		for j := range 2 {
			f, err := os.Create(filepath.Join(dir, fmt.Sprint(i, j)))
			if err != nil {
				b.Fatal(err)
			}
			f.WriteString("x")
			f.Sync()
			f.Close()
		}
		d, err := os.Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		d.Sync()
		d.Close()
	}
}

func BenchmarkGetFunction(b *testing.B) {
	s := benchStore(b)
	if _, _, err := s.PutFunction(b.Context(), storetest.Document("hello", "1")); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.GetFunction(b.Context(), "acme", "main", "hello"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCode(b *testing.B) {
	s := benchStore(b)
	state, _, err := s.PutFunction(b.Context(), storetest.Document("hello", "1"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Code(b.Context(), state.Latest.Digest); err != nil {
			b.Fatal(err)
		}
	}
}
