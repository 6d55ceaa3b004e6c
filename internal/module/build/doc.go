// Package build makes contents: what a package unpacks to, once in the whole system. One without scripts
// is fetched, checked and unpacked by our own code, many at a time; one with scripts is built in a build
// sandbox of its own, after what it depends on.
//
// The truth is the store's contents table: who builds what, by a lease that a builder prolongs every 3
// seconds and that others take over after 10. River (github.com/riverqueue/river, on a database file of
// its own) carries wake-ups: a deploy inserts them in one batch, and a retry is one with a time. Its jobs
// carry nothing that could be lost: whoever wakes looks at the table, and looks once a lease's time
// anyway. So its file needs no fsync, and one that is damaged is made anew.
//
// A builder that lost its lease publishes nothing: its token is not the row's any more, and its archive
// has a name of its own. Whose fault a failure was decides what becomes of it (see fault.go).
//
// Hostile: the tarball (package unpack judges it), whatever a script says and leaves behind (bounded
// here, judged by package unpack), and the tree only as far as its owner is concerned.
//
// Run owns all goroutines. Locks: Builder.mu and progress.mu are leaves, held over no call. The node
// process and module call this room; it calls plan, unpack, and through interfaces the store, the
// registry, the host store and build sandboxes.
package build
