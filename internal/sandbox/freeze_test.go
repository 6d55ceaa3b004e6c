package sandbox_test

import (
	"context"
	"testing"
	"time"
)

func TestFreeze(t *testing.T) {
	s := start(t, newMaker(t, nil), usual)
	ticks := func() string { return ask(t, s, "now") }
	ticks()
	for range 3 {
		begun := time.Now()
		if err := s.Freeze(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		froze := time.Since(begun)
		before, err := s.Stats()
		if err != nil {
			t.Fatalf("stats of a frozen instance: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
		if after, err := s.Stats(); err != nil || after.CPUNanos != before.CPUNanos || after.MemoryBytes == 0 {
			t.Errorf("a frozen instance used %d ns of processor: %+v, %v", after.CPUNanos-before.CPUNanos, after, err)
		}
		begun = time.Now()
		if err := s.Freeze(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		t.Logf("frozen in %s, thawed in %s", froze, time.Since(begun))
		ticks()
	}
}

// An instance that is frozen ends like any other, its daemons too.
func TestDestroyEndsAFrozenInstance(t *testing.T) {
	s := start(t, newMaker(t, nil), usual)
	ask(t, s, "daemon")
	if err := s.Freeze(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := s.Destroy(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Logf("destroyed in %s", time.Since(begun))
	if err := s.Freeze(t.Context(), false); err == nil {
		t.Error("thawed an instance that is gone")
	}
}
