// Package plan turns a lock into a tree of packages.
package plan

// Package is one entry of the package store: one npm package at one version in its dependency context.
type Package struct {
	Key       string            // 64 hex digits
	Name      string            // folder below node_modules: the alias where there is one
	Package   string            // the package's real name
	Version   string            // exact
	Integrity string            // sha512-…, of the tarball
	Content   string            // 64 hex: what is unpacked
	Scripts   bool              // is built in a sandbox
	Deps      map[string]string // folder name → key of what it resolves to
	Bin       map[string]string // command → path inside
	Tenant    string            // "" shared; else the tenant's id
}

// Tree is the node_modules of one lock.
type Tree struct {
	Key      string
	Runtime  string            // "node24"
	Platform string            // "linux-x64-glibc"
	Direct   map[string]string // folder name → key
	Hoisted  map[string]string // what npm would have put at the top beside Direct
	Packages []Package         // sorted by Key, no two of one Key
}
