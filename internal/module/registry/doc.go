// Package registry talks to the npm registry that this machine's npm is configured for: it finds out
// which one that is, and fetches one package at one version into a file.
//
// The registry is a stranger. Whatever it says is bounded, a tarball counts only when its sha512 is
// the one that the caller demands, and no answer of it can send a request, or credentials, to another
// host. The host's name comes from the operator's configuration; none stands in this code.
//
// It owns no goroutine between calls. The node process calls it; the warden must not link it.
package registry
