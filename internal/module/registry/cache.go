package registry

import (
	"bytes"
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// mostEntries bounds the files of a cache, and so its inodes and its index in memory.
const mostEntries = 100_000

// Cache keeps packuments on disk, at most so many bytes, the least recently used going first. It is
// safe for concurrent use in one process, which owns the folder. What is in it was checked and may be
// lost at any moment: a file that is damaged is as good as none, so nothing is synced.
type Cache struct {
	dir  string
	most int64

	mu     sync.Mutex
	order  *list.List // of *cached, the most recently used first
	index  map[string]*list.Element
	bytes  int64
	flight map[string]*flight
}

type cached struct {
	key  string
	size int64
}

// flight lets one at a time ask for a key; the others then find the answer.
type flight struct {
	turn chan struct{} // of one
	want int           // who holds or waits
}

// stored is the first line of a file; what follows is the body.
type stored struct {
	Name     string    `json:"name"`
	ETag     string    `json:"etag,omitempty"`
	Modified string    `json:"modified,omitempty"`
	Asked    time.Time `json:"asked"`   // when the registry last said that this is so
	Expires  time.Time `json:"expires"` // until when it need not be asked
	Sum      string    `json:"sum"`     // sha256 of the body, in hex
}

// OpenCache makes a Cache of the folder, with what an earlier process left there.
func OpenCache(dir string, most int64) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make packument cache: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read packument cache: %w", err)
	}
	c := &Cache{dir: dir, most: most, order: list.New(), index: map[string]*list.Element{}, flight: map[string]*flight{}}
	type found struct {
		cached
		used time.Time
	}
	var all []found
	for _, e := range entries {
		info, err := e.Info()
		switch {
		case err != nil: // it went meanwhile
		case strings.HasPrefix(e.Name(), temporary):
			_ = os.Remove(c.path(e.Name()))
		case info.Mode().IsRegular() && len(e.Name()) == 2*sha256.Size:
			all = append(all, found{cached{e.Name(), info.Size()}, info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b found) int { return b.used.Compare(a.used) })
	for _, f := range all {
		c.index[f.key] = c.order.PushBack(&cached{f.key, f.size})
		c.bytes += f.size
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evict()
	return c, nil
}

const temporary = "new-"

func (c *Cache) path(key string) string { return filepath.Join(c.dir, key) }

// Size returns how many packuments there are, and their bytes.
func (c *Cache) Size() (entries int, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len(), c.bytes
}

// begin waits until nobody else asks for key.
func (c *Cache) begin(ctx context.Context, key string) (end func(), err error) {
	c.mu.Lock()
	f := c.flight[key]
	if f == nil {
		f = &flight{turn: make(chan struct{}, 1)}
		c.flight[key] = f
	}
	f.want++
	c.mu.Unlock()
	leave := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if f.want--; f.want == 0 {
			delete(c.flight, key)
		}
	}
	select {
	case f.turn <- struct{}{}:
		return func() { <-f.turn; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

// read returns what is kept for key, nil if nothing usable is.
func (c *Cache) read(key string) (*stored, []byte) {
	c.mu.Lock()
	e := c.index[key]
	if e != nil {
		c.order.MoveToFront(e)
	}
	c.mu.Unlock()
	if e == nil {
		return nil, nil
	}
	text, err := os.ReadFile(c.path(key))
	if err != nil {
		c.drop(key)
		return nil, nil
	}
	head, body, _ := bytes.Cut(text, []byte("\n"))
	var s stored
	sum := sha256.Sum256(body)
	if json.Unmarshal(head, &s) != nil || s.Sum != hex.EncodeToString(sum[:]) {
		c.drop(key)
		return nil, nil
	}
	return &s, body
}

// write keeps body for key. A reader sees the old file or the new one.
func (c *Cache) write(key string, s stored, body []byte) (err error) {
	sum := sha256.Sum256(body)
	s.Sum = hex.EncodeToString(sum[:])
	head, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode packument's head: %w", err)
	}
	size := int64(len(head) + 1 + len(body))
	if size > c.most {
		return nil
	}
	f, err := os.CreateTemp(c.dir, temporary)
	if err != nil {
		return fmt.Errorf("keep packument: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(append(head, '\n'))
	if err == nil {
		_, err = f.Write(body)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("keep packument: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Under the lock, so that the index says what the folder has. A rename is one short call.
	if err = os.Rename(f.Name(), c.path(key)); err != nil {
		return fmt.Errorf("keep packument: %w", err)
	}
	c.forget(key)
	c.index[key] = c.order.PushFront(&cached{key, size})
	c.bytes += size
	c.evict()
	return nil
}

// drop removes what is kept for key.
func (c *Cache) drop(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(key)
	_ = os.Remove(c.path(key))
}

// forget needs c.mu.
func (c *Cache) forget(key string) {
	if e := c.index[key]; e != nil {
		c.bytes -= e.Value.(*cached).size
		c.order.Remove(e)
		delete(c.index, key)
	}
}

// evict needs c.mu.
func (c *Cache) evict() {
	for c.bytes > c.most || c.order.Len() > mostEntries {
		key := c.order.Back().Value.(*cached).key
		c.forget(key)
		_ = os.Remove(c.path(key))
	}
}
