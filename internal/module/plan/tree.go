package plan

// Package is one entry of the package store: one npm package at one version in its dependency context.
type Package struct {
	Key       string            // 64 hex digits
	Name      string            // its folder below node_modules: the alias where there is one
	Package   string            // its real name
	Version   string            // exact
	Integrity string            // sha512-…, of the tarball
	Content   string            // 64 hex digits: what is unpacked. Shared by contexts, but for packages with scripts, where it is Key
	Scripts   bool              // has install scripts or a binding.gyp: is built in a sandbox
	Deps      map[string]string // folder name → key of what it resolves to; what is bundled is inside the content
	Bin       map[string]string // command → path inside, for .bin of builds
	Tenant    string            // "" shared; else the id of the only tenant that may see it
}

// Tree is what a function's version finds in node_modules.
type Tree struct {
	Key      string            // 64 hex digits
	Runtime  string            // "node24"
	Platform string            // "linux-x64-glibc"
	Direct   map[string]string // folder name → key
	Hoisted  map[string]string // what npm would have put at the top beside Direct
	Packages []Package         // sorted by Key, no two of one Key
}

// Options are what a plan depends on beside the lock.
type Options struct {
	Runtime  string
	ABI      string // all that a compiled package depends on beside the platform, such as the image's id
	Platform Platform
	// Private returns the id of the tenant to whom alone the package of this real name belongs, or ""
	// for one of the shared registry. All that one plan names is one tenant's. Nil: nothing is private.
	Private func(name string) (tenant string)
}

// Find returns the package of this key, or nil.
func (t *Tree) Find(key string) *Package {
	lo, hi := 0, len(t.Packages)
	for lo < hi {
		if mid := (lo + hi) / 2; t.Packages[mid].Key < key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(t.Packages) && t.Packages[lo].Key == key {
		return &t.Packages[lo]
	}
	return nil
}
