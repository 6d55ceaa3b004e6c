package config

import (
	"path/filepath"
	"strconv"
	"strings"
)

// What the user's commands assume of a node on this machine.
const (
	DefaultDataDir = "/var/lib/hearth"
	DefaultListen  = "127.0.0.1:8080"
	DefaultURL     = "http://" + DefaultListen
	AdminTokenName = "admin.token" // in the data directory
)

// Option is one setting. Its Name is the flag without dashes and the YAML key.
type Option struct {
	Name    string
	Arg     string // what the value is, for help; "" for a boolean
	Default string // may hold {data-dir}; "" is none
	About   string // one sentence for help
	More    string // further sentences for docs/configuration.md
	Example string // a value that is not the default, for docs and hints

	set func(*Config, string) error
	get func(*Config) string
}

// Env is the option's environment variable.
func (o Option) Env() string { return envName(o.Name) }

// Bool says whether the flag may stand without a value.
func (o Option) Bool() bool { return o.Arg == "" }

func envName(name string) string {
	return "HEARTH_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// Options is the table of all settings, in the order in which help and docs show them.
func Options() []Option {
	return []Option{
		{Name: "listen", Arg: "HOST:PORT", Default: DefaultListen, Example: "0.0.0.0:8080",
			About: "address to serve on",
			More:  "Functions, the management API, the console and `/metrics` share it unless `--admin-listen` splits the management side off.",
			set:   text(func(c *Config) *string { return &c.Listen }, address),
			get:   func(c *Config) string { return c.Listen }},
		{Name: "admin-listen", Arg: "HOST:PORT", Example: "127.0.0.1:8081",
			About: "another address for the management side",
			More:  "Then only `/run`, `/healthz` and `/readyz` stay on `--listen`.",
			set:   text(func(c *Config) *string { return &c.AdminListen }, optional(address)),
			get:   func(c *Config) string { return c.AdminListen }},
		{Name: "run-domain", Arg: "DOMAIN", Example: "functions.example.com",
			About: "also answer for {container}.{tenant}.DOMAIN",
			More:  "`https://{container}.{tenant}.DOMAIN/{function}` is then the same as `/run/{tenant}/{container}/{function}`; it needs a wildcard DNS record.",
			set:   text(func(c *Config) *string { return &c.RunDomain }, optional(domain)),
			get:   func(c *Config) string { return c.RunDomain }},
		{Name: "trusted-proxies", Arg: "CIDR,…", Example: "10.0.0.0/8,192.0.2.7",
			About: "networks whose X-Forwarded-… headers are believed",
			More:  "From everybody else these headers are replaced.",
			set: func(c *Config, s string) error {
				list, err := prefixes(s)
				c.TrustedProxies = list
				return err
			},
			get: func(c *Config) string { return joinPrefixes(c.TrustedProxies) }},
		{Name: "tls-cert", Arg: "FILE", Example: "/etc/hearth/tls.crt",
			About: "certificate chain in PEM; turns TLS on",
			More:  "The file is read again when it changes. It needs `--tls-key`.",
			set:   text(func(c *Config) *string { return &c.TLSCert }, optional(path)),
			get:   func(c *Config) string { return c.TLSCert }},
		{Name: "tls-key", Arg: "FILE", Example: "/etc/hearth/tls.key",
			About: "private key in PEM that belongs to --tls-cert",
			More:  "Only root needs to be able to read it.",
			set:   text(func(c *Config) *string { return &c.TLSKey }, optional(path)),
			get:   func(c *Config) string { return c.TLSKey }},
		{Name: "h2c", Default: "false",
			About: "speak HTTP/2 without TLS too",
			More:  "For a reverse proxy in front that speaks HTTP/2 with prior knowledge. With TLS, HTTP/2 needs no flag.",
			set:   boolean(func(c *Config) *bool { return &c.H2C }),
			get:   func(c *Config) string { return strconv.FormatBool(c.H2C) }},
		{Name: "expose-start", Default: "true",
			About: "answers carry hearth-version and hearth-start",
			More:  "`--expose-start=false` hides from callers which version answered and whether it was a cold start.",
			set:   boolean(func(c *Config) *bool { return &c.ExposeStart }),
			get:   func(c *Config) string { return strconv.FormatBool(c.ExposeStart) }},
		{Name: "data-dir", Arg: "DIR", Default: DefaultDataDir, Example: "/srv/hearth",
			About: "where everything lives that lasts",
			More:  "It belongs to root. Back it up as a whole; `{data-dir}` in the defaults below stands for it.",
			set:   text(func(c *Config) *string { return &c.DataDir }, path),
			get:   func(c *Config) string { return c.DataDir }},
		{Name: "run-dir", Arg: "DIR", Default: "/run/hearth", Example: "/run/hearth-2",
			About: "where sockets and pid files live",
			More:  "Nothing in it lasts. Two nodes on one machine need two.",
			set:   text(func(c *Config) *string { return &c.RunDir }, path),
			get:   func(c *Config) string { return c.RunDir }},
		{Name: "database", Arg: "URL", Default: "sqlite:{data-dir}/node/hearth.db", Example: "sqlite:/srv/hearth/hearth.db",
			About: "where tenants, containers, functions and versions are kept",
			More:  "`sqlite:PATH`. The file must be on a local disk.",
			set:   text(func(c *Config) *string { return &c.Database }, scheme("sqlite", "postgres", "postgresql")),
			get:   func(c *Config) string { return c.Database }},
		{Name: "blobs", Arg: "URL", Default: "file:{data-dir}/node/blobs", Example: "file:/srv/hearth/blobs",
			About: "where the code of versions is kept",
			More:  "`file:PATH` of a directory.",
			set:   text(func(c *Config) *string { return &c.Blobs }, scheme("file", "s3", "gs", "azblob")),
			get:   func(c *Config) string { return c.Blobs }},
		{Name: "keeper", Arg: "URL", Default: "file:{data-dir}/keeper.key", Example: "file:/etc/hearth/keeper.key",
			About: "what seals the secrets of functions",
			More:  "`file:PATH` of a key, made at first start. Without it no secret can be read again, so keep a copy apart from the backup of the data directory.",
			set:   text(func(c *Config) *string { return &c.Keeper }, scheme("file", "awskms", "gcpkms", "hashivault")),
			get:   func(c *Config) string { return c.Keeper }},
		{Name: "admin-token-file", Arg: "FILE", Default: "{data-dir}/" + AdminTokenName, Example: "/etc/hearth/admin.token",
			About: "file of the admin token",
			More:  "Made at first start with mode 0600. The user's commands read it with `--token-file`.",
			set:   text(func(c *Config) *string { return &c.AdminTokenFile }, path),
			get:   func(c *Config) string { return c.AdminTokenFile }},
		{Name: "user", Arg: "NAME", Default: "hearth", Example: "www-hearth",
			About: "account that everything but the warden runs as",
			More:  "Where there is no such account, uid and gid 64646 are used.",
			set:   text(func(c *Config) *string { return &c.User }, account),
			get:   func(c *Config) string { return c.User }},
		{Name: "isolation", Arg: "NAME", Default: "runc", Example: "crun",
			About: "OCI runtime: runc or crun",
			More:  "Looked for beside the hearth binary, then in PATH.",
			set:   text(func(c *Config) *string { return &c.Isolation }, isolation),
			get:   func(c *Config) string { return c.Isolation }},
		{Name: "allow-known-bad-runtime", Default: "false",
			About: "run although the OCI runtime has a known hole",
			More:  "Without it `serve` refuses to start on such a version; `hearth doctor` names the hole.",
			set:   boolean(func(c *Config) *bool { return &c.KnownBadRuntime }),
			get:   func(c *Config) string { return strconv.FormatBool(c.KnownBadRuntime) }},
		{Name: "pool", Arg: "N", Default: "4", Example: "16",
			About: "generic instances kept ready for cold calls",
			More:  "Each takes about the memory of an idle Node.js process. With 0 every cold call starts an instance first.",
			set: func(c *Config, s string) (err error) {
				c.Pool, err = whole(s, 0, 1000)
				return err
			},
			get: func(c *Config) string { return strconv.Itoa(c.Pool) }},
		{Name: "idle", Arg: "DURATION", Default: "10m", Example: "90s",
			About: "an instance without requests for this long is destroyed",
			More:  "The next call of its container is cold.",
			set: func(c *Config, s string) (err error) {
				c.Idle, err = duration(s, minIdle, maxIdle)
				return err
			},
			get: func(c *Config) string { return short(c.Idle) }},
		{Name: "npm-registry", Arg: "URL", Example: "https://npm.example.com/",
			About: "npm registry that packages, and Node.js itself, are taken from",
			More:  "Otherwise what npm's own configuration names: `NPM_CONFIG_REGISTRY`, the npmrc files, else the installed `npm`.",
			set:   text(func(c *Config) *string { return &c.NPMRegistry }, optional(registry)),
			get:   func(c *Config) string { return c.NPMRegistry }},
		{Name: "private-registries", Arg: "CIDR,…", Example: "10.20.0.0/16,192.0.2.7",
			About: "private networks that tenants' npm registries may be in",
			More:  "A tenant names the registry of its scopes, and Hearth asks it: without this at public addresses only. On a loopback network named here a registry may do without TLS.",
			set: func(c *Config, s string) (err error) {
				c.PrivateRegistries, err = prefixes(s)
				return err
			},
			get: func(c *Config) string { return joinPrefixes(c.PrivateRegistries) }},
		{Name: "lock-ttl", Arg: "DURATION", Default: "1h", Example: "10m",
			About: "how long the same dependencies get the same versions",
			More:  "A deploy of the same dependencies within this time does not ask the registry for newer versions; `?refresh=true` does.",
			set: func(c *Config, s string) (err error) {
				c.LockTTL, err = duration(s, 0, maxAge)
				return err
			},
			get: func(c *Config) string { return short(c.LockTTL) }},
		{Name: "min-release-age", Arg: "DURATION", Default: "0s", Example: "72h",
			About: "a range of versions takes none that is younger",
			More:  "A version that is named exactly is taken whatever its age. It guards against a package that was taken over an hour ago.",
			set: func(c *Config, s string) (err error) {
				c.MinReleaseAge, err = duration(s, 0, maxAge)
				return err
			},
			get: func(c *Config) string { return short(c.MinReleaseAge) }},
		{Name: "builders", Arg: "N", Default: "2", Example: "4",
			About: "packages with install scripts that are built at a time",
			More:  "Each has a sandbox of 2 GiB. Packages without scripts are not counted.",
			set: func(c *Config, s string) (err error) {
				c.Builders, err = whole(s, 1, 64)
				return err
			},
			get: func(c *Config) string { return strconv.Itoa(c.Builders) }},
		{Name: "package-disk", Arg: "SIZE", Default: "20GiB", Example: "100GiB",
			About: "disk for packages on this node",
			More:  "Past it the packages that were not used for the longest time go; they come back from the blob store when they are needed.",
			set: func(c *Config, s string) (err error) {
				c.PackageDisk, err = size(s, 1<<28)
				return err
			},
			get: func(c *Config) string { return sized(c.PackageDisk) }},
		{Name: "preload-memory", Arg: "SIZE", Default: "1GiB", Example: "4GiB",
			About: "memory for instances that have loaded packages ahead",
			More:  "The packages whose cold calls it saves the most time for. With 0 there are none.",
			set: func(c *Config, s string) (err error) {
				c.PreloadMemory, err = size(s, 0)
				return err
			},
			get: func(c *Config) string { return sized(c.PreloadMemory) }},
		{Name: "log-level", Arg: "LEVEL", Default: "info", Example: "debug",
			About: "debug, info, warn or error",
			set:   text(func(c *Config) *string { return &c.LogLevel }, oneOf("debug", "info", "warn", "error")),
			get:   func(c *Config) string { return c.LogLevel }},
		{Name: "log-format", Arg: "FORMAT", Default: "text", Example: "json",
			About: "text or json",
			set:   text(func(c *Config) *string { return &c.LogFormat }, oneOf("text", "json")),
			get:   func(c *Config) string { return c.LogFormat }},
	}
}

// text makes a setter of a string field that check accepts and may rewrite.
func text(field func(*Config) *string, check func(string) (string, error)) func(*Config, string) error {
	return func(c *Config, s string) error {
		v, err := check(s)
		if err != nil {
			return err
		}
		*field(c) = v
		return nil
	}
}

func boolean(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, s string) error {
		switch s {
		case "true":
			*field(c) = true
		case "false":
			*field(c) = false
		default:
			return mistake("is neither true nor false", "write true or false")
		}
		return nil
	}
}

// absolute completes a relative path; that fails only where the working directory is gone.
func absolute(p string) (string, error) {
	abs, err := filepath.Abs(p)
	if err != nil {
		return "", mistake("is relative, and the working directory is gone", "give an absolute path")
	}
	return abs, nil
}
