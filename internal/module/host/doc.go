// Package host keeps the packages of one node: each content unpacked once, each package linked once for
// each context that it is used in, each tree a folder of symlinks. Below its folder lie
//
//	p/{name of key}/node_modules/{name}   a package; beside it symlinks to what it depends on
//	t/{name of tree}/node_modules/{name}  symlinks to packages; t/…/hoisted what npm would have hoisted
//	files/ab/abcd…                        one inode for equal files of equal mode, hard-linked into p; those
//	                                      of a tenant's private packages are shared within the tenant only
//	index/                                c-{content}: its files; p-… and t-…: how each was linked
//	tmp/                                  what is being made or removed; emptied at start
//	boot, synced                          what a loss of power may have left (see sync.go)
//
// p and t are 0711 and all names in them are keyed hashes, so that an instance reaches what its tree
// points at, and can neither list nor guess the rest. Everything else is the node process's alone.
//
// What can be seen is whole: a package is made in tmp and renamed, after what it depends on; a tree comes
// last, when all it reaches is there. In a cycle some package must come first, with links that lead
// nowhere yet; nobody looks there, since no tree points at it. Records are written before what they
// describe is renamed in, and removed after it was renamed out, so a crash leaves at most a record too
// much, and Open removes it.
//
// An overlay above the store must never see anything vanish or change. So what a held tree may use is
// neither evicted nor healed.
//
// Locks: Store.mu guards the maps and is held over no system call. A shard's lock is held over one
// rename or unlink of a file in files, since its reference count and its name must change as one. A claim
// (Store.claims) is the right to make or remove one content, package or tree. All claims of an Ensure
// are taken at once, and it waits only for those that were taken before, so they cannot wait in a circle.
//
// Contents come from the blob store and are hostile until their digest was right (package unpack).
// The room calls unpack and plan; module calls it. Its one goroutine is Run.
package host
