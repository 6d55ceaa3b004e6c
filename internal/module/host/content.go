package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/module/unpack"
)

// Put takes in a content that the caller has just unpacked, so that a builder's own node does not read
// its archive again. tenant is the id of the one that it is private to, "" shared; digest is that of the
// archive. The caller keeps c and closes it.
func (s *Store) Put(ctx context.Context, id, tenant string, c *unpack.Content, digest string) error {
	if err := checkHex("content", id); err != nil {
		return err
	}
	err := s.once(ctx, ofContent(id), s.hasContent(id), func() error { return s.unpackContent(ctx, id, ownerOf(tenant), c, digest) })
	return explain("unpack content "+id, err)
}

func (s *Store) hasContent(id string) func() bool {
	return func() bool { return s.contents[id] != nil }
}

// fetch makes sure that a content is here, and says whether it had to come from the archives.
func (s *Store) fetch(ctx context.Context, id string, whose owner) (fetched bool, err error) {
	err = s.once(ctx, ofContent(id), s.hasContent(id), func() error {
		c, digest, err := s.open(ctx, id)
		if err != nil {
			return err
		}
		defer c.Close()
		fetched = true
		return s.unpackContent(ctx, id, whose, c, digest)
	})
	return fetched, err
}

// open reads a content from the archives. Nothing of it is believed before its digest was right.
func (s *Store) open(ctx context.Context, id string) (*unpack.Content, string, error) {
	r, digest, err := s.cfg.Archives.Open(ctx, id)
	if err != nil {
		return nil, "", fmt.Errorf("open archive of content %s: %w", id, err)
	}
	defer r.Close()
	c, err := unpack.Load(ctx, r, digest, s.cfg.Limits)
	if err != nil {
		return nil, "", fmt.Errorf("read archive of content %s: %w", id, err)
	}
	return c, digest, nil
}

// unpackContent writes the files that no other content has, then the record that makes the content be
// there. The caller has its claim.
func (s *Store) unpackContent(ctx context.Context, id string, whose owner, c *unpack.Content, digest string) error {
	var need int64
	for i := range c.Entries {
		need += blocks(c.Entries[i].Size)
	}
	if err := s.reserve(need); err != nil {
		return err
	}
	err := s.writeContent(ctx, id, whose, c, digest)
	if isFull(err) && s.evictSome(need) {
		err = s.writeContent(ctx, id, whose, c, digest)
	}
	s.add(-need) // what was really written is counted where it was
	return err
}

func (s *Store) writeContent(ctx context.Context, id string, whose owner, c *unpack.Content, digest string) (err error) {
	l := &list{digest: digest, born: s.born(), owner: whose, items: make([]item, len(c.Entries))}
	has := make(map[fileKey]bool, c.Stats.Files)
	keys := make([]fileKey, 0, c.Stats.Files)
	defer func() {
		if err != nil {
			s.drop(keys)
		}
	}()
	for i := range c.Entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e := &c.Entries[i]
		it := &l.items[i]
		*it = item{path: e.Path, kind: e.Kind, size: e.Size, target: e.Target}
		if e.Kind != unpack.File {
			continue
		}
		if it.key, err = keyOf(c, e, whose); err != nil {
			return err
		}
		if has[it.key] {
			continue
		}
		if err := s.keep(it.key, e.Size, func() (io.Reader, []byte) { data, _ := c.Bytes(e); return c.Open(e), data }); err != nil {
			return err
		}
		has[it.key] = true
		keys = append(keys, it.key)
	}
	if err := s.writeRecord(ofContent(id), l.encode()); err != nil {
		return err
	}
	s.mu.Lock()
	s.contents[id] = &content{keys: keys, born: l.born, used: time.Now()}
	s.unsynced = true
	s.mu.Unlock()
	return nil
}

// keyOf hashes a file of a content.
func keyOf(c *unpack.Content, e *unpack.Entry, whose owner) (fileKey, error) {
	k := fileKey{exec: e.Exec, owner: whose}
	if data, ok := c.Bytes(e); ok {
		k.sum = sha256.Sum256(data)
		return k, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, c.Open(e)); err != nil {
		return k, err
	}
	h.Sum(k.sum[:0])
	return k, nil
}

