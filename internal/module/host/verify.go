package host

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/module/unpack"
)

// Damage is one thing that is not as it was unpacked or linked.
type Damage struct {
	Content string // the content that it belongs to; "" for a tree's links
	Package string // the package's folder in p
	Tree    string // the tree's folder in t
	Path    string // below the content's, package's or tree's folder; "" for its record
	Problem string // one of missing, changed, mode, kind, link, extra, record
	Healed  bool
	Waiting bool   // it is not healed, since a live instance may use it
	Err     string // why it could not be healed
}

// Report is what Verify found.
type Report struct {
	Contents, Packages, Trees int
	Files                     int   // inodes that were hashed
	Bytes                     int64 // of them
	Damaged                   []Damage
}

// Verify hashes all files of the store again and compares everything with the records of when it was
// unpacked and linked. With heal it fetches damaged contents anew and links again what is damaged. Files
// are always replaced, since nobody sees a new inode before it is linked; a package or tree that a held
// tree may use is left alone and reported as waiting.
func (s *Store) Verify(ctx context.Context, heal bool) (Report, error) {
	v := &verification{s: s, ctx: ctx, bad: map[fileKey]string{}, good: map[fileKey]bool{}}
	s.mu.Lock()
	contents, packages, trees := slices.Sorted(maps.Keys(s.contents)), slices.Sorted(maps.Keys(s.packages)), slices.Sorted(maps.Keys(s.trees))
	s.mu.Unlock()
	for _, step := range []struct {
		keys  []string
		of    func(string) string
		check func(name string)
	}{{contents, ofContent, v.content}, {packages, ofPackage, v.pkg}, {trees, ofTree, v.tree}} {
		for _, name := range step.keys {
			if ctx.Err() != nil {
				return v.report, context.Cause(ctx)
			}
			s.whileThere(step.of(name), func() { step.check(name) })
		}
	}
	if heal {
		v.heal()
	}
	return v.report, context.Cause(ctx)
}

// whileThere calls f unless the thing of a key is gone, and keeps it from going meanwhile.
func (s *Store) whileThere(key string, f func()) {
	kind, name := key[0], key[2:]
	s.mu.Lock()
	there := s.claims[key] == nil && (kind == 'c' && s.contents[name] != nil || kind == 'p' && s.packages[name] != nil || kind == 't' && s.trees[name] != nil)
	if there {
		s.pins[key]++
	}
	s.mu.Unlock()
	if there {
		defer s.unpin([]string{key})
		f()
	}
}

type verification struct {
	s      *Store
	ctx    context.Context
	report Report
	bad    map[fileKey]string
	good   map[fileKey]bool
}

func (v *verification) add(d Damage) { v.report.Damaged = append(v.report.Damaged, d) }

func (v *verification) content(id string) {
	v.report.Contents++
	l, err := v.s.readList(id)
	if err != nil {
		v.add(Damage{Content: id, Problem: "record"})
		return
	}
	for i := range l.items {
		it := &l.items[i]
		if it.kind != unpack.File {
			continue
		}
		if !v.good[it.key] && v.bad[it.key] == "" {
			if problem := v.s.checkFile(it); problem != "" {
				v.bad[it.key] = problem
			} else {
				v.good[it.key] = true
				v.report.Files++
				v.report.Bytes += it.size
			}
		}
		if problem := v.bad[it.key]; problem != "" {
			v.add(Damage{Content: id, Path: it.path, Problem: problem})
		}
	}
}

// checkFile says what is wrong with a file below files.
func (s *Store) checkFile(it *item) string { return checkPath(s.path("files", it.key.path()), it) }

// checkPath compares a file with what it should be.
func checkPath(path string, it *item) string {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "missing"
	}
	if err != nil {
		return "kind"
	}
	defer f.Close()
	fi, err := f.Stat()
	switch {
	case err != nil || !fi.Mode().IsRegular():
		return "kind"
	case fi.Size() != it.size:
		return "changed"
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil || [sha256.Size]byte(h.Sum(nil)) != it.key.sum {
		return "changed"
	}
	if uint32(fi.Mode().Perm()) != it.key.mode() {
		return "mode"
	}
	return ""
}

func (v *verification) pkg(name string) {
	v.report.Packages++
	var r packageRecord
	if v.s.readJSON(ofPackage(name), &r) != nil {
		v.add(Damage{Package: name, Problem: "record"})
		return
	}
	l, err := v.s.readList(r.Content)
	if err != nil {
		return // reported with its content
	}
	folder := v.s.path("p", name, "node_modules")
	own := filepath.Join(folder, r.Name)
	want := make(map[string]*item, len(l.items))
	for i := range l.items {
		want[l.items[i].path] = &l.items[i]
	}
	damaged := func(path, problem string) {
		v.add(Damage{Content: r.Content, Package: name, Path: path, Problem: problem})
	}
	inner := "" // where a dependency of the package's own name lies
	if _, ok := r.Deps[r.Name]; ok {
		inner = "node_modules/" + r.Name
	}
	_ = filepath.WalkDir(own, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(own, path)
		if rel == "." {
			return nil
		}
		it := want[rel]
		delete(want, rel)
		switch {
		case it == nil && inner != "" && (rel == inner || len(inner) > len(rel) && inner[:len(rel)+1] == rel+"/"):
		case it == nil || err != nil:
			damaged(rel, "extra")
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
		default:
			if problem := v.item(path, d, it); problem != "" {
				damaged(rel, problem)
			}
		}
		return nil
	})
	for path := range want {
		damaged(path, "missing")
	}
	for dep, to := range r.Deps {
		at := filepath.Join(folder, dep)
		target := dependency(dep, to)
		if dep == r.Name {
			continue // it may be a bundled one
		}
		if got, err := os.Readlink(at); err != nil || got != target {
			damaged("../"+dep, "link")
		}
	}
}

