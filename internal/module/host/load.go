package host

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"hearth/internal/module/unpack"
)

// load builds the maps from the index, and removes what does not fit together: records without their
// folder and folders without their record, which a crash leaves, and all that hangs on those.
func (s *Store) load() error {
	believed, err := s.believed()
	if err != nil {
		return err
	}
	names, err := readNames(s.path("index"))
	if err != nil {
		return err
	}
	records, err := s.readRecords(names)
	if err != nil {
		return err
	}
	ps, err := nameSet(s.path("p"))
	if err != nil {
		return err
	}
	ts, err := nameSet(s.path("t"))
	if err != nil {
		return err
	}
	for id, l := range records.contents {
		if believed(ofContent(id), l.born) {
			s.loadContent(id, l)
		}
	}
	for name, r := range records.packages {
		if s.contents[r.Content] != nil && ps[name] && believed(ofPackage(name), r.Born) {
			s.packages[name] = &pkg{content: r.Content, bytes: r.Bytes, born: r.Born}
			s.contents[r.Content].users++
			s.bytes += r.Bytes
		}
	}
	for name, r := range records.trees {
		if ts[name] && believed(ofTree(name), r.Born) && s.haveAll(r.Packages) {
			s.trees[name] = &tree{packages: r.Packages, bytes: r.Bytes, born: r.Born, used: r.used}
			s.bytes += r.Bytes
			for _, p := range r.Packages {
				s.packages[p].users++
			}
		}
	}
	if err := s.removeStrays(names, ps, ts); err != nil {
		return err
	}
	// Last: a crash before this finds the old boot again, and believes no more than this time.
	if last, err := os.ReadFile(s.path("boot")); err != nil || string(last) != s.boot() {
		return s.writeNote("boot", s.boot())
	}
	return nil
}

func (s *Store) haveAll(packages []string) bool {
	for _, name := range packages {
		if s.packages[name] == nil {
			return false
		}
	}
	return true
}

func (s *Store) loadContent(id string, l *list) {
	c := &content{born: l.born}
	has := make(map[fileKey]bool, len(l.items))
	for i := range l.items {
		it := &l.items[i]
		if it.kind != unpack.File || has[it.key] {
			continue
		}
		has[it.key] = true
		c.keys = append(c.keys, it.key)
		sh := &s.shards[it.key.sum[0]]
		if f := sh.files[it.key]; f != nil {
			f.refs++
			continue
		}
		sh.files[it.key] = &stored{refs: 1, size: it.size}
		s.bytes += blocks(it.size)
	}
	s.contents[id] = c
}

// records is what the index says.
type records struct {
	contents map[string]*list
	packages map[string]*packageRecord
	trees    map[string]*datedTree
}

type datedTree struct {
	treeRecord
	used time.Time
}

// readRecords reads the index, in parts at once: it is ten thousand small files.
func (s *Store) readRecords(names []string) (*records, error) {
	type read struct {
		name string
		list *list
		pkg  *packageRecord
		tree *datedTree
	}
	parts := workers()
	found := make([][]read, parts)
	var g errgroup.Group
	for part := range parts {
		g.Go(func() error {
			for i := part; i < len(names); i += parts {
				kind, name, _ := strings.Cut(names[i], "-")
				path := s.path("index", names[i])
				raw, err := os.ReadFile(path)
				if errors.Is(err, unix.EIO) {
					s.log.Error("read record of the package store", "err", err)
					continue // it is removed and made again
				}
				if err != nil {
					return err
				}
				r := read{name: name}
				switch kind {
				case "c":
					r.list, err = decodeList(raw)
				case "p":
					err = json.Unmarshal(raw, &r.pkg)
				case "t":
					r.tree = &datedTree{}
					if err = json.Unmarshal(raw, &r.tree.treeRecord); err == nil {
						r.tree.used = modified(path)
					}
				}
				if err != nil {
					s.log.Warn("record of the package store is damaged; it is made again", "path", names[i], "err", err)
					continue
				}
				found[part] = append(found[part], r)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all := &records{map[string]*list{}, map[string]*packageRecord{}, map[string]*datedTree{}}
	for _, part := range found {
		for _, r := range part {
			switch {
			case r.list != nil:
				all.contents[r.name] = r.list
			case r.pkg != nil:
				all.packages[r.name] = r.pkg
			case r.tree != nil:
				all.trees[r.name] = r.tree
			}
		}
	}
	return all, nil
}

func modified(path string) time.Time {
	fi, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return fi.ModTime()
}

// removeStrays removes what is on the disk and not in the maps: trees first, then what they reach.
func (s *Store) removeStrays(index []string, ps, ts map[string]bool) error {
	for name := range ts {
		if s.trees[name] == nil {
			if err := s.withdraw("t", name); err != nil {
				return err
			}
		}
	}
	for name := range ps {
		if s.packages[name] == nil {
			if err := s.withdraw("p", name); err != nil {
				return err
			}
		}
	}
	for _, record := range index {
		kind, name, _ := strings.Cut(record, "-")
		if kind == "c" && s.contents[name] != nil || kind == "p" && s.packages[name] != nil || kind == "t" && s.trees[name] != nil {
			continue
		}
		if err := s.removeRecord(record); err != nil {
			return err
		}
	}
	for i := range s.shards {
		sh := &s.shards[i]
		const digits = "0123456789abcdef"
		folder := string([]byte{digits[i>>4], digits[i&15]})
		names, err := readNames(s.path("files", folder))
		if err != nil {
			return err
		}
		known := make(map[string]bool, len(sh.files))
		for k := range sh.files {
			known[k.path()[3:]] = true
		}
		for _, name := range names {
			if known[name] {
				continue
			}
			if err := unix.Unlinkat(s.files, folder+"/"+name, 0); err != nil {
				return &fs.PathError{Op: "remove", Path: name, Err: err}
			}
		}
	}
	return nil
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func nameSet(dir string) (map[string]bool, error) {
	names, err := readNames(dir)
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set, err
}
