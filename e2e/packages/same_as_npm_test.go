package packages_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"hearth/e2e/harness"
	"hearth/runtime/node"
)

// probed is what manifests/probe.js says of a program.
type probed struct {
	Loaded []string          `json:"loaded"` // name@version, sorted
	Failed map[string]string `json:"failed"` // direct dependencies that can't be loaded, with the code of the error
	Checks map[string]any    `json:"checks"` // what the manifest's own check.js found
}

// manifest is one folder of manifests: package.json, and perhaps check.js.
type manifest struct {
	name  string
	files map[string]string // with probe.js as index.js
}

func loadManifests(t testing.TB) []manifest {
	t.Helper()
	probe, err := os.ReadFile("manifests/probe.js")
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := filepath.Glob("manifests/*/package.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []manifest
	for _, path := range dirs {
		m := manifest{filepath.Base(filepath.Dir(path)), map[string]string{"index.js": string(probe)}}
		for _, name := range []string{"package.json", "check.js"} {
			text, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
			if os.IsNotExist(err) && name == "check.js" {
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			m.files[name] = string(text)
		}
		all = append(all, m)
	}
	if len(all) < 30 {
		t.Errorf("%d manifests, want at least 30", len(all))
	}
	return all
}

// underNPM locks a manifest with npm, installs the lock with npm ci and runs the probe.
func (b bare) underNPM(m manifest) (lock string, out probed, err error) {
	dir := filepath.Join(b.dir, "manifest-"+m.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", out, err
	}
	for name, text := range m.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", out, err
		}
	}
	path := filepath.Join(dir, "package-lock.json")
	if _, err := os.Stat(path); err != nil { // one that HEARTH_PACKAGES_KEEP kept stays
		if err := b.npm(dir, "install", "--package-lock-only", "--ignore-scripts"); err != nil {
			return "", out, err
		}
	}
	if err := b.npm(dir, "ci"); err != nil {
		return "", out, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", out, err
	}
	cmd := exec.Command(b.bin, append(append([]string{}, node.Args...), "index.js")...)
	cmd.Dir, cmd.Env = dir, node.Env
	var printed bytes.Buffer
	cmd.Stderr = &printed
	answer, err := cmd.Output()
	if err != nil {
		return "", out, fmt.Errorf("probe: %w: %.2000s", err, printed.Bytes())
	}
	answer = bytes.TrimSpace(answer)
	answer = answer[bytes.LastIndexByte(answer, '\n')+1:] // packages may print when they are loaded
	return string(text), out, json.Unmarshal(answer, &out)
}

// TestProbeUnderNPM shows that each manifest installs, loads something and passes its own check, with
// npm alone. It runs as TestCasesOnBareNode does.
func TestProbeUnderNPM(t *testing.T) {
	bin := os.Getenv("HEARTH_PACKAGES_NODE")
	if bin == "" {
		t.Skip("HEARTH_PACKAGES_NODE does not name a Node.js to run the manifests on")
	}
	b := bareNode(t, bin)
	total := 0
	for _, m := range loadManifests(t) {
		if !wantedName(m.name) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			_, out, err := b.underNPM(m)
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Loaded) == 0 {
				t.Error("nothing was loaded")
			}
			for name, v := range out.Checks {
				if v == false {
					t.Errorf("check %q is false", name)
				}
			}
			total += len(out.Loaded)
			t.Logf("%d packages, failed %v, checks %v", len(out.Loaded), out.Failed, out.Checks)
		})
	}
	t.Logf("%d packages loaded on %s", total, b.runtime)
}

// TestSameAsNPM compares, for each manifest, what a program loads after npm ci with what a function of
// the same lock loads in a real hearth.
//
//	HEARTH_PACKAGES=1 HEARTH_PACKAGES_NODE=/path/of/bin/node go test ./e2e/packages -run TestSameAsNPM -timeout 60m
func TestSameAsNPM(t *testing.T) {
	bin := os.Getenv("HEARTH_PACKAGES_NODE")
	if os.Getenv("HEARTH_PACKAGES") == "" || bin == "" {
		t.Skip("HEARTH_PACKAGES is not set, or HEARTH_PACKAGES_NODE does not name the Node.js of the runtime")
	}
	b := bareNode(t, bin)
	n := harness.Start(t)
	same := 0
	for _, m := range loadManifests(t) {
		if !wantedName(m.name) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			lock, want, err := b.underNPM(m)
			if err != nil {
				t.Fatal(err)
			}
			got := underHearth(t, n.For(t), m, lock, b.runtime)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("under npm only: %v\nunder Hearth only: %v\nfailed %v, under npm %v\nchecks %v, under npm %v",
					without(want.Loaded, got.Loaded), without(got.Loaded, want.Loaded), got.Failed, want.Failed, got.Checks, want.Checks)
				return
			}
			same++
		})
	}
	t.Logf("%d manifests give the same answer as npm on %s", same, b.runtime)
}

// underHearth deploys manifest, lock and probe as they are, and asks the function.
func underHearth(t *testing.T, n *harness.Node, m manifest, lock, runtime string) probed {
	t.Helper()
	const memoryMiB = 1024 // of some manifests everything is loaded, compilers too
	if a := n.API("PUT", "/v1/tenants/same", harness.M{"limits": harness.M{"memory_mib": 2048}}); a.Status != 201 && a.Status != 200 {
		t.Fatalf("make tenant: %d %v %s", a.Status, a.Err, a.Body)
	}
	container := "/v1/tenants/same/containers/" + m.name
	if a := n.API("PUT", container, harness.M{"limits": harness.M{"memory_mib": memoryMiB}}); a.Status != 201 && a.Status != 200 {
		t.Fatalf("make container: %d %v %s", a.Status, a.Err, a.Body)
	}
	defer n.API("DELETE", container+"?recursive=true", nil)
	files := harness.M{"package-lock.json": lock}
	for name, text := range m.files {
		files[name] = text
	}
	a := n.API("PUT", harness.FunctionPath("same", m.name, m.name)+"?wait=5m", harness.M{"files": files, "runtime": runtime, "entry": "index.js"})
	if a.JSON()["status"] != "ready" {
		t.Fatalf("deploy: %d %v %.6000s", a.Status, a.Err, a.Body)
	}
	var out probed
	a = n.Call("same", m.name, m.name)
	if err := json.Unmarshal(a.Body, &out); a.Status != 200 || err != nil {
		t.Fatalf("call: %d %v %.2000s\n%s", a.Status, err, a.Body, lastLines(n, "same", m.name))
	}
	return out
}

// without gives what is in a and not in b.
func without(a, b []string) []string {
	have := map[string]bool{}
	for _, s := range b {
		have[s] = true
	}
	var rest []string
	for _, s := range a {
		if !have[s] {
			rest = append(rest, s)
		}
	}
	return rest
}
