package host

import "context"

// Keys of claims and pins: what kind of thing, and its name.
func ofContent(id string) string   { return "c-" + id }
func ofPackage(name string) string { return "p-" + name }
func ofTree(name string) string    { return "t-" + name }

// claim is the right of one goroutine to make or remove something.
type claim struct {
	done chan struct{} // closed when it is given back
	err  error         // why the thing was not made; set before done is closed
}

// take takes a claim. The caller has mu, and has seen that nobody has it.
func (s *Store) take(key string) { s.claims[key] = &claim{done: make(chan struct{})} }

// release gives claims back and tells who waits for them what became of it.
func (s *Store) release(err error, keys ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		c := s.claims[key]
		c.err = err
		close(c.done)
		delete(s.claims, key)
	}
}

// once makes the thing of a key unless there returns true, however many ask: one does it, the others
// wait and share its error. When that one only gave up because its own caller is gone, another takes over.
func (s *Store) once(ctx context.Context, key string, there func() bool, make func() error) error {
	for {
		s.mu.Lock()
		if there() {
			s.mu.Unlock()
			return nil
		}
		c := s.claims[key]
		if c == nil {
			s.take(key)
			s.mu.Unlock()
			err := make()
			s.release(err, key)
			return err
		}
		s.mu.Unlock()
		if err := c.wait(ctx); err != nil && (ctx.Err() != nil || !ofLeader(err)) {
			return err
		}
	}
}

// wait waits for the end of a claim and returns what became of it.
func (c *claim) wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pin keeps things from being evicted while somebody counts on them.
func (s *Store) pin(keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		s.pins[key]++
	}
}

func (s *Store) unpin(keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		if s.pins[key]--; s.pins[key] == 0 {
			delete(s.pins, key)
		}
	}
}
