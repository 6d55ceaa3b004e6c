package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"hearth/internal/module/unpack"
)

// Files are linked by paths below a folder in tmp that this process has just made, in which there is no
// symlink yet (they come last, and no item lies below one, which unpack checked). So no path can lead
// out, and one linkat a file is enough.

// buildPackage makes a package's folder in tmp, and returns its name there and the bytes of its folders.
func (s *Store) buildPackage(r *packageRecord, l *list) (_ string, size int64, err error) {
	tmp := s.temporary()
	defer func() {
		if err != nil {
			s.removeTemporary(tmp)
			err = fmt.Errorf("link package %s: %w", r.Name, err)
		}
	}()
	if err := s.mkdir(s.tmp, tmp); err != nil {
		return "", 0, err
	}
	if err := s.mkdir(s.tmp, tmp+"/node_modules"); err != nil {
		return "", 0, err
	}
	size = 2 * block
	modules, err := openFolder(s.tmp, tmp+"/node_modules")
	if err != nil {
		return "", 0, err
	}
	defer unix.Close(modules)
	scopes := map[string]bool{}
	if err := s.scope(modules, r.Name, scopes); err != nil {
		return "", 0, err
	}
	if err := s.mkdir(modules, r.Name); err != nil {
		return "", 0, err
	}
	size += block
	own, err := openFolder(modules, r.Name)
	if err != nil {
		return "", 0, err
	}
	defer unix.Close(own)
	bundles, err := s.linkItems(own, l, &size)
	if err != nil {
		return "", 0, err
	}
	for name, to := range r.Deps {
		at, where := modules, dependency(name, to)
		if name == r.Name {
			// A package that depends on another one of its own name: npm has it below the package's own
			// folder, and Node.js looks there first.
			if at, err = s.ownModules(own, bundles); err != nil {
				return "", 0, err
			}
			defer unix.Close(at)
			where = strings.Repeat("../", 2+strings.Count(r.Name, "/")) + where
			if err := s.scope(at, name, map[string]bool{}); err != nil {
				return "", 0, err
			}
		} else if err := s.scope(modules, name, scopes); err != nil {
			return "", 0, err
		}
		// EEXIST: it is bundled, which is what npm would find too.
		if err := unix.Symlinkat(where, at, name); err != nil && (name != r.Name || !errors.Is(err, unix.EEXIST)) {
			return "", 0, fmt.Errorf("link %s: %w", name, err)
		}
	}
	return tmp, size + int64(len(scopes))*block, nil
}

// dependency is the text of a symlink in p/{package}/node_modules.
func dependency(name string, to link) string {
	return strings.Repeat("../", 2+strings.Count(name, "/")) + to.To + "/node_modules/" + to.Name
}

// linkItems links what a package is made of below the folder own. It says whether the package has a
// node_modules of its own: packages that it bundles.
func (s *Store) linkItems(own int, l *list, size *int64) (bundles bool, err error) {
	for i := range l.items {
		it := &l.items[i]
		switch it.kind {
		case unpack.Folder:
			bundles = bundles || it.path == "node_modules"
			*size += block
			err = s.mkdir(own, it.path)
		case unpack.File:
			err = s.linkFile(own, it)
		}
		if err != nil {
			return bundles, fmt.Errorf("%s: %w", it.path, err)
		}
	}
	for i := range l.items {
		if it := &l.items[i]; it.kind == unpack.Link {
			if err := unix.Symlinkat(it.target, own, it.path); err != nil {
				return bundles, fmt.Errorf("%s: %w", it.path, err)
			}
		}
	}
	return bundles, nil
}

// errDamaged says that a file of the store is not there.
var errDamaged = errors.New("a file of the package store is missing")

func (s *Store) linkFile(own int, it *item) error {
	from := it.key.path()
	err := unix.Linkat(s.files, from, own, it.path, 0)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: %w", errDamaged, err)
	case !errors.Is(err, unix.EMLINK) && !errors.Is(err, unix.EXDEV):
		return err
	}
	// ext4 has at most 65,000 links to an inode, which an empty file gets to: the next ones are to a copy.
	tmp := s.temporary()
	if err := s.copyFile(from, tmp, it.key.mode()); err != nil {
		return err
	}
	if err := unix.Linkat(s.tmp, tmp, own, it.path, 0); err != nil {
		unix.Unlinkat(s.tmp, tmp, 0)
		return err
	}
	sh := &s.shards[it.key.sum[0]]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.files[it.key] == nil {
		return unix.Unlinkat(s.tmp, tmp, 0)
	}
	return unix.Renameat(s.tmp, tmp, s.files, from)
}