// keep counts one more content that has a file, and writes the file if it is the first.
func (s *Store) keep(k fileKey, size int64, open func() (io.Reader, []byte)) error {
	sh := &s.shards[k.sum[0]]
	sh.mu.Lock()
	if f := sh.files[k]; f != nil {
		f.refs++
		sh.mu.Unlock()
		return nil
	}
	sh.mu.Unlock()
	tmp := s.temporary()
	r, data := open()
	if err := s.writeFile(tmp, k.mode(), r, data); err != nil {
		return err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if f := sh.files[k]; f != nil { // somebody was quicker
		f.refs++
		return unix.Unlinkat(s.tmp, tmp, 0)
	}
	if err := unix.Renameat(s.tmp, tmp, s.files, k.path()); err != nil {
		unix.Unlinkat(s.tmp, tmp, 0)
		return fmt.Errorf("keep file %s: %w", k.path(), err)
	}
	sh.files[k] = &stored{refs: 1, size: size}
	s.add(blocks(size))
	return nil
}

// drop counts one content less for each file, and removes those that none has.
func (s *Store) drop(keys []fileKey) {
	for _, k := range keys {
		sh := &s.shards[k.sum[0]]
		sh.mu.Lock()
		if f := sh.files[k]; f != nil {
			if f.refs--; f.refs == 0 {
				delete(sh.files, k)
				if err := unix.Unlinkat(s.files, k.path(), 0); err != nil && !errors.Is(err, unix.ENOENT) {
					s.log.Warn("remove file of the package store", "key", k.path(), "err", err)
				}
				s.add(-blocks(f.size))
			}
		}
		sh.mu.Unlock()
	}
}

func (k fileKey) mode() uint32 {
	if k.exec {
		return 0o555
	}
	return 0o444
}

// writeFile writes a new file in tmp, from data if it is not nil. On an error there is none.
func (s *Store) writeFile(name string, mode uint32, r io.Reader, data []byte) error {
	fd, err := unix.Openat(s.tmp, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return fmt.Errorf("make file: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if data != nil {
		_, err = f.Write(data)
	} else {
		_, err = io.Copy(f, r)
	}
	if s.chmod && err == nil {
		err = unix.Fchmod(fd, mode)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		unix.Unlinkat(s.tmp, name, 0)
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}

// writeRecord puts a record into the index, whole or not at all.
func (s *Store) writeRecord(name string, raw []byte) error {
	tmp := s.temporary()
	if err := s.writeFile(tmp, 0o600, bytes.NewReader(raw), raw); err != nil {
		return fmt.Errorf("write record %s: %w", name, err)
	}
	if err := unix.Renameat(s.tmp, tmp, s.root, "index/"+name); err != nil {
		unix.Unlinkat(s.tmp, tmp, 0)
		return fmt.Errorf("write record %s: %w", name, err)
	}
	return nil
}

func (s *Store) removeRecord(name string) error {
	if err := unix.Unlinkat(s.root, "index/"+name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove record %s: %w", name, err)
	}
	return nil
}

func (s *Store) readList(id string) (*list, error) {
	raw, err := os.ReadFile(s.path("index", ofContent(id)))
	if err != nil {
		return nil, err
	}
	l, err := decodeList(raw)
	if err != nil {
		return nil, fmt.Errorf("read record of content %s: %w", id, err)
	}
	return l, nil
}

// add changes the count of bytes.
func (s *Store) add(n int64) {
	s.mu.Lock()
	s.bytes += n
	s.mu.Unlock()
}

// checkHex checks a key: it becomes part of a path.
func checkHex(what, key string) error {
	if len(key) != 64 || strings.Trim(key, "0123456789abcdef") != "" {
		return fmt.Errorf("%s %.80q is not 64 hex digits", what, key)
	}
	return nil
}
