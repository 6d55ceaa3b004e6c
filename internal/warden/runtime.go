package warden

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	runc "github.com/containerd/go-runc"

	"hearth/internal/config"
	"hearth/internal/sandbox"
)

// findRuntime returns the OCI runtime: beside our own binary, else in PATH. It is executed as root,
// so nobody but root may be able to change it, and a version with a known escape is refused.
func findRuntime(ctx context.Context, cfg *config.Config) (string, error) {
	name := cfg.Isolation
	found := ""
	if self, err := os.Readlink("/proc/self/exe"); err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if _, err := os.Stat(beside); err == nil {
			found = beside
		}
	}
	if found == "" {
		inPath, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("there is no %s beside this binary or in PATH; build it with: make build", name)
		}
		if found, err = filepath.Abs(inPath); err != nil {
			return "", fmt.Errorf("find %s: %w", name, err)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(found, &st); err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	if st.Uid != 0 || st.Mode&0o022 != 0 {
		return "", fmt.Errorf("%s may be changed by others than root, and hearth would run it as root; mend it with: chown root: %s && chmod go-w %s", found, found, found)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	v, err := (&runc.Runc{Command: found}).Version(ctx)
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", found, err)
	}
	if hole := sandbox.KnownHole(name, v.Runc); hole != "" && !cfg.KnownBadRuntime {
		return "", fmt.Errorf("%s %s has a known hole (%s); build the pinned one with make build, or run it all the same with --allow-known-bad-runtime", found, v.Runc, hole)
	}
	return found, nil
}
