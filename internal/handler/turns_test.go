package handler

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/pool"
)

// emptyPool is a pool that nobody runs: its shelf stays empty.
func emptyPool(size int) *pool.Pool {
	return pool.New(pool.Config{Size: size, Runtimes: []string{"node24"}, Log: slog.New(slog.DiscardHandler)})
}

func TestTenantsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(emptyPool(0)) // no reserve: only the round counts
		order := make(chan string, 100)
		done := make(chan func(), 100)
		ask := func(tenant string) {
			go func() {
				d, err := turns.take(t.Context(), tenant, "node24")
				if err != nil {
					t.Error(err)
					return
				}
				order <- tenant
				done <- d
			}()
			synctest.Wait()
		}
		for range 6 {
			ask("many")
		}
		ask("one")
		ask("two")
		if got := len(order); got != 4 { // two for many, then one and two: four places
			t.Fatalf("%d went, want 4", got)
		}
		for range 2 {
			if got := <-order; got != "many" {
				t.Errorf("first %s", got)
			}
		}
		if a, b := <-order, <-order; a != "one" || b != "two" {
			t.Errorf("then %s, %s: the others did not come before the rest of many", a, b)
		}
		for range 8 {
			(<-done)()
			synctest.Wait()
		}
		if turns.running != 0 || len(turns.ring) != 0 {
			t.Errorf("%d running, %d in the ring at the end", turns.running, len(turns.ring))
		}
	})
}

func TestHeavyTenantsLeaveTheReserve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(emptyPool(4))
		go_ := func(tenant string) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			done, err := turns.take(ctx, tenant, "node24")
			if err == nil {
				done()
			}
			return err
		}
		for range 2 {
			if err := go_("heavy"); err != nil {
				t.Fatal(err)
			}
		}
		if err := go_("heavy"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third take at once, with nothing on the shelf: %v", err)
		}
		if err := go_("light"); err != nil {
			t.Errorf("another tenant: %v", err)
		}
		time.Sleep(2 * halfLife)
		if err := go_("heavy"); err != nil {
			t.Errorf("after a rest: %v", err)
		}
		if len(turns.ring) != 0 || turns.running != 0 {
			t.Errorf("left over: %d in the ring, %d running", len(turns.ring), turns.running)
		}
	})
}

func TestBackoffGrowsAndForgives(t *testing.T) {
	t.Parallel()
	var b backoff
	now := time.Unix(1000, 0)
	for n, want := range []time.Duration{0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30} {
		b.count(now)
		if got := b.left(now); got != want*time.Second {
			t.Errorf("after crash %d: %s, want %s", n+1, got, want*time.Second)
		}
		now = now.Add(b.left(now))
	}
	now = now.Add(crashWindow + time.Second)
	if b.count(now); b.left(now) != 0 {
		t.Errorf("after a quiet minute: %s", b.left(now))
	}
}
