// Package registry talks to npm registries: the one that this machine's npm is configured for, and those
// that tenants name for their scopes. It finds out which they are, fetches what they say of a package
// (Packument, kept in a Cache), and tarballs (Tarball, Fetch); and it is the registry that a build
// sandbox sees (Proxy), the only thing that such a sandbox can reach.
//
// A registry is a stranger. Whatever it says is bounded and reduced to the fields that count, a tarball
// counts only when its sha512 is the one that the caller demands, and no answer of it can send a
// request, or credentials, to another host. The operator's registry has its name from the operator's
// configuration; none stands in this code. A tenant's is a way into the operator's network unless it is
// looked at (Reach), and what it says belongs to that tenant. The client of a Proxy is hostile: a
// package's script.
//
// A request for a package goes to one registry, which the name decides; a registry that does not have
// it is not made up for by another.
//
// It owns no goroutine between calls; Proxy.Serve ends with its context. Cache.mu is held over a rename
// and an unlink, never over a read or a request. The node process calls it; the warden must not link it.
package registry
