package unpack

import (
	"slices"
	"strings"
)

// tree collects entries and keeps them one tree: each name is one thing, what is above it is a folder.
type tree struct {
	limits  Limits
	entries map[string]*Entry
	total   int64 // bytes of all bodies
	count   int   // entries of the archive, whatever became of them
	links   bool
	steps   int // parts of paths walked by follow
}

func newTree(l Limits) *tree { return &tree{limits: l, entries: map[string]*Entry{}} }

// met counts an entry of the archive.
func (t *tree) met() error {
	if t.count++; t.count > t.limits.Entries {
		return refuse(ReasonTooManyFiles, "it has more than %d entries", t.limits.Entries)
	}
	return nil
}

// room says whether a file of that size may come.
func (t *tree) room(name string, size int64) error {
	if size > t.limits.File {
		return refuseEntry(ReasonTooLarge, name, "has %d bytes, and a file may have %d", size, t.limits.File)
	}
	if t.total+size > t.limits.Total {
		return refuse(ReasonTooLarge, "it unpacks to more than %d bytes", t.limits.Total)
	}
	return nil
}

// put takes an entry in. Like tar, a later file takes the place of an earlier one; nothing else does.
func (t *tree) put(e Entry) error {
	if err := t.parents(e.Path); err != nil {
		return err
	}
	old := t.entries[e.Path]
	switch {
	case old == nil:
		t.entries[e.Path] = &e
	case old.Kind == Folder && e.Kind == Folder:
		return nil
	case old.Kind == File && e.Kind == File:
		*old = e // the bytes of the earlier one still count: they were unpacked
	case old.Kind == Link || e.Kind == Link:
		return refuseEntry(ReasonConflict, e.Path, "is there twice, once as a symlink")
	default:
		return refuseEntry(ReasonConflict, e.Path, "is a file and a folder")
	}
	t.total += e.Size
	t.links = t.links || e.Kind == Link
	return nil
}

// parents makes the folders above a path, which most tarballs of npm do not list. They count as
// entries: a single path of 64 parts costs as much as 64 folders.
func (t *tree) parents(name string) error {
	for at := dir(name); at != ""; at = dir(at) {
		switch e := t.entries[at]; {
		case e == nil:
			t.entries[at] = &Entry{Path: at, Kind: Folder}
			if len(t.entries) > t.limits.Entries {
				return refuse(ReasonTooManyFiles, "it has more than %d entries", t.limits.Entries)
			}
		case e.Kind == Folder:
			return nil
		case e.Kind == Link:
			return refuseEntry(ReasonThroughLink, name, "lies below the symlink %s", quote(at))
		default:
			return refuseEntry(ReasonConflict, name, "lies below the file %s", quote(at))
		}
	}
	return nil
}

// sorted returns all entries by path, so that a folder comes before what is in it.
func (t *tree) sorted() ([]Entry, error) {
	list := make([]Entry, 0, len(t.entries))
	files := 0
	for _, e := range t.entries {
		list = append(list, *e)
		if e.Kind == File {
			files++
		}
	}
	if files == 0 {
		return nil, refuse(ReasonEmpty, "it has no file")
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	if t.links {
		for i := range list {
			if list[i].Kind != Link {
				continue
			}
			if err := t.follow(&list[i]); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

const (
	mostHops  = 40        // symlinks that Linux follows in one path
	mostSteps = 2_000_000 // parts that all links of an archive together may lead through
)

// follow walks where a symlink leads, through all others on the way. A link to nothing is harmless: the
// tree never changes again. One that leads out on the way is not, even if it comes back in.
func (t *tree) follow(link *Entry) error {
	out := func() error {
		return refuseEntry(ReasonLinkEscape, link.Path, "is a symlink that leads out of the package through others")
	}
	at, hops := dir(link.Path), 0
	rest := strings.Split(link.Target, "/")
	for len(rest) > 0 {
		if t.steps++; t.steps > mostSteps {
			return refuse(ReasonBomb, "its symlinks lead through one another without end")
		}
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "" {
				return out()
			}
			at = dir(at)
			continue
		}
		next := part
		if at != "" {
			next = at + "/" + part
		}
		e := t.entries[next]
		if e == nil {
			// Nothing there, so the kernel stops. What is left is checked by its letters.
			depth := strings.Count(next, "/") + 1
			for _, p := range rest {
				if p == ".." {
					depth--
				} else if p != "" && p != "." {
					depth++
				}
				if depth < 0 {
					return out()
				}
			}
			return nil
		}
		if e.Kind != Link {
			at = next
			continue
		}
		if hops++; hops > mostHops {
			return refuseEntry(ReasonLinkEscape, link.Path, "is a symlink that leads through more than %d others", mostHops)
		}
		rest = append(strings.Split(e.Target, "/"), rest...)
		t.steps += len(rest)
	}
	return nil
}
