package packages_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/runtime/node"
)

// groupSize bounds a project that several cases share: npm's peak of memory grows with it.
const groupSize = 24

// TestCasesOnBareNode runs every case as npm and a bare Node.js do: npm installs, the real shim
// serves. It shows that the cases themselves are right, whatever Hearth does with dependencies.
//
//	HEARTH_PACKAGES_NODE=/path/of/bin/node go test ./e2e/packages -run TestCasesOnBareNode
//
// HEARTH_PACKAGES_KEEP names a folder where the projects stay, for the next run.
func TestCasesOnBareNode(t *testing.T) {
	bin := os.Getenv("HEARTH_PACKAGES_NODE")
	if bin == "" {
		t.Skip("HEARTH_PACKAGES_NODE does not name a Node.js to run the cases on")
	}
	b := bareNode(t, bin)
	results := newTable()
	for _, g := range groups(wantedCases(t), b.runtime) {
		err := b.install(g)
		for _, c := range g.cases {
			t.Run(c.Name, func(t *testing.T) {
				where := g
				if err != nil && len(g.cases) > 1 { // one that can't be installed must not hide the others
					where = group{"alone-" + c.Name, c.Dependencies, []testCase{c}}
					if err := b.install(where); err != nil {
						t.Fatal(err)
					}
				} else if err != nil {
					t.Fatal(err)
				}
				b.run(t, where, c)
				results.add(c)
			})
		}
	}
	t.Logf("%d packages work on %s, %d of them native", len(results.works), b.runtime, len(results.native))
}

// bare is a Node.js without a hearth, and the folder of its projects.
type bare struct{ bin, runtime, dir, shim string }

func bareNode(t testing.TB, bin string) bare {
	t.Helper()
	dir := os.Getenv("HEARTH_PACKAGES_KEEP")
	if dir == "" {
		dir = t.TempDir()
	}
	b := bare{bin: bin, runtime: runtimeOf(t, bin), shim: filepath.Join(t.TempDir(), "shim")}
	b.dir = filepath.Join(dir, b.runtime)
	if err := os.CopyFS(b.shim, node.Files); err != nil {
		t.Fatal(err)
	}
	return b
}

func runtimeOf(t testing.TB, bin string) string {
	t.Helper()
	out, err := exec.Command(bin, "-p", "process.versions.node.split('.')[0]").Output()
	if err != nil {
		t.Fatal(err)
	}
	return "node" + strings.TrimSpace(string(out))
}

// group is cases whose dependencies fit into one project.
type group struct {
	name         string
	dependencies map[string]string
	cases        []testCase
}

// groups puts cases together as long as no two ask for different versions of a package. Native ones
// only go with others that need the same package: their builds take long, and fail in their own ways.
func groups(cases []testCase, runtime string) []group {
	var all []group
next:
	for _, c := range cases {
		if !c.worksOn(runtime) {
			continue
		}
		for i, g := range all {
			same, fits := compare(g.dependencies, c.Dependencies)
			if fits && len(g.cases) < groupSize && c.Native == g.cases[0].Native && (same || !c.Native) {
				maps.Copy(all[i].dependencies, c.Dependencies)
				all[i].cases = append(all[i].cases, c)
				continue next
			}
		}
		all = append(all, group{"with-" + c.Name, maps.Clone(c.Dependencies), []testCase{c}})
	}
	return all
}

// compare tells whether two sets of dependencies have one in common, and none in two versions.
func compare(have, more map[string]string) (same, fits bool) {
	fits = true
	for name, v := range more {
		if h, ok := have[name]; ok {
			same = true
			fits = fits && h == v
		}
	}
	return same, fits
}

// wantedName tells whether HEARTH_PACKAGES_ONLY (names, comma separated) asks for a case or manifest.
func wantedName(name string) bool {
	only := os.Getenv("HEARTH_PACKAGES_ONLY")
	return only == "" || slices.Contains(strings.Split(only, ","), name)
}

