// Package builder is the host's side of a build sandbox: a sandbox with a compiler and npm, for one job,
// in which a manifest becomes a lock or a package's install scripts run.
//
// A Sandbox is used in one of two ways and then closed, whatever came of it:
//
//	Start → (Preload) → Lock → Close
//	Start → Input → Build → Result → Close
//
// Meanwhile the caller serves the registry on Registry, the only thing that the sandbox reaches. Time
// limits are the caller's contexts: when one ends, Close ends whatever still runs.
//
// Hostile: every byte of an answer once a script has run, since scripts and driver (runtime/build) have one
// user. So answers are parsed strictly, are bounded, and are believed only as far as they concern the
// job itself: a lock is checked by package plan, a result by package unpack. What Close does needs no
// help from inside.
//
// Each Sandbox owns two goroutines, which read its standard streams and end with Close. The rooms
// module/lock and module/build call this one; it calls the warden.
package builder
