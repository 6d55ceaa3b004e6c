package doctor

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/config"
	npm "hearth/internal/module/registry"
)

// Bounds of what the checks wait for.
const (
	commandTime  = 5 * time.Second
	registryTime = 10 * time.Second
)

// ThisHost is the machine that hearth runs on, for a node with these settings.
func ThisHost(cfg *config.Config) Host {
	h := Host{FS: os.DirFS("/"), Config: cfg, UID: os.Geteuid(), Arch: runtime.GOARCH, Look: exec.LookPath,
		Output: output, Free: free, Bind: bind,
		Reach: func(ctx context.Context) (string, string, error) { return reach(ctx, cfg.NPMRegistry) }}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		h.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		h.NoFile = limit.Max
	}
	if exe, err := os.Executable(); err == nil {
		h.Exe = exe
	}
	return h
}

func output(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).Output()
	return string(out), err
}

// free asks for the folder, or for the nearest one above it: the data directory is made later.
func free(path string) (uint64, error) {
	var s unix.Statfs_t
	for {
		err := unix.Statfs(path, &s)
		if err == nil {
			return s.Bavail * uint64(s.Bsize), nil //nolint:gosec // a block size is positive
		}
		if parent := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && parent != path {
			path = parent
			continue
		}
		return 0, err
	}
}

func bind(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			return op.Err
		}
		return err
	}
	return l.Close()
}

// reach takes any answer of the registry for a yes: some have no page at their root.
func reach(ctx context.Context, flag string) (url, source string, err error) {
	ctx, cancel := context.WithTimeout(ctx, registryTime)
	defer cancel()
	r, err := npm.Detect(ctx, npm.Sources{Flag: flag})
	if err != nil {
		return "", "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL(), nil)
	if err != nil {
		return r.URL(), r.Source, err
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return r.URL(), r.Source, errors.Unwrap(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	_, _ = io.CopyN(io.Discard, resp.Body, 1<<10)
	return r.URL(), r.Source, nil
}