// install makes the project of a group, with the npm of the machine run by the Node.js under test.
func (b bare) install(g group) error {
	dir := filepath.Join(b.dir, g.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	doc, err := json.MarshalIndent(map[string]any{"private": true, "dependencies": g.dependencies}, "", " ")
	if err != nil {
		return err
	}
	installed := filepath.Join(dir, "installed.json")
	if before, err := os.ReadFile(installed); err == nil && string(before) == string(doc) {
		return nil
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), doc, 0o644); err != nil {
		return err
	}
	if err := b.npm(dir, "install", "--package-lock=false"); err != nil {
		return err
	}
	return os.WriteFile(installed, doc, 0o644)
}

// npm runs the machine's npm by the Node.js under test.
func (b bare) npm(dir string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	args = append([]string{"-n", "15", "npm"}, args...) // others use the machine too
	cmd := exec.CommandContext(ctx, "nice", append(args, "--no-audit", "--no-fund", "--no-progress", "--prefer-offline", "--loglevel=error")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(b.bin)+":"+os.Getenv("PATH"))
	home := filepath.Dir(filepath.Dir(b.bin)) // headers beside the binary, as the npm package has them
	if _, err := os.Stat(filepath.Join(home, "include/node/node.h")); err == nil {
		cmd.Env = append(cmd.Env, "npm_config_nodedir="+home)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm %s: %w: %s", args[3], err, out[:min(len(out), 4000)])
	}
	return nil
}

// run serves a case by the shim and asks for its answer.
func (b bare) run(t *testing.T, g group, c testCase) {
	t.Helper()
	root := filepath.Join(b.dir, g.name, "fn")
	version := filepath.Join(root, c.Name, "1")
	if err := os.RemoveAll(version); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(version, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range c.Files {
		if err := os.WriteFile(filepath.Join(version, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := json.Marshal(map[string]any{"tenant": "t", "container": "c", "function": c.Name, "version": 1,
		"runtime": b.runtime, "entry": c.entry(), "timeout_ms": 30000})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(version+".json", doc, 0o644); err != nil {
		t.Fatal(err)
	}
	answer := b.serve(t, root, c)
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.check(answer.StatusCode, body); err != nil {
		t.Fatal(err)
	}
}

// serve starts the shim on root and sends it the request of the case. The shim ends with the test.
func (b bare) serve(t *testing.T, root string, c testCase) *http.Response {
	t.Helper()
	dir := t.TempDir()
	heap := "--max-old-space-size=" + strconv.Itoa(max(c.MemoryMiB, 256)*3/4)
	cmd := exec.Command(b.bin, append(append([]string{heap}, node.Args...), filepath.Join(b.shim, "main.js"), "--root", root)...)
	cmd.Env, cmd.Dir = node.Env, "/"
	for _, name := range []string{"r", "c"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		l.SetUnlinkOnClose(false)
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second // what a function started may hold the pipes
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(dir, "r"))
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if peak := peakMiB(cmd.Process.Pid); peak > max(c.MemoryMiB, 256) {
			t.Errorf("%d MiB at the peak, which a container of %d MiB has not: set memory_mib", peak, max(c.MemoryMiB, 256))
		} else if peak > 180 {
			t.Logf("%d MiB at the peak", peak)
		}
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("it printed: %s", out.String())
		}
	})
	req, err := http.NewRequestWithContext(t.Context(), c.method(), "http://example.test/"+strings.TrimPrefix(c.Request.Path, "/"), strings.NewReader(c.Request.Body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range c.Request.Headers {
		req.Header.Set(k, v)
	}
	for k, v := range map[string]string{"hearth-function": c.Name, "hearth-version": "1", "hearth-request-id": "req-1", "hearth-timeout-ms": "30000"} {
		req.Header[k] = []string{v}
	}
	res, err := (&http.Client{Timeout: time.Minute, Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// peakMiB is the most private and mapped memory that a process has held, less the binary's own pages.
func peakMiB(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	const binaryMiB = 38 // shared by all instances
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			return kib/1024 - binaryMiB
		}
	}
	return 0
}

// output keeps the first 64 KiB of what was written to it.
type output struct {
	mu  sync.Mutex
	buf []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if room := 64<<10 - len(o.buf); room > 0 {
		o.buf = append(o.buf, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.buf)
}
