package host

import (
	"cmp"
	"strings"
	"time"
)

// evictAtFull is how much is made free when the disk itself is full, which happens before the limit is
// reached when something else fills it too.
const evictAtFull = 64 << 20

// reserve counts n bytes that will be written, after evicting what is needed to stay within the limit.
// It is the caller's to take back what was not written.
func (s *Store) reserve(n int64) error {
	for {
		s.mu.Lock()
		if s.bytes+n <= s.cfg.Limit {
			s.bytes += n
			s.mu.Unlock()
			return nil
		}
		v := s.choose()
		leaving, left := s.leaving, s.left
		s.mu.Unlock()
		switch {
		case v != nil:
			s.evict(v)
		case leaving > 0:
			<-left // what others are removing right now may be enough
		default:
			return noRoom(s.cfg.Limit)
		}
	}
}

// evictSome makes about n bytes free and says whether anything went.
func (s *Store) evictSome(n int64) bool {
	s.mu.Lock()
	before := s.bytes
	s.mu.Unlock()
	for some := false; ; some = true {
		s.mu.Lock()
		v := s.choose()
		freed := before - s.bytes
		s.mu.Unlock()
		if v == nil {
			return some
		}
		s.evict(v)
		if freed >= n {
			return true
		}
	}
}

// victim is what goes at once: a tree with what only it used, or what nothing uses.
type victim struct {
	tree     string
	packages []string
	contents []string
	keys     []fileKey // of the contents
	claims   []string
}

// choose takes the least recently used thing that nobody needs out of the maps, with the claims on it, for
// evict. It returns nil if there is none. The caller has mu.
func (s *Store) choose() *victim {
	type candidate struct {
		kind byte
		name string
		used time.Time
	}
	var best *candidate
	offer := func(kind byte, name string, used time.Time) {
		if best == nil || cmp.Or(used.Compare(best.used), cmp.Compare(kind, best.kind), strings.Compare(name, best.name)) < 0 {
			best = &candidate{kind, name, used}
		}
	}
	for name, c := range s.contents {
		if c.users == 0 && s.idle(ofContent(name)) {
			offer('c', name, c.used)
		}
	}
	for name, p := range s.packages {
		if p.users == 0 && s.idle(ofPackage(name)) {
			offer('p', name, p.used)
		}
	}
	for name, t := range s.trees {
		if s.held[name] == 0 && s.idle(ofTree(name)) {
			offer('t', name, t.used)
		}
	}
	if best == nil {
		return nil
	}
	v := &victim{}
	s.leaving++
	switch best.kind {
	case 'c':
		s.loseContent(v, best.name)
	case 'p':
		s.losePackage(v, best.name)
	case 't':
		t := s.trees[best.name]
		v.tree = best.name
		delete(s.trees, best.name)
		s.lose(v, ofTree(best.name))
		for _, name := range t.packages {
			p := s.packages[name]
			if p.users--; p.users == 0 {
				p.used = t.used
				if s.idle(ofPackage(name)) {
					s.losePackage(v, name)
				}
			}
		}
		s.bytes -= t.bytes
	}
	return v
}

// idle says that nobody counts on something and nobody works on it. The caller has mu.
func (s *Store) idle(key string) bool { return s.pins[key] == 0 && s.claims[key] == nil }

func (s *Store) lose(v *victim, key string) {
	s.take(key)
	v.claims = append(v.claims, key)
	s.unsynced = true
}

func (s *Store) losePackage(v *victim, name string) {
	p := s.packages[name]
	delete(s.packages, name)
	s.bytes -= p.bytes
	v.packages = append(v.packages, name)
	s.lose(v, ofPackage(name))
	c := s.contents[p.content]
	if c.users--; c.users == 0 {
		c.used = p.used
		if s.idle(ofContent(p.content)) {
			s.loseContent(v, p.content)
		}
	}
}

func (s *Store) loseContent(v *victim, id string) {
	v.contents = append(v.contents, id)
	v.keys = append(v.keys, s.contents[id].keys...)
	delete(s.contents, id)
	s.evicted++
	s.lose(v, ofContent(id))
}

// evict removes from the disk what choose took: the tree first, so that nothing half can be reached. What
// cannot be removed is logged; the next Open tries again.
func (s *Store) evict(v *victim) {
	defer func() {
		s.release(nil, v.claims...)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.leaving--
		close(s.left)
		s.left = make(chan struct{})
	}()
	note := func(err error) {
		if err != nil {
			s.log.Error("evict packages", "err", err)
		}
	}
	if v.tree != "" {
		note(s.withdraw("t", v.tree))
		note(s.removeRecord(ofTree(v.tree)))
	}
	for _, name := range v.packages {
		note(s.withdraw("p", name))
		note(s.removeRecord(ofPackage(name)))
	}
	for _, id := range v.contents {
		note(s.removeRecord(ofContent(id)))
	}
	s.drop(v.keys)
}
