// Package handler decides which instances serve which container: it routes, assigns, scales, reaps,
// and brings new versions to ready or failed.
//
//	         Route, Acquire                    Refresh (the store changed)
//	              │                                 │
//	warm: view ──→ pick ──→ Grant          successors, then a new view, then retire
//	              │ none free
//	line of the container ──→ flight: turn → pool.Take → label → limits → code → serve
//
// The life of an instance here, beside its own in package instance:
//
//	taken ─→ assigned, labelled, written ─→ serving (in the view) ─→ retired ─→ destroyed
//	   └──────────┴───── any failure ───────────────────────────────────────────┘
//	                  └→ spare (a successor that waits for its switch) ─→ serving
//
// Why an instance leaves the view: idle, extra, memory, timeout, broken, exited, or it has loaded
// what changed. Whoever removes it from the view shuts its gate; whoever sees the last request out
// destroys it.
//
// What is promised:
//   - A warm request takes no lock and allocates nothing: it loads the container's view, an immutable
//     snapshot of its routes and instances, and counts itself into an instance by compare-and-set.
//   - An instance serves one container for life. It runs at most one version of a function, and one
//     state of its secrets: what it has loaded is compared with the route at every request.
//   - After Refresh returns no request enters an instance that has loaded what changed, since the old
//     instances' gates are shut before. A request that comes by an old view finds the gate shut and
//     looks again.
//   - Everything that waits is bounded: a line for each container, a bound for each tenant, a deadline.
//     Cold starts take turns by tenant, and a tenant that took many lately leaves the pool's last
//     instances to the others.
//
// Locks, in their order: container.mu → registry.mu, tenant.mu, turns.mu → the pool's. None is held
// over a call to the warden, the store or an instance. container.refreshing (a semaphore) comes before
// all of them and is held over calls: it makes refreshes of one container queue up.
//
// Goroutines: Run owns four loops and every task (flights, additions, checks, trials), and returns
// after them. Only the proxy, the API and node call this room; it calls the pool, the warden's client
// and, through Store, the store. Tenants are hostile in what their instances do (die, hang, grow,
// flap) and in how often they deploy or call.
package handler
