// Package e2e holds the end-to-end tests: the built binary, real runc, real Node.js. See harness for
// how a hearth is started.
package e2e
