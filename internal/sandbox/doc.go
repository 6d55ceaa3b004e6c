// Package sandbox makes, watches and destroys instances: one OCI container each, run by the pinned
// runc, with everything about it made by us. It runs as root inside the warden and nowhere else.
//
// A Maker owns a private folder (Config.Root), in a mount namespace that only this hearth sees, so
// every mount made here is gone when the last process of it is. Below it each instance has one
// folder, named by its id: two tmpfs (code, which the node process fills and the instance reads at
// /fn; tmp, its /tmp), the bundle, and two socket files. Beside that an instance is a range of host
// uids, a network namespace, a cgroup, a pidfd and two pipes.
//
// The life of an instance, and who holds what:
//
//	starting   Start makes each part in order and, when one fails, unmakes those before it, in
//	           reverse (the stack in start.go is the order)
//	running    Files are handed out; Label, Limit and Stats may be called at any time
//	ended      its pid 1 is gone, and with it the pid namespace; Done is closed
//	destroyed  Destroy has removed what is left. The uid range is free again only now, since
//	           several limits of the kernel count per uid
//
// Hostile: everything inside an instance. Nothing here opens a path that an instance could have
// made: the sockets are bound on the host and passed in as descriptors 3 and 4.
package sandbox
