package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hearth"
	"hearth/internal/module/registry/registrytest"
	"hearth/internal/sandbox/image"
)

// StartWith starts a hearth whose packages come from r.
func StartWith(t testing.TB, r *registrytest.Registry, flags ...string) *Node {
	t.Helper()
	n := NewWith(t, r, flags...)
	n.Start()
	n.WaitReady()
	return n
}

// NewWith is New for a hearth whose packages come from r.
func NewWith(t testing.TB, r *registrytest.Registry, flags ...string) *Node {
	t.Helper()
	keepPackages(t)
	return New(t, append([]string{"--npm-registry", r.URL()}, flags...)...)
}

// SharedWith is Shared with a registry of its own.
func SharedWith(flags ...string) (n *Node, r *registrytest.Registry, stop func() bool) {
	o := &owner{}
	r = registrytest.New(o)
	return StartWith(o, r, flags...), r, o.end
}

// keepPackages sees to it that the packages which images are made from are kept for the tests: a
// registrytest has none of them. What is missing is fetched from this machine's registry by a hearth
// that needs all images, once.
func keepPackages(t testing.TB) {
	t.Helper()
	dir, err := images()
	if err != nil {
		t.Fatal(err)
	}
	lacking := false
	for _, rt := range hearth.Runtimes {
		missing, err := image.Missing(image.Spec{Dir: dir, Runtime: rt, Build: true})
		if err != nil {
			t.Fatal(err)
		}
		lacking = lacking || len(missing) > 0
	}
	if !lacking {
		return
	}
	n, stop := Shared("--pool", "1")
	defer stop() // and with it lends its images
	n.Container("images", "c", nil)
	for _, rt := range hearth.Runtimes {
		a := n.Put("images", "c", "f", M{"runtime": rt, "dependencies": M{"ms": "2"},
			"code": "const ms = require('ms'); module.exports = cb => cb(null, ms(1000))"})
		if a.JSON()["status"] != "ready" {
			t.Fatalf("make the images that packages are built in: %d %v %s", a.Status, a.Err, a.Body)
		}
	}
}

// Frozen lists the cgroups of this hearth that are frozen: instances that have loaded packages ahead.
func (n *Node) Frozen() []string {
	var out []string
	for _, dir := range Cgroups(n.block) {
		for file, word := range map[string]string{"freezer.state": "FROZEN", "cgroup.events": "frozen 1"} {
			if text, err := os.ReadFile(filepath.Join(dir, file)); err == nil && strings.Contains(string(text), word) {
				out = append(out, filepath.Base(dir))
			}
		}
	}
	return out
}
