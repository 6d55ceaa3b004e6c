// Package source reads what a person deploys: a folder or one file, with hearth.json beside it.
// Everything is bounded by the limits of the API, so that a mistake is told before anything is sent.
// Symbolic links are not followed: a folder from a stranger must not carry /etc/passwd away.
package source
