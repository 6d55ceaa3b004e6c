// Package lock makes a package-lock.json of a manifest: npm's own resolver decides, in a build sandbox
// that reaches nothing but a registry.Proxy of ours, or the user has sent a lock, which is taken as it
// is once it fits the manifest.
//
// Hostile are the manifest, the user's lock, what the registry says, and therefore the sandbox, whose
// npm has read all of it. What comes out of it is bounded and written anew: a JSON document that every
// reader takes for the same. Whether its packages can be installed is for package plan to judge; that
// the manifest's specs lead to a registry, plan.Check has said before.
//
// A Resolve owns its sandbox, its proxy and their connections, and all have ended when it returns.
package lock
