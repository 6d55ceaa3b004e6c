package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"hearth/internal/module/plan"
)

// Linked is a tree that is on this node's disk.
type Linked struct {
	Path    string // as an instance sees it: "/packages/t/…/node_modules"
	Fetched int    // contents that had to come from the archives
}

func linked(name string) Linked { return Linked{Path: Mount + "/t/" + name + "/node_modules"} }

// Find returns a tree that is on the disk. It looks into memory and nowhere else.
func (s *Store) Find(key string) (Linked, bool) {
	name := s.name(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return linked(name), s.useTree(name)
}

// Has says whether a tree is on the disk.
func (s *Store) Has(key string) bool {
	_, ok := s.Find(key)
	return ok
}

// useTree notes that a tree is used, if it is there. The caller has mu.
func (s *Store) useTree(name string) bool {
	t := s.trees[name]
	if t == nil {
		return false
	}
	t.used = time.Now()
	s.touched[name] = true
	return true
}

// Hold keeps a tree, and all packages that it reaches, from being evicted or healed until Release. A
// tree may be held before it is here, and should be: between Ensure and Hold it might go.
func (s *Store) Hold(key string) {
	name := s.name(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[name]++
}

// Release takes one Hold back.
func (s *Store) Release(key string) {
	name := s.name(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[name]--; s.held[name] <= 0 {
		delete(s.held, name)
	}
}

// Ensure makes sure that a tree is on this node's disk: it fetches contents, links packages and, last,
// the tree. However many ask, each is done once. What was done before an error stays, and helps the
// next try.
func (s *Store) Ensure(ctx context.Context, t *plan.Tree) (Linked, error) {
	if l, ok := s.Find(t.Key); ok {
		return l, nil
	}
	w, err := s.newWork(t)
	if err != nil {
		return Linked{}, fmt.Errorf("link tree %.64s: %w", t.Key, err)
	}
	s.pin(w.pins)
	defer s.unpin(w.pins)
	out := linked(w.name)
	err = s.once(ctx, ofTree(w.name), func() bool { return s.useTree(w.name) }, func() error {
		err := w.run(ctx)
		if isFull(err) && s.evictSome(evictAtFull) {
			err = w.run(ctx)
		}
		out.Fetched = int(w.fetched.Load())
		return err
	})
	if err != nil {
		return Linked{}, explain("link tree "+t.Key, err)
	}
	return out, nil
}

// work is one tree that is being made.
type work struct {
	s        *Store
	name     string
	record   treeRecord
	packages map[string]*packageRecord // by name in p
	private  map[string]owner          // of those contents that are a tenant's alone
	order    []string                  // what a package depends on comes before it, but for cycles
	pins     []string
	fetched  atomic.Int64
}

// newWork checks a plan and turns its keys into this node's names.
func (s *Store) newWork(t *plan.Tree) (*work, error) {
	if err := checkHex("key", t.Key); err != nil {
		return nil, err
	}
	w := &work{s: s, name: s.name(t.Key), packages: make(map[string]*packageRecord, len(t.Packages)), private: map[string]owner{}}
	names := make(map[string]link, len(t.Packages))
	for i := range t.Packages {
		p := &t.Packages[i]
		if err := errors.Join(checkHex("key", p.Key), checkHex("content", p.Content), checkName(p.Name)); err != nil {
			return nil, err
		}
		if _, ok := names[p.Key]; ok {
			return nil, fmt.Errorf("package %s is there twice", p.Key)
		}
		names[p.Key] = link{To: s.name(p.Key), Name: p.Name}
	}
	links := func(deps map[string]string) (map[string]link, error) {
		out := make(map[string]link, len(deps))
		for name, key := range deps {
			to, ok := names[key]
			if !ok {
				return nil, fmt.Errorf("%.214q leads to package %.64q, which is not in the tree", name, key)
			}
			if err := checkName(name); err != nil {
				return nil, err
			}
			out[name] = to
		}
		return out, nil
	}
	for i := range t.Packages {
		p := &t.Packages[i]
		deps, err := links(p.Deps)
		if err != nil {
			return nil, err
		}
		if deps[p.Name] == names[p.Key] {
			delete(deps, p.Name) // itself, where it lies already
		}
		if p.Tenant != "" {
			w.private[p.Content] = ownerOf(p.Tenant)
		}
		w.packages[names[p.Key].To] = &packageRecord{Content: p.Content, Name: p.Name, Deps: deps}
	}
	var err error
	if w.record.Direct, err = links(t.Direct); err != nil {
		return nil, err
	}
	if w.record.Hoisted, err = links(t.Hoisted); err != nil {
		return nil, err
	}
	w.record.Packages = slices.Sorted(maps.Keys(w.packages))
	w.sort()
	w.pins = append(w.pins, ofTree(w.name))
	for name, p := range w.packages {
		w.pins = append(w.pins, ofPackage(name), ofContent(p.Content))
	}
	return w, nil
}

// checkName checks the name of a folder below node_modules: one part, or two of which the first is a scope.
func checkName(name string) error {
	parts := strings.Split(name, "/")
	bad := len(name) > 214 || len(parts) > 2 || len(parts) == 2 && len(parts[0]) < 2 || strings.HasPrefix(name, "@") != (len(parts) == 2)
	for _, part := range parts {
		bad = bad || part == "" || part[0] == '.' || part == "node_modules" || strings.ContainsFunc(part, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' })
	}
	if bad {
		return fmt.Errorf("%.214q is not a package's name", name)
	}
	return nil
}

// sort puts what a package depends on before it. In a cycle one has to be first.
func (w *work) sort() {
	w.order = make([]string, 0, len(w.packages))
	seen := make(map[string]bool, len(w.packages))
	// A chain of packages may be as long as a lock; Go's stack grows with it.
	var visit func(name string)
	visit = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for _, to := range w.packages[name].Deps {
			visit(to.To)
		}
		w.order = append(w.order, name)
	}
	for _, name := range w.record.Packages {
		visit(name)
	}
}

func (w *work) run(ctx context.Context) error {
	for {
		if err := w.fetch(ctx); err != nil {
			return err
		}
		done, err := w.link(ctx)
		if err != nil {
			return err
		}
		if done {
			return w.publish(ctx)
		}
	}
}

// fetch fetches the contents of packages that are not here.
func (w *work) fetch(ctx context.Context) error {
	missing := map[string]bool{}
	w.s.mu.Lock()
	for name, p := range w.packages {
		if w.s.packages[name] == nil && w.s.contents[p.Content] == nil {
			missing[p.Content] = true
		}
	}
	w.s.mu.Unlock()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(w.s.cfg.Parallel)
	for id := range missing {
		g.Go(func() error {
			fetched, err := w.s.fetch(ctx, id, w.private[id])
			if fetched {
				w.fetched.Add(1)
			}
			return err
		})
	}
	return g.Wait()
}

// link makes the packages that are not here and that nobody else is making, and waits for the others. It
// says whether all are here then.
func (w *work) link(ctx context.Context) (done bool, err error) {
	s := w.s
	var mine []string
	var others []*claim
	s.mu.Lock()
	for _, name := range w.order {
		if s.packages[name] != nil {
			continue
		}
		if c := s.claims[ofPackage(name)]; c != nil {
			others = append(others, c)
			continue
		}
		s.take(ofPackage(name))
		mine = append(mine, name)
	}
	s.mu.Unlock()
	err = w.make(ctx, mine, others)
	keys := make([]string, len(mine))
	for i, name := range mine {
		keys[i] = ofPackage(name)
	}
	s.release(err, keys...)
	return len(others) == 0, err
}

// built is a package that is whole, in tmp.
type built struct {
	tmp  string
	size int64
}

// make links packages in tmp, all at once, and publishes them one after the other: a rename takes some
// µs, and their order matters.
func (w *work) make(ctx context.Context, mine []string, others []*claim) error {
	made := make([]built, len(mine))
	published := 0
	defer func() {
		for _, b := range made[published:] {
			if b.tmp != "" {
				w.s.removeTemporary(b.tmp)
				w.s.add(-b.size)
			}
		}
	}()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(workers())
	for i, name := range mine {
		g.Go(func() error {
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			var err error
			made[i], err = w.build(gctx, w.packages[name])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	// Others' first, since ours may point at them. If one fails, ours are published all the same, with a
	// link that leads nowhere yet: no tree points at them before all is there, and run tries again.
	for _, c := range others {
		if c.wait(ctx); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	for i, name := range mine {
		if err := w.s.publishPackage(name, w.packages[name], made[i]); err != nil {
			return err
		}
		published++
	}
	return nil
}

// build makes one package in tmp. Damage that it meets it mends, once.
func (w *work) build(ctx context.Context, r *packageRecord) (built, error) {
	for try := 0; ; try++ {
		l, err := w.s.readList(r.Content)
		var b built
		if err == nil {
			b.tmp, b.size, err = w.s.buildPackage(r, l)
		}
		if err == nil {
			if err := w.s.reserve(b.size); err != nil {
				w.s.removeTemporary(b.tmp)
				return built{}, err
			}
			return b, nil
		}
		if try > 0 || !errors.Is(err, errDamaged) && !errors.Is(err, errRecord) {
			return built{}, err
		}
		w.s.log.Warn("the package store is damaged and is being mended", "key", r.Content, "err", err)
		if err := w.s.mend(ctx, r.Content); err != nil {
			return built{}, err
		}
	}
}

// publishPackage makes a package be there: its record first, so that no folder is ever without one.
func (s *Store) publishPackage(name string, r *packageRecord, b built) error {
	r.Bytes, r.Born = b.size, s.born()
	raw, err := encodeRecord(r)
	if err != nil {
		return err
	}
	if err := s.writeRecord(ofPackage(name), raw); err != nil {
		return err
	}
	if err := s.publish(b.tmp, "p", name); err != nil {
		return errors.Join(err, s.removeRecord(ofPackage(name)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packages[name] = &pkg{content: r.Content, bytes: b.size, born: r.Born, used: time.Now()}
	s.contents[r.Content].users++
	s.unsynced = true
	return nil
}

// publish makes the tree be there. Everything that it reaches is, and is pinned.
func (w *work) publish(ctx context.Context) error {
	s := w.s
	tmp, size, err := s.buildTree(ctx, &w.record)
	if err != nil {
		return err
	}
	if err = s.reserve(size); err == nil {
		if err = w.place(tmp, size); err != nil {
			s.add(-size)
		}
	}
	if err != nil {
		s.removeTemporary(tmp)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trees[w.name] = &tree{packages: w.record.Packages, bytes: size, born: w.record.Born, used: time.Now()}
	for _, name := range w.record.Packages {
		s.packages[name].users++
	}
	s.unsynced = true
	return nil
}

// place renames a tree's folder into its place, after its record.
func (w *work) place(tmp string, size int64) error {
	w.record.Bytes, w.record.Born = size, w.s.born()
	raw, err := encodeRecord(&w.record)
	if err != nil {
		return err
	}
	if err := w.s.writeRecord(ofTree(w.name), raw); err != nil {
		return err
	}
	if err := w.s.publish(tmp, "t", w.name); err != nil {
		return errors.Join(err, w.s.removeRecord(ofTree(w.name)))
	}
	return nil
}