// item says what is wrong with one entry of a package.
func (v *verification) item(path string, d fs.DirEntry, it *item) string {
	switch it.kind {
	case unpack.Folder:
		if !d.IsDir() {
			return "kind"
		}
	case unpack.Link:
		if target, err := os.Readlink(path); err != nil || target != it.target {
			return "link"
		}
	case unpack.File:
		here, err := os.Lstat(path)
		if err != nil {
			return "missing"
		}
		if shared, err := os.Lstat(v.s.path("files", it.key.path())); err == nil && os.SameFile(here, shared) {
			if v.bad[it.key] != "" {
				return v.bad[it.key]
			}
			return ""
		}
		// Another inode: the copy of when there were too many links, or damage.
		return checkPath(path, it)
	}
	return ""
}

func (v *verification) tree(name string) {
	v.report.Trees++
	var r treeRecord
	if v.s.readJSON(ofTree(name), &r) != nil {
		v.add(Damage{Tree: name, Problem: "record"})
		return
	}
	for _, part := range treeParts(&r) {
		for dep, to := range part.links {
			at := v.s.path("t", name, part.folder, dep)
			if got, err := os.Readlink(at); err != nil || got != part.target(dep, to) {
				v.add(Damage{Tree: name, Path: part.folder + "/" + dep, Problem: "link"})
			}
		}
	}
}

