// Package store keeps what must not be lost: tenants, containers, functions, versions and secrets in
// SQL, the code of versions in a blob store, and the answers of writes that carry an Idempotency-Key.
//
// What was acknowledged survives kill -9 and loss of power: SQLite commits with synchronous=FULL, and
// an archive and its directory are synced before the row that names it is committed. A blob without a
// row is harmless and swept away later; a row without its blob cannot come to be.
//
// Every method takes the tenant, and every query has it in its WHERE clause, except those that the
// node itself asks (Routes with no tenant, Code, Building, Sweep). Errors that a person should read
// are *hearth.Error; anything else is a fault of ours or of the machine.
//
// SQLite has one writer at a time anyway, so the store owns one writing connection, for which writers
// queue, and a few that only read. The statements are the same for PostgreSQL.
//
// Run owns the only goroutine's worth of work, the sweep; nothing else runs behind the caller's back.
// The API, the handler and the node call this room; it calls none.
package store
