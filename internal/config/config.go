package config

import (
	"net/netip"
	"time"
)

// Config is every setting of a node, validated. All paths are absolute.
type Config struct {
	Listen            string         `json:"listen"`             // host:port of the data plane, and of the management side unless AdminListen
	AdminListen       string         `json:"admin_listen"`       // host:port of the management side alone; "" shares Listen
	RunDomain         string         `json:"run_domain"`         // functions also answer below this domain; "" turns it off
	TrustedProxies    []netip.Prefix `json:"trusted_proxies"`    // whose X-Forwarded-… headers are believed
	TLSCert           string         `json:"tls_cert"`           // PEM file; "" is plain HTTP
	TLSKey            string         `json:"tls_key"`            // PEM file that only root need read
	H2C               bool           `json:"h2c"`                // HTTP/2 without TLS
	ExposeStart       bool           `json:"expose_start"`       // answers carry hearth-version and hearth-start
	DataDir           string         `json:"data_dir"`           // everything that lasts
	RunDir            string         `json:"run_dir"`            // sockets and pid files
	Database          string         `json:"database"`           // sqlite:PATH
	Blobs             string         `json:"blobs"`              // file:PATH
	Keeper            string         `json:"keeper"`             // file:PATH of the key that seals secrets
	AdminTokenFile    string         `json:"admin_token_file"`   // made at first start, mode 0600
	User              string         `json:"user"`               // account of the node process; uid 64646 where there is none
	Isolation         string         `json:"isolation"`          // runc or crun
	KnownBadRuntime   bool           `json:"known_bad_runtime"`  // run although the OCI runtime has a known hole
	Pool              int            `json:"pool"`               // generic instances kept ready
	Idle              time.Duration  `json:"idle"`               // an instance without requests for this long is destroyed
	NPMRegistry       string         `json:"npm_registry"`       // URL; "" is what npm's own configuration names
	PrivateRegistries []netip.Prefix `json:"private_registries"` // networks, beside all public addresses, that tenants' registries may be in
	LockTTL           time.Duration  `json:"lock_ttl"`           // the same dependencies are not resolved again within this
	MinReleaseAge     time.Duration  `json:"min_release_age"`    // a range takes no version that is younger
	Builders          int            `json:"builders"`           // build sandboxes at a time
	PackageDisk       int64          `json:"package_disk"`       // bytes of packages on this node's disk
	PreloadMemory     int64          `json:"preload_memory"`     // bytes for instances that have loaded packages ahead
	LogLevel          string         `json:"log_level"`          // debug, info, warn or error
	LogFormat         string         `json:"log_format"`         // text or json
}
