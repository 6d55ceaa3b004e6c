package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The store is a cache, so nothing is synced while somebody waits for a tree. A crash of the process
// loses nothing that it had written. A loss of power may: a file system that journals names may keep a
// name and not the bytes. So every 10 s, if something changed, Run calls syncfs, and after it writes the
// file synced: the records that were there before. The file boot has the id of the machine's boot. If
// Open finds another boot there, it believes in nothing but what synced names, and removes the rest,
// which is at most what was unpacked in the last seconds before the power went.
//
// A record has a stamp, born, since what was evicted and made again has the same name and was not synced.

const syncEvery = 10 * time.Second

// Run syncs the store in the background until ctx ends, and once more then.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.sync()
		case <-tick.C:
			if err := s.sync(); err != nil {
				s.log.Warn("sync the package store", "err", err)
			}
		}
	}
}

func (s *Store) born() string {
	return strconv.FormatInt(time.Now().UnixNano(), 36) + "." + s.temporary()
}

// sync makes what is there durable and notes it. It also notes when trees were used last.
func (s *Store) sync() (err error) {
	s.touch()
	s.mu.Lock()
	if !s.unsynced {
		s.mu.Unlock()
		return nil
	}
	s.unsynced = false
	var b strings.Builder
	b.WriteString(s.fingerprint() + "\n")
	for id, c := range s.contents {
		b.WriteString(ofContent(id) + " " + c.born + "\n")
	}
	for name, p := range s.packages {
		b.WriteString(ofPackage(name) + " " + p.born + "\n")
	}
	for name, t := range s.trees {
		b.WriteString(ofTree(name) + " " + t.born + "\n")
	}
	s.mu.Unlock()
	defer func() {
		if err != nil {
			s.mu.Lock()
			s.unsynced = true
			s.mu.Unlock()
			err = fmt.Errorf("sync: %w", err)
		}
	}()
	if err := unix.Syncfs(s.root); err != nil {
		return err
	}
	return s.writeNote("synced", b.String())
}

// touch gives the records of trees the time when those were used last, so that eviction remembers it
// over a restart.
func (s *Store) touch() {
	s.mu.Lock()
	times := make(map[string]time.Time, len(s.touched))
	for name := range s.touched {
		if t := s.trees[name]; t != nil {
			times[name] = t.used
		}
	}
	clear(s.touched)
	s.mu.Unlock()
	for name, used := range times {
		if err := os.Chtimes(s.path("index", ofTree(name)), used, used); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("note when a tree was used", "err", err)
		}
	}
}

// writeNote writes one of the two files beside the index, durably.
func (s *Store) writeNote(name, text string) error {
	tmp := s.path("tmp", s.temporary())
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, s.path(name)); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return unix.Fsync(s.root)
}

// fingerprint tells keys apart: under another key all names are others.
func (s *Store) fingerprint() string {
	sum := sha256.Sum256(append([]byte("hearth package store\n"), s.key...))
	return hex.EncodeToString(sum[:16])
}

func (s *Store) boot() string {
	id, err := os.ReadFile(bootID)
	if err != nil {
		return "" // never equal to what a file says: believe in what was synced only
	}
	return s.fingerprint() + " " + strings.TrimSpace(string(id)) + "\n"
}

// bootID is a variable for the test of a loss of power.
var bootID = "/proc/sys/kernel/random/boot_id"

// believed returns which records may be believed in.
func (s *Store) believed() (func(key, born string) bool, error) {
	last, err := os.ReadFile(s.path("boot"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(last) > 0 && string(last) == s.boot() {
		return func(string, string) bool { return true }, nil
	}
	raw, err := os.ReadFile(s.path("synced"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	print, text, _ := strings.Cut(string(raw), "\n")
	known := map[string]bool{}
	if print == s.fingerprint() {
		for line := range strings.Lines(text) {
			known[strings.TrimSuffix(line, "\n")] = true
		}
	}
	return func(key, born string) bool { return known[key+" "+born] }, nil
}
