// Package node carries the shim: the JavaScript that runs inside every instance, between the host
// and a tenant's functions. It owns two listening sockets (requests and control) that it inherits,
// and the standard streams. Nothing that it says is believed by the host: a tenant's code shares its
// process. The order of reading is main.js, exchange.js, load.js, models.js, then the models
// themselves (parsed.js, stream.js, fetch.js, upgrade.js).
package node

import "embed"

// Files are the shim's files; main.js is where it starts.
//
//go:embed *.js exercise
var Files embed.FS

// Args are the flags of Node.js itself, before the path of main.js. The size of the heap comes from
// the instance's memory and is the host's to add.
var Args = []string{
	"--use-openssl-ca",                      // else a thread parses 150 certificates into 1.8 MB of every instance
	"--disable-warning=ExperimentalWarning", // type stripping is a promise of ours
}

// Env is the environment of the shim; functions see it less what begins with MALLOC_.
var Env = []string{
	"PATH=/usr/local/bin:/usr/bin:/bin",
	"HOME=/tmp",
	"NODE_ENV=production",
	"LANG=C.UTF-8",
	"TZ=UTC",
	"SSL_CERT_DIR=/etc/ssl/certs",
	"SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
	"MALLOC_ARENA_MAX=1", // an arena a thread is half a megabyte that nobody uses
}
