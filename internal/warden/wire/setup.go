package wire

import "hearth/internal/config"

// Setup is what the warden hands to the node process in the hello: the settings. Secrets come
// as descriptors beside it.
type Setup struct {
	Config  *config.Config `json:"config"` // paths are those of the node process
	Version string         `json:"version"`
	// Node is the exact version of Node.js of each runtime, which compiled packages are bound to.
	Node map[string]string `json:"node"`
}

// NodeArgv0 is argv[0] of the node process, by which the one binary knows what it is.
const NodeArgv0 = "hearth-node"

// ExitPermanent is the status with which the node process says that starting it again would not help,
// for example when the database is of a newer hearth. It is EX_CONFIG of sysexits.h.
const ExitPermanent = 78

// The names of the descriptors in the hello.
const (
	FileListen   = "listen"
	FileAdmin    = "admin"
	FileToken    = "token"
	FileKeeper   = "keeper"
	FileRegistry = "registry" // how to reach npm's registry, with credentials
	FileTLSCert  = "tls-cert"
	FileTLSKey   = "tls-key"
)
