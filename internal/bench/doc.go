// Package bench measures cold and warm calls of a running hearth on this machine, against bare
// Node.js (the same binary) and nginx in front of it, in the same run.
//
// Both sides of a ratio are measured in interleaved rounds, with the same load generator and on the
// same cores, and medians are compared; a figure alone says little on a machine that others use too.
// Beside each figure of hearth stand the counts of hearth-start that it is made of. The package
// starts Node.js and nginx on free loopback ports, deploys functions in tenants named bench-…, and
// removes all of them when it ends, also when it is interrupted.
//
// cmd/hearth calls it. It talks to the management API through Platform and to functions by itself.
package bench