func (s *Store) copyFile(from, to string, mode uint32) error {
	fd, err := unix.Openat(s.files, from, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), from)
	defer f.Close()
	return s.writeFile(to, mode, io.Reader(f), nil)
}

// ownModules opens the node_modules inside a package.
func (s *Store) ownModules(own int, there bool) (int, error) {
	if !there {
		if err := s.mkdir(own, "node_modules"); err != nil {
			return -1, err
		}
	}
	return openFolder(own, "node_modules")
}

// scope makes the folder of a name's scope, if it has one.
func (s *Store) scope(at int, name string, made map[string]bool) error {
	scope, _, ok := strings.Cut(name, "/")
	if !ok || made[scope] {
		return nil
	}
	made[scope] = true
	if err := s.mkdir(at, scope); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

func (s *Store) mkdir(at int, name string) error {
	if err := unix.Mkdirat(at, name, 0o755); err != nil {
		return fmt.Errorf("make folder %s: %w", name, err)
	}
	if s.chmod {
		return unix.Fchmodat(at, name, 0o755, 0)
	}
	return nil
}

// buildTree makes a tree's folder in tmp.
func (s *Store) buildTree(ctx context.Context, r *treeRecord) (_ string, size int64, err error) {
	tmp := s.temporary()
	defer func() {
		if err != nil {
			s.removeTemporary(tmp)
			err = fmt.Errorf("link tree: %w", err)
		}
	}()
	if err := s.mkdir(s.tmp, tmp); err != nil {
		return "", 0, err
	}
	size = block
	for _, part := range treeParts(r) {
		if len(part.links) == 0 && part.up > 3 {
			continue // nothing is hoisted
		}
		for i, r := range part.folder {
			if r != '/' {
				continue
			}
			if err := s.mkdir(s.tmp, tmp+"/"+part.folder[:i]); err != nil {
				return "", 0, err
			}
			size += block
		}
		if err := s.mkdir(s.tmp, tmp+"/"+part.folder); err != nil {
			return "", 0, err
		}
		at, err := openFolder(s.tmp, tmp+"/"+part.folder)
		if err != nil {
			return "", 0, err
		}
		defer unix.Close(at)
		scopes := map[string]bool{}
		for name, to := range part.links {
			if ctx.Err() != nil {
				return "", 0, context.Cause(ctx)
			}
			if err := s.scope(at, name, scopes); err != nil {
				return "", 0, err
			}
			if err := unix.Symlinkat(part.target(name, to), at, name); err != nil {
				return "", 0, fmt.Errorf("%s: %w", name, err)
			}
		}
		size += int64(1+len(scopes)) * block
	}
	return tmp, size, nil
}

// treePart is one of the two folders of symlinks that a tree has.
type treePart struct {
	folder string
	up     int // folders up to the store's own
	links  map[string]link
}

func treeParts(r *treeRecord) []treePart {
	return []treePart{{"node_modules", 3, r.Direct}, {"hoisted/node_modules", 4, r.Hoisted}}
}

func (p treePart) target(name string, to link) string {
	return strings.Repeat("../", p.up+strings.Count(name, "/")) + "p/" + to.To + "/node_modules/" + to.Name
}

// publish renames what was made in tmp into its place. The caller has the claim on it, so it is free, unless
// an eviction could not clear it.
func (s *Store) publish(tmp, kind, name string) error {
	err := unix.Renameat2(s.tmp, tmp, s.root, kind+"/"+name, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		return s.exchange(tmp, kind+"/"+name)
	}
	if err != nil {
		return fmt.Errorf("publish %s/%s: %w", kind, name, err)
	}
	return nil
}

// withdraw renames a package or tree out of its place and removes it. What is not there is fine.
func (s *Store) withdraw(kind, name string) error {
	tmp := s.temporary()
	if err := unix.Renameat(s.root, kind+"/"+name, s.tmp, tmp); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return fmt.Errorf("withdraw %s/%s: %w", kind, name, err)
	}
	s.removeTemporary(tmp)
	return nil
}

func (s *Store) removeTemporary(tmp string) {
	if err := os.RemoveAll(s.path("tmp", tmp)); err != nil {
		s.log.Warn("remove what the package store no longer needs", "err", err)
	}
}
