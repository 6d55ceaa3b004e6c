// Package module settles the packages of versions, between their PUT and their trial: a lock (package
// lock, or one that was made a short while ago), a plan, contents (package build), and the tree on this
// node's disk (package host). Then the store says which tree the version has, and the handler's trial
// goes on. It also answers the cold path, which asks for a tree by its key.
//
// Each unsettled version has a goroutine, which waits in line where something is scarce: locks are made
// and trees are linked a few at a time, tenants in turn. A version that waits for a build, or for a
// registry that is away, waits for nothing else and holds up nobody. Whatever fails by the manifest's or a
// package's fault fails the version, with the words of whoever said so; everything else is tried again
// until it works or the version is gone.
//
// Nothing here is durable: a process that starts finds the unsettled versions in the store, and what was
// locked, queued and built before is found again.
//
// Hostile are manifests and locks; what judges them is in plan and lock. Run owns all goroutines. Locks:
// Module.mu and turns.mu are leaves. The node process, the handler (through its own interface) and the
// API call this room.
package module
