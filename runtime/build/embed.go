// Package build carries the driver: the JavaScript that runs inside a build sandbox, between the host and
// npm. It owns the control socket that it inherits. The host believes nothing that it says once an
// install script has run, since the two share a user. The order of reading is main.js, lock.js,
// build.js, run.js.
package build

import "embed"

// Files are the driver's files; main.js is where it starts.
//
//go:embed *.js
var Files embed.FS
