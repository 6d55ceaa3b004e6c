// Package instance is the node process's side of one instance: its life, its two sockets and the
// folder behind /fn.
//
//	made ──→ pooled ──→ assigned ──→ retired ──→ destroyed
//	  └────────────────────→ (any state) ─────────→ destroyed
//
// made: the sandbox runs. pooled: exercised and unassigned. assigned: it belongs to one container
// for life. retired: it takes no new requests and finishes those it has. destroyed: the descriptors
// are closed. Each step is one compare-and-set and none leads back; the owner is set once, by a
// compare-and-set from nothing, so that no order of calls can give an instance to a second container.
//
// Beside the state stands the gate: the count of requests in flight, and a bit that keeps new ones
// out. It is shut until Serve and for good after Retire.
//
// Whatever an assigned instance says is its tenant's speech: answers on the control socket are
// bounded in size and time, and believed only where they concern nobody but the tenant.
//
// Sockets are reached through /proc/self/fd/N of O_PATH descriptors, so nobody can swap them, and
// the number is held open during the dial, so that a closed and reused number cannot lead into
// another instance.
package instance
