// Package node is the node process: it puts the rooms together from the setup that the warden hands
// over, runs them, and stops them in the reverse order of their start. It runs as an unprivileged
// user without capabilities. It is the only package that knows all rooms of this process.
//
// Start: store, logs, pool, handler (which adopts the instances that an earlier node process left),
// then the servers on the warden's listeners. Stop, on SIGTERM: the servers stop accepting and let
// requests finish, then the handler and the pool end, then the logs are flushed, then the store is
// closed. Assigned instances are left to the warden, which destroys them when it ends itself, and
// keeps them when only this process was to end.
//
// If the warden ends, this process is killed with it.
package node
