// Package warden is the process that holds power, and the only code that runs as root. It owns what
// needs root (instances, mounts, cgroups, host uids) and the listening sockets, starts the node
// process as an unprivileged user without capabilities, and starts it again when it dies. It speaks
// no HTTP, no SQL and no npm.
//
// Start, in order (warden.go): the private mount namespace, the lock of the data directory, a claim
// on a block of host uids, what dead hearths left, the view (one short path below which every uid
// finds images, data and instances), the files that only root may open, the listeners, the node
// process. The end is the same in reverse.
//
// What happens when something dies:
//
//	the node process   its instances and the listeners stay; connections wait in the backlog; the
//	                   warden drains the instances' pipes and counts; the next node process adopts
//	                   what has a label and destroys the rest
//	the warden         everything: the node process by its parent-death signal, which is bound to
//	                   the thread that started it (child.go), and by the end of the socket pair; each
//	                   instance by the end of its pipes, which its pid 1 watches; mounts with their
//	                   namespace; and the next start removes the cgroup (claim.go)
//
// Hostile: everything that comes over the socket pair, since the node process may be broken into.
// See package wire. Owners of goroutines: Run waits for all of them.
package warden
