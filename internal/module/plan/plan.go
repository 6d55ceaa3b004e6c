// Package plan holds what a version's packages come to: each package of the store with its key, and
// the tree that a function sees. It is pure: no file, no network, no clock.
package plan

// Package is one entry of the package store: one npm package at one version in its dependency context.
type Package struct {
	Key       string            // 64 hex digits
	Name      string            // folder below node_modules: the alias where there is one
	Package   string            // the package's real name
	Version   string            //
	Integrity string            // sha512-…, of the tarball
	Content   string            // 64 hex: what is unpacked. Without scripts a hash of Package, Version, Integrity (+ salt); with scripts the Key
	Scripts   bool              // has install scripts or a binding.gyp: is built in a sandbox
	Deps      map[string]string // folder name → key of what it resolves to; bundled ones are inside the content
	Bin       map[string]string // command → path inside, for .bin of builds
	Tenant    string            // "" shared; else the tenant's id: private, salted
}

// Tree is what a function sees as its node_modules.
type Tree struct {
	Key      string
	Runtime  string            // "node24"
	Platform string            // "linux-x64-glibc"
	Direct   map[string]string // folder name → key
	Hoisted  map[string]string // what npm would have put at the top beside Direct
	Packages []Package         // sorted by Key, no two of one Key
}
