package store_test

import (
	"fmt"
	"syscall"
	"testing"

	"hearth"
	"hearth/internal/store"
	"hearth/internal/store/storetest"
)

// A full disk refuses writes with no_space, loses nothing that was acknowledged, and when there is
// room again all goes on by itself.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("hearth-test", dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("needs root to mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	f := fixtureAt(t, dir)
	f.Container("acme", "main")
	var kept []store.FunctionState
	var err error
	for i := 0; err == nil; i++ {
		if i == 1000 {
			t.Fatal("the disk does not get full")
		}
		var s store.FunctionState
		if s, _, err = f.PutFunction(t.Context(), storetest.Document(fmt.Sprint("f", i), randomText(50_000))); err == nil {
			kept = append(kept, s)
		}
	}
	// Until the database is full as well, by what writes no blob.
	for i := 0; ; i++ {
		if _, _, err := f.PutSecret(t.Context(), "acme", "main", "f0", fmt.Sprint("S", i%90), randomText(60_000)); err != nil {
			wantNoSpace(t, err)
			break
		}
		if i == 1000 {
			t.Fatal("the database does not get full")
		}
	}
	wantNoSpace(t, err)
	check := func() {
		t.Helper()
		for _, want := range kept {
			if got := f.Get(want.Name); got.ID != want.ID || got.Latest.Digest != want.Latest.Digest {
				t.Errorf("%s: got %+v, want %+v", want.Name, got, want)
			}
		}
		store.CheckWhole(t, f.Store)
	}
	check()
	if err := syscall.Mount("hearth-test", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	f.Put("after", "x")
	check()
}

func wantNoSpace(t *testing.T, err error) {
	t.Helper()
	if hearth.CodeOf(err) != hearth.CodeNoSpace {
		t.Fatalf("on a full disk: %v, want code no_space", err)
	}
}
