package warden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"hearth/internal/config"
	"hearth/internal/sandbox"
	"hearth/internal/warden/wire"
)

// FallbackUID is the uid and gid of the node process where the account of --user does not exist.
const FallbackUID = 64646

// Options are what Run needs beside the settings.
type Options struct {
	Setup    wire.Setup
	Registry []byte   // how to reach npm's registry, with credentials; for the node process
	Images   Images   // what root file systems are made of
	NodeArgs []string // flags of Node.js in instances
	NodeEnv  []string // its environment
	Log      *slog.Logger
}

// warden is the state of the process; it lives as long as Run.
type warden struct {
	cfg       *config.Config
	setup     wire.Setup
	log       *slog.Logger
	uid, gid  int
	files     *files
	maker     *sandbox.Maker
	images    *imageStore
	instances *instances
	current   atomic.Pointer[session] // nil while no node process runs
	wg        sync.WaitGroup
}

// Run is the warden's life: it returns when ctx has ended and everything is undone, or with the
// reason why it could not start or go on. Call it in a process that Isolate made.
func Run(ctx context.Context, opt Options) (err error) {
	cfg := opt.Setup.Config
	if !Isolated() {
		return errors.New("the warden needs a mount namespace of its own")
	}
	w := &warden{cfg: cfg, setup: opt.Setup, log: opt.Log, instances: newInstances()}
	if err := prepareProcess(); err != nil {
		return err
	}
	if w.uid, w.gid, err = account(cfg.User); err != nil {
		return err
	}
	w.setup.Config = w.nodeConfig()
	if w.setup.Node, err = nodeVersions(); err != nil {
		return err
	}

	runtimePath, err := findRuntime(ctx, cfg)
	if err != nil {
		return err
	}
	data, err := makeFolders(cfg)
	if err != nil {
		return err
	}
	defer data.Close()
	lock, err := lockData(data, cfg.DataDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	claim, err := claimBlock(w.log)
	if err != nil {
		return err
	}
	defer claim.lock.Close()
	if err := makeView(data, w.uid, w.gid); err != nil {
		return err
	}
	if w.images, err = newImageStore(opt.Images, w.log); err != nil {
		return err
	}
	if w.files, err = openFiles(ctx, cfg, opt.Registry); err != nil {
		return err
	}
	defer w.files.close()
	w.maker, err = sandbox.New(sandbox.Config{Root: view, Runtime: runtimePath, Packages: viewPackages, Empty: viewEmpty, Cgroup: claim.cgroup(),
		FirstUID: claim.firstUID(), Ranges: blockRanges, UID: w.uid, GID: w.gid, NodeArgs: opt.NodeArgs, Env: opt.NodeEnv, Log: w.log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.maker.Close()) }()
	pidFile := path.Join(cfg.RunDir, "hearth.pid")
	if err := writePid(pidFile, os.Getpid()); err != nil {
		return err
	}
	defer os.Remove(pidFile)
	w.log.Info("warden started", "data_dir", cfg.DataDir, "runtime", runtimePath, "uid", w.uid, "block", claim.number)

	err = w.supervise(ctx)
	end := context.WithoutCancel(ctx) // what was made is unmade, however long the caller would wait
	err = errors.Join(err, w.instances.destroyAll(end))
	w.wg.Wait()
	w.log.Info("warden ended")
	return err
}

// supervise keeps a node process running. It has a goroutine of its own, since its thread is given
// up to being the parent.
func (w *warden) supervise(ctx context.Context) error {
	ended := make(chan error)
	go func() { ended <- w.keepNode(ctx, func() (*os.File, func(int), func(), error) { return w.begin(ctx) }) }()
	return <-ended
}

// begin opens a session for a new node process.
func (w *warden) begin(ctx context.Context) (end *os.File, started func(int), ended func(), err error) {
	conn, end, err := wire.Pair()
	if err != nil {
		return nil, nil, nil, err
	}
	setup, err := json.Marshal(w.setup)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("encode settings: %w", err)
	}
	// The node process reads the files by position: a descriptor that is sent shares its offset.
	hello, err := wire.Encode(wire.Hello{Config: setup, Files: w.files.names})
	if err == nil {
		err = conn.Write(hello, w.files.files...)
	}
	if err != nil {
		conn.Close()
		end.Close()
		return nil, nil, nil, fmt.Errorf("greet node process: %w", err)
	}
	s := &session{w: w, conn: conn, log: w.log}
	pidFile := path.Join(w.cfg.RunDir, "node.pid")
	var wg sync.WaitGroup
	started = func(pid int) {
		if err := writePid(pidFile, pid); err != nil {
			w.log.Warn("cannot write pid file", "err", err)
		}
		w.current.Store(s)
		wg.Go(func() { // ends when conn is closed below, or by a broken protocol
			if err := s.run(ctx); err != nil {
				w.log.Error("node process broke the protocol; ending it", "err", err)
				unix.Kill(pid, unix.SIGKILL) // a child that was not waited for: the pid is its
			}
		})
	}
	ended = func() {
		w.current.Store(nil)
		conn.Close()
		wg.Wait()
		os.Remove(pidFile)
		w.instances.orphan()
	}
	return end, started, ended, nil
}

