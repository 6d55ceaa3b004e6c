package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// app is a set of packages with its lock, as a function and as a folder for npm.
type app struct {
	name   string
	dir    string // package.json, package-lock.json, index.js, bare.js; node_modules after npm ci
	count  int    // packages in the lock
	direct map[string]string
	lock   []byte
	code   string
}

// bareJS is the same first call in bare Node.js.
const bareJS = "require('./index.js')((err, answer) => { console.log(JSON.stringify(answer)); process.exit(err ? 1 : 0) })\n"

// code is a function that needs all that it depends on.
func code(direct []string) string {
	var b strings.Builder
	b.WriteString("const all = [\n")
	for _, d := range direct {
		name, _ := splitSpec(d)
		fmt.Fprintf(&b, "  require(%q),\n", name)
	}
	b.WriteString("]\nmodule.exports = cb => cb(null, {packages: all.length})\n")
	return b.String()
}

func splitSpec(s string) (name, version string) {
	i := strings.LastIndexByte(s, '@')
	if i <= 0 {
		return s, "latest"
	}
	return s[:i], s[i+1:]
}

// npm is the npm of this machine. It gets folders of bench's and leaves the user's cache alone.
type npm struct {
	program string
	dir     string
}

// run runs npm in a folder with a cache, and says how long it took.
func (n npm) run(ctx context.Context, dir, cache string, args ...string) (time.Duration, error) {
	args = append(args, "--cache", cache, "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel", "error")
	cmd := exec.CommandContext(ctx, n.program, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return 0, fmt.Errorf("npm %s: %w: %.500s", args[0], err, out)
	}
	return took, nil
}

// app makes the lock of a set, with a cache that all locks share.
func (n npm) app(ctx context.Context, set packageSet) (*app, error) {
	name, direct := set.name, set.direct
	a := &app{name: name, dir: filepath.Join(n.dir, name), direct: map[string]string{}, code: code(direct[:cmp.Or(set.loads, len(direct))])}
	for _, d := range direct {
		pkg, version := splitSpec(d)
		a.direct[pkg] = version
	}
	manifest, err := json.Marshal(map[string]any{"name": "bench", "version": "1.0.0", "private": true, "dependencies": a.direct})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(a.dir, 0o755); err != nil {
		return nil, err
	}
	for file, text := range map[string][]byte{"package.json": manifest, "index.js": []byte(a.code), "bare.js": []byte(bareJS)} {
		if err := os.WriteFile(filepath.Join(a.dir, file), text, 0o644); err != nil {
			return nil, err
		}
	}
	if _, err := n.run(ctx, a.dir, filepath.Join(n.dir, "cache"), "install", "--package-lock-only"); err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	if a.lock, err = os.ReadFile(filepath.Join(a.dir, "package-lock.json")); err != nil {
		return nil, err
	}
	var l struct {
		Packages map[string]json.RawMessage `json:"packages"`
	}
	if err := json.Unmarshal(a.lock, &l); err != nil {
		return nil, err
	}
	a.count = len(l.Packages) - 1 // "" is the function itself
	return a, nil
}

// ci runs npm ci for a's lock in an empty folder. Without cache it has nothing cached.
func (n npm) ci(ctx context.Context, a *app, cached bool) (time.Duration, error) {
	cache := filepath.Join(n.dir, "cache-"+a.name)
	if err := aside(n.dir, filepath.Join(a.dir, "node_modules")); err != nil {
		return 0, err
	}
	if !cached {
		if err := aside(n.dir, cache); err != nil {
			return 0, err
		}
	}
	return n.run(ctx, a.dir, cache, "ci")
}

// bare is the time of a's first call in a fresh Node.js process: from its start to its end.
func bare(ctx context.Context, node string, a *app) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, node, filepath.Join(a.dir, "bare.js"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return 0, fmt.Errorf("bare Node.js with %s: %w: %.500s", a.name, err, out)
	}
	return took, nil
}