func (s *Store) readJSON(record string, v any) error {
	raw, err := os.ReadFile(s.path("index", record))
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

// heal mends contents, then links packages and trees again, and notes what became of it.
func (v *verification) heal() {
	results := map[string]error{} // by key of a content, package or tree
	try := func(key string, f func() error) error {
		if err, ok := results[key]; ok {
			return err
		}
		err := f()
		results[key] = err
		return err
	}
	for i := range v.report.Damaged {
		d := &v.report.Damaged[i]
		var err error
		if d.Content != "" {
			err = try(ofContent(d.Content), func() error { return v.s.mend(v.ctx, d.Content) })
		}
		if err == nil && d.Package != "" {
			err = try(ofPackage(d.Package), func() error { return v.s.relink(d.Package) })
		}
		if err == nil && d.Tree != "" {
			err = try(ofTree(d.Tree), func() error { return v.s.relinkTree(v.ctx, d.Tree) })
		}
		d.Healed, d.Waiting = err == nil, errors.Is(err, errInUse)
		if err != nil && !d.Waiting {
			d.Err = err.Error()
		}
	}
}

// errInUse says that something cannot be changed now.
var errInUse = errors.New("it is in use")

// mend fetches a content anew and replaces those of its files that are not as they should be.
func (s *Store) mend(ctx context.Context, id string) error {
	return s.once(ctx, "m-"+id, func() bool { return false }, func() error {
		c, digest, err := s.open(ctx, id)
		if err != nil {
			return err
		}
		defer c.Close()
		return s.mendContent(id, c, digest)
	})
}

func (s *Store) mendContent(id string, c *unpack.Content, digest string) error {
	s.pin([]string{ofContent(id)})
	defer s.unpin([]string{ofContent(id)})
	s.mu.Lock()
	here := s.contents[id]
	var old []fileKey
	if here != nil {
		old = here.keys
	}
	s.mu.Unlock()
	if here == nil {
		return nil // it went, so that it comes whole when it is wanted again
	}
	l := &list{digest: digest, born: s.born()}
	if len(old) > 0 {
		l.owner = old[0].owner
	}
	had := make(map[fileKey]bool, len(old))
	for _, k := range old {
		had[k] = true
	}
	has := map[fileKey]bool{}
	var keys []fileKey
	for i := range c.Entries {
		e := &c.Entries[i]
		it := item{path: e.Path, kind: e.Kind, size: e.Size, target: e.Target}
		if e.Kind == unpack.File {
			var err error
			if it.key, err = keyOf(c, e, l.owner); err != nil {
				return err
			}
			if !has[it.key] {
				has[it.key] = true
				keys = append(keys, it.key)
				if !had[it.key] {
					err = s.keep(it.key, e.Size, func() (io.Reader, []byte) { data, _ := c.Bytes(e); return c.Open(e), data })
				}
				if err == nil && s.checkFile(&it) != "" {
					err = s.replaceFile(it.key, c, e)
				}
				if err != nil {
					return err
				}
			}
		}
		l.items = append(l.items, it)
	}
	if err := s.writeRecord(ofContent(id), l.encode()); err != nil {
		return err
	}
	s.mu.Lock()
	here.keys, here.born = keys, l.born
	s.unsynced = true
	s.mu.Unlock()
	var gone []fileKey
	for _, k := range old {
		if !has[k] {
			gone = append(gone, k)
		}
	}
	s.drop(gone)
	return nil
}

// replaceFile puts a whole file into the place of a damaged one.
func (s *Store) replaceFile(k fileKey, c *unpack.Content, e *unpack.Entry) error {
	tmp := s.temporary()
	data, _ := c.Bytes(e)
	if err := s.writeFile(tmp, k.mode(), c.Open(e), data); err != nil {
		return err
	}
	// Whatever lies there goes first: a rename does not replace a folder.
	if err := os.RemoveAll(s.path("files", k.path())); err != nil {
		return errors.Join(err, unix.Unlinkat(s.tmp, tmp, 0))
	}
	if err := unix.Renameat(s.tmp, tmp, s.files, k.path()); err != nil {
		return errors.Join(err, unix.Unlinkat(s.tmp, tmp, 0))
	}
	return nil
}

// relink makes a package's folder anew and exchanges it for the damaged one, unless somebody may see it.
func (s *Store) relink(name string) error {
	key := ofPackage(name)
	s.mu.Lock()
	p := s.packages[name]
	hidden := map[string]*tree{}
	free := s.idle(key)
	for t, of := range s.trees {
		if slices.Contains(of.packages, name) {
			hidden[t] = of
			free = free && s.held[t] == 0 && s.idle(ofTree(t))
		}
	}
	if p == nil || !free {
		s.mu.Unlock()
		if p == nil {
			return nil
		}
		return errInUse
	}
	// Its trees are not there meanwhile: who wants one waits for the claim.
	claims := []string{key}
	s.take(key)
	for t := range hidden {
		delete(s.trees, t)
		s.take(ofTree(t))
		claims = append(claims, ofTree(t))
	}
	s.pins[ofContent(p.content)]++
	s.mu.Unlock()
	defer func() {
		s.unpin([]string{ofContent(p.content)})
		s.mu.Lock()
		maps.Copy(s.trees, hidden)
		s.mu.Unlock()
		s.release(nil, claims...)
	}()
	var r packageRecord
	if s.readJSON(key, &r) != nil {
		return s.forget(name, hidden)
	}
	l, err := s.readList(r.Content)
	if err != nil {
		return err
	}
	tmp, size, err := s.buildPackage(&r, l)
	if err != nil {
		return err
	}
	if err := s.exchange(tmp, "p/"+name); err != nil {
		return err
	}
	s.add(size - p.bytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	p.bytes, p.used, s.unsynced = size, time.Now(), true
	return nil
}

// forget drops a package whose record is lost, with the trees that use it: the next Ensure knows how
// they are linked. The caller has their claims, and hidden is out of the maps.
func (s *Store) forget(name string, hidden map[string]*tree) error {
	for t := range hidden {
		if err := errors.Join(s.withdraw("t", t), s.removeRecord(ofTree(t))); err != nil {
			return err
		}
	}
	if err := errors.Join(s.withdraw("p", name), s.removeRecord(ofPackage(name))); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, of := range hidden {
		s.bytes -= of.bytes
		for _, other := range of.packages {
			s.packages[other].users--
		}
		delete(hidden, t)
	}
	p := s.packages[name]
	s.bytes -= p.bytes
	s.contents[p.content].users--
	delete(s.packages, name)
	s.unsynced = true
	return nil
}

// relinkTree makes a tree's folder anew, or drops the tree if its record is lost.
func (s *Store) relinkTree(ctx context.Context, name string) error {
	key := ofTree(name)
	s.mu.Lock()
	t := s.trees[name]
	if t == nil || s.held[name] > 0 || !s.idle(key) {
		s.mu.Unlock()
		if t == nil {
			return nil
		}
		return errInUse
	}
	delete(s.trees, name)
	s.take(key)
	s.mu.Unlock()
	defer s.release(nil, key)
	var r treeRecord
	if s.readJSON(key, &r) != nil {
		if err := errors.Join(s.withdraw("t", name), s.removeRecord(key)); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bytes -= t.bytes
		for _, p := range t.packages {
			s.packages[p].users--
		}
		return nil
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.trees[name] = t
	}()
	tmp, _, err := s.buildTree(ctx, &r)
	if err != nil {
		return err
	}
	return s.exchange(tmp, "t/"+name)
}

// exchange puts what was made in tmp into a place, whatever is there or not, and removes that.
func (s *Store) exchange(tmp, place string) error {
	err := unix.Renameat2(s.tmp, tmp, s.root, place, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOENT) {
		return unix.Renameat(s.tmp, tmp, s.root, place)
	}
	s.removeTemporary(tmp)
	if err != nil {
		return fmt.Errorf("exchange %s: %w", place, err)
	}
	return nil
}
