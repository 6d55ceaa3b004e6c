package host

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/module/unpack"
)

// Archives is where contents come from.
type Archives interface {
	// Open returns the archive of a content and the sha256, in hex, that it must have.
	Open(ctx context.Context, content string) (r io.ReadCloser, digest string, err error)
}

// Config says where a store lies and what bounds it.
type Config struct {
	Dir      string        // the store's folder; it is made if it is not there
	KeyFile  string        // the key of the names; made at the first start
	Limit    int64         // bytes on the disk; inodes are counted once
	Archives Archives      // asked by Ensure and Verify
	Limits   unpack.Limits // of one content
	Parallel int           // contents that are fetched at once; 0 is 4
	Log      *slog.Logger
}

// Store is the host store of one node. Its methods may be called by any goroutine.
type Store struct {
	cfg     Config
	log     *slog.Logger
	key     []byte
	root    int // descriptors: of the store's folder,
	files   int // of files
	tmp     int // and of tmp
	chmod   bool
	counter atomic.Uint64 // names in tmp

	shards [256]shard

	mu       sync.Mutex
	contents map[string]*content
	packages map[string]*pkg
	trees    map[string]*tree
	held     map[string]int // trees by name, on the disk or not
	pins     map[string]int // what an Ensure or a Verify counts on; keys as of claims
	claims   map[string]*claim
	leaving  int           // evictions that are under way
	left     chan struct{} // closed, and made anew, at the end of each
	bytes    int64
	evicted  int64 // contents, since Open
	unsynced bool
	touched  map[string]bool // trees whose time of use is newer than their record's
}

// content is a content that is on the disk.
type content struct {
	keys  []fileKey // each once
	users int       // packages
	born  string
	used  time.Time
}

// pkg is a package that is on the disk.
type pkg struct {
	content string
	bytes   int64 // of its folders
	users   int   // trees
	born    string
	used    time.Time
}

// tree is a tree that is on the disk.
type tree struct {
	packages []string
	bytes    int64
	born     string
	used     time.Time
}

// shard has the files whose sum begins with one byte. Its lock is held over one rename or unlink.
type shard struct {
	mu    sync.Mutex
	files map[fileKey]*stored
}

// stored is a file below files.
type stored struct {
	refs int // contents
	size int64
}

const block = 4096 // what the smallest file takes on a disk

func blocks(size int64) int64 { return (size + block - 1) / block * block }

// Mount is where instances see a store.
const Mount = "/packages"

var folders = []struct {
	name string
	mode os.FileMode
}{{"p", 0o711}, {"t", 0o711}, {"files", 0o700}, {"index", 0o700}, {"tmp", 0o700}}

// Open opens a store, which no other process may have open: it empties tmp, reads the index, and removes
// what a crash or a loss of power left. It evicts nothing: first the caller holds what instances that
// live on use.
func Open(cfg Config) (_ *Store, err error) {
	cfg.Parallel = cmp.Or(cfg.Parallel, 4)
	if cfg.Limit <= 0 || cfg.Archives == nil || cfg.Log == nil {
		return nil, errors.New("open package store: limit, archives or log is missing")
	}
	defer func() {
		if err != nil {
			err = explain("open package store", err)
		}
	}()
	s := &Store{cfg: cfg, log: cfg.Log, root: -1, files: -1, tmp: -1,
		contents: map[string]*content{}, packages: map[string]*pkg{}, trees: map[string]*tree{}, held: map[string]int{},
		pins: map[string]int{}, claims: map[string]*claim{}, left: make(chan struct{}), touched: map[string]bool{}}
	for i := range s.shards {
		s.shards[i].files = map[fileKey]*stored{}
	}
	s.chmod = umask()&0o755 != 0
	if s.key, err = readKey(cfg.KeyFile); err != nil {
		return nil, err
	}
	if err := s.folders(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := s.emptyTmp(); err != nil {
		return nil, err
	}
	// A large content spools into tmp, which is on the disk that has room for it, not in memory.
	s.cfg.Limits.Spool = s.path("tmp")
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

// Close gives back descriptors. No method may be running or called later.
func (s *Store) Close() error {
	err := s.sync()
	s.close()
	return explain("close package store", err)
}

func (s *Store) close() {
	for _, fd := range []int{s.root, s.files, s.tmp} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func (s *Store) path(names ...string) string {
	return filepath.Join(append([]string{s.cfg.Dir}, names...)...)
}

// name is the folder of a package or tree: nobody without the node's key can guess it.
func (s *Store) name(key string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(key))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

func (s *Store) folders() error {
	// A new folder may be made in one that only its owner may enter; what is there keeps its mode.
	if err := os.Mkdir(s.cfg.Dir, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Chmod(s.cfg.Dir, 0o711); err != nil {
		return err
	}
	for _, f := range folders {
		if err := os.Mkdir(s.path(f.name), f.mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := os.Chmod(s.path(f.name), f.mode); err != nil {
			return err
		}
	}
	there, err := nameSet(s.path("files"))
	if err != nil {
		return err
	}
	for i := range s.shards {
		if name := fmt.Sprintf("%02x", i); !there[name] {
			if err := os.Mkdir(s.path("files", name), 0o700); err != nil {
				return err
			}
		}
	}
	if s.root, err = openFolder(unix.AT_FDCWD, s.cfg.Dir); err != nil {
		return err
	}
	if s.files, err = openFolder(s.root, "files"); err != nil {
		return err
	}
	s.tmp, err = openFolder(s.root, "tmp")
	return err
}

func openFolder(at int, name string) (int, error) {
	fd, err := retryInterrupted(func() (int, error) {
		return unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

// retryInterrupted is for system calls on network file systems, which a signal of Go's scheduler may end.
func retryInterrupted(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func (s *Store) emptyTmp() error {
	entries, err := os.ReadDir(s.path("tmp"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(s.path("tmp", e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// temporary returns a new name in tmp.
func (s *Store) temporary() string { return strconv.FormatUint(s.counter.Add(1), 10) }

// readKey returns the key of the names, making it at the first start.
func readKey(file string) ([]byte, error) {
	const size = 32
	key, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, size)
		rand.Read(key)
		tmp, err := os.CreateTemp(filepath.Dir(file), ".key-") // 0600
		if err != nil {
			return nil, err
		}
		defer os.Remove(tmp.Name())
		_, err = tmp.Write(key)
		if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
			return nil, err
		}
		return key, os.Rename(tmp.Name(), file)
	}
	if err == nil && len(key) != size {
		err = fmt.Errorf("the key of the package store, %s, has %d bytes and not %d; remove it, and all packages are unpacked anew", file, len(key), size)
	}
	return key, err
}

// umask reads this process's umask, which cannot be asked for without setting it for all threads.
func umask() os.FileMode {
	text, err := os.ReadFile("/proc/self/status")
	if err == nil {
		if _, rest, ok := strings.Cut(string(text), "\nUmask:\t"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			if mask, err := strconv.ParseUint(line, 8, 32); err == nil {
				return os.FileMode(mask)
			}
		}
	}
	return 0o777 // not known: set every mode
}

// workers is how many goroutines link at once: it is the kernel's work, and its locks are by folder.
func workers() int { return max(2, runtime.GOMAXPROCS(0)) }

// Usage is what a store holds.
type Usage struct {
	Bytes, Limit              int64
	Contents, Packages, Trees int
	Held                      int
	Evicted                   int64 // contents, since the store was opened
}

// Usage returns what the store holds now.
func (s *Store) Usage() Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Usage{s.bytes, s.cfg.Limit, len(s.contents), len(s.packages), len(s.trees), len(s.held), s.evicted}
}
