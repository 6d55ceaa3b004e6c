package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"hearth/client"
)

// ownNode is a hearth that bench starts for itself, in a folder of its own: only there it may be said what
// nobody has used before, what is on the disk, and what is in the blob store alone.
type ownNode struct {
	program  string
	dir      string // {dir}/data and {dir}/run
	registry string
	p        *process
	addr     string
	token    string
	api      *client.Client
}

func (n *ownNode) data(names ...string) string {
	return filepath.Join(append([]string{n.dir, "data"}, names...)...)
}

// borrow copies images that another hearth of this machine has made, so that nothing has to be fetched
// or made for them. The node checks them as it would its own.
func (n *ownNode) borrow(ctx context.Context, dataDir string) error {
	if err := os.MkdirAll(n.data(), 0o711); err != nil {
		return err
	}
	from := filepath.Join(dataDir, "images")
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", from, n.data("images")).CombinedOutput(); err != nil {
		return fmt.Errorf("copy images: %w: %.200s", err, out)
	}
	return nil
}

// startTime bounds a start; the first may have to make the images.
const startTime = 3 * time.Minute

// start starts the node and waits until its pool is full.
func (n *ownNode) start(ctx context.Context, flags ...string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	n.addr = fmt.Sprintf("127.0.0.1:%d", port)
	args := append([]string{"serve", "--listen", n.addr, "--data-dir", n.data(), "--run-dir", filepath.Join(n.dir, "run"), "--log-level", "warn"}, flags...)
	if n.registry != "" {
		args = append(args, "--npm-registry", n.registry)
	}
	if n.p, err = startWith(cleanEnv(), n.program, args...); err != nil {
		return fmt.Errorf("start a hearth: %w", err)
	}
	for until := time.Now().Add(startTime); ; {
		if n.ready(ctx) {
			break
		}
		select {
		case <-n.p.done:
			return fmt.Errorf("the hearth of bench ended at once: %s", strings.TrimSpace(n.p.said.String()))
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(until) {
			return fmt.Errorf("the hearth of bench is not ready after %s", startTime)
		}
	}
	token, err := os.ReadFile(n.data("admin.token"))
	if err != nil {
		return err
	}
	n.token = strings.TrimSpace(string(token))
	n.api, err = client.New(client.Config{URL: "http://" + n.addr, Token: n.token})
	return err
}

// cleanEnv is the environment without settings of another hearth.
func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HEARTH_") {
			env = append(env, v)
		}
	}
	return env
}

func (n *ownNode) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.addr+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode == http.StatusOK
}

// stop ends the node in order, and with force if that takes too long.
func (n *ownNode) stop() error {
	if n.p == nil {
		return nil
	}
	p := n.p
	n.p = nil
	_ = syscall.Kill(p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(time.Minute):
		_ = syscall.Kill(p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
		return errors.New("the hearth of bench did not end within a minute")
	}
}

// forget takes away all that the node knows but its images. It must be stopped.
func (n *ownNode) forget() error { return aside(n.dir, n.data("node")) }

// evict takes away what was unpacked and linked on the node's disk, so that packages are in the blob store
// only. It must be stopped.
func (n *ownNode) evict() error { return aside(n.dir, n.data("node", "packages")) }

// unlink takes trees from the node's disk, and with packages what they are linked to as well, so that only
// what was unpacked is there. It must be stopped; the folders it makes anew when it starts.
func (n *ownNode) unlink(packages bool) error {
	patterns := []string{"t", "index/t-*"}
	if packages {
		patterns = append(patterns, "p", "index/p-*")
	}
	for _, pattern := range patterns {
		list, err := filepath.Glob(n.data("node", "packages", pattern))
		if err != nil {
			return err
		}
		for _, name := range list {
			if err := aside(n.dir, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// aside moves what lies at name out of the way, below dir, until the end of the run. Removing it would slow
// what comes next: ext4 looks past each inode that was freed within the last minute when it makes a file.
func aside(dir, name string) error {
	to, err := os.MkdirTemp(dir, "aside-")
	if err != nil {
		return err
	}
	if err = os.Rename(name, filepath.Join(to, filepath.Base(name))); errors.Is(err, fs.ErrNotExist) {
		return os.Remove(to)
	}
	return err
}

// usage is what a folder takes of the disk; a file with many names counts once.
func usage(dir string) (int64, error) {
	type inode struct{ dev, ino uint64 }
	seen, sum := map[inode]bool{}, int64(0)
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return errors.New("no stat")
		}
		if id := (inode{uint64(st.Dev), st.Ino}); !seen[id] { //nolint:unconvert // Dev differs between architectures
			seen[id] = true
			sum += st.Blocks * 512
		}
		return nil
	})
	return sum, err
}
