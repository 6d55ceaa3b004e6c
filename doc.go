// Package hearth holds the nouns of the platform (tenant, container, function, version, route),
// their limits and validation, and the errors that people read. It does no I/O and imports only
// the standard library, so every room can share these words without importing another room.
package hearth