// watch says that an instance ended by itself, and removes it. The news first: until it comes the node
// process sends requests there.
func (w *warden) watch(i *instance) {
	<-i.Done()
	if s := w.current.Load(); s != nil {
		s.exited(i)
	}
	if err := w.instances.destroy(context.Background(), i.ID); err != nil { // only bounded steps: every process of it has ended
		w.log.Error("cannot remove instance that ended", "instance", i.ID, "err", err)
	}
}

// prepareProcess makes this process what the others rely on.
func prepareProcess() error {
	if err := setName("hearth"); err != nil {
		return err
	}
	// The OCI runtime ends after it started a container: pid 1 of it then becomes our child.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become reaper: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	unix.Umask(0o022)
	return nil
}

// account finds the uid and gid of the node process. Root is refused.
func account(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		return FallbackUID, FallbackUID, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("look up user %q: %w", name, err)
	}
	uid, err = strconv.Atoi(u.Uid)
	if err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("look up user %q: %w", name, err)
	}
	if uid == 0 || gid == 0 {
		return 0, 0, fmt.Errorf("the node process cannot run as %q, which is root; name another account with --user", name)
	}
	return uid, gid, nil
}

// nodeConfig is the settings as the node process needs them: what lies in its folder has the path of
// the view there.
func (w *warden) nodeConfig() *config.Config {
	c := *w.cfg
	for _, url := range []*string{&c.Database, &c.Blobs} {
		scheme, rest, _ := strings.Cut(*url, ":")
		if below, ok := strings.CutPrefix(rest, path.Join(c.DataDir, "node")+"/"); ok {
			*url = scheme + ":" + path.Join(viewNode, below)
		}
	}
	return &c
}

// makeFolders makes the data and the run directory, and returns the first, open.
func makeFolders(cfg *config.Config) (*os.File, error) {
	for _, dir := range []struct {
		name string
		mode os.FileMode
	}{{cfg.DataDir, 0o711}, {cfg.RunDir, 0o755}} {
		if err := os.MkdirAll(dir.name, dir.mode); err != nil {
			return nil, fmt.Errorf("make folder: %w", err)
		}
	}
	data, err := openFolder(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	if err := own(data, 0, 0, 0o711); err != nil {
		data.Close()
		return nil, err
	}
	return data, nil
}

// writePid publishes a pid under its final name only when it is whole.
func writePid(name string, pid int) error {
	tmp := name + ".new"
	if err := os.WriteFile(tmp, []byte(strconv.Itoa(pid)+"\n"), 0o644); err != nil {
		return fmt.Errorf("write pid: %w", err)
	}
	if err := os.Rename(tmp, name); err != nil {
		return fmt.Errorf("write pid: %w", err)
	}
	return nil
}
