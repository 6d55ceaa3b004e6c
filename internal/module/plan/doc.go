// Package plan turns a package-lock.json into the packages that a function's version needs, each
// under a key that says what it is: same key, same bytes, for every tenant, on every node, for ever.
// It does no I/O, keeps no state, and everything in it is safe for concurrent use.
//
// Hostile is the lock: it comes from a tenant, or out of a sandbox in which npm read what strangers
// published. Parse believes nothing of it that could reach beyond that tenant. The rest of it harms
// only its owner, since all that a lock claims of a package and that changes what is unpacked, built
// or linked (its names, version, integrity, whether it has scripts, its commands, what its
// dependencies resolve to) is part of the package's key. Two locks that disagree have two keys.
// What a key can't prove is that the registry has this integrity under this name and version:
// whoever fetches a content has to ask.
//
// How a lock is read follows npm 7 to 12 (@npmcli/arborist: node.js, edge.js, shrinkwrap.js,
// optional-set.js; npm-install-checks) as `npm ci --omit=dev` would act on it. Dependencies resolve
// as Node.js looks them up. Keys are hashes over a graph with cycles: packages that nothing tells
// apart are merged first (partition refinement, as in the minimisation of automata: E. F. Moore 1956,
// since each edge out of a package has a name of its own), then each strongly connected component
// (R. Tarjan 1972) is hashed as one, after those that it leads to.
package plan
