// Package doctor looks at a machine and says what Hearth lacks there, what weakens it, and how to
// mend each. A check is a function of a Host, which holds everything that a check may look at, so
// that a test can hand it any machine. The checks only look: nothing is changed, and nothing but
// the npm registry is talked to.
//
// It owns nothing; cmd/hearth calls it.
package doctor
