package hearth

import (
	"encoding/json"
	"time"
)

// Function is one webhook's code with its manifest. Versions hold the code; the function points at
// the active one. Secrets belong to the function, not to a version.
type Function struct {
	ID        string // 128 random bits; a function deleted and made again has another
	Tenant    string
	Container string
	Name      string
	Active    int   // number of the version that serves; 0 while none is ready
	Latest    int   // number of the newest version
	Revision  int64 // grows with each write, of secrets too; the ETag
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Runtimes that functions may ask for; the first is the default.
var Runtimes = []string{"node24", "node26"}

// DefaultRuntime is the runtime of a function that names none.
const DefaultRuntime = "node24"

// Model is the shape of what a function exports.
type Model string

// The models of a function; ModelAuto lets the shim tell them apart.
const (
	ModelAuto     Model = ""
	ModelCallback Model = "callback"
	ModelPromise  Model = "promise"
	ModelFetch    Model = "fetch"
	ModelServer   Model = "server"
)

// Manifest is everything about a version but its code.
type Manifest struct {
	Runtime      string            `json:"runtime"`
	Entry        string            `json:"entry"` // path among the files, resolved at PUT
	Model        Model             `json:"model,omitempty"`
	TimeoutMS    int               `json:"timeout_ms"`
	Auth         string            `json:"auth"`
	Config       json.RawMessage   `json:"config,omitempty"` // a JSON object, readable
	Dependencies map[string]string `json:"dependencies,omitempty"`

	// What a package.json among the files says beside.
	OptionalDependencies map[string]string `json:"optional_dependencies,omitempty"`
	PeerDependencies     map[string]string `json:"peer_dependencies,omitempty"`
	Overrides            json.RawMessage   `json:"overrides,omitempty"` // a JSON object
	Lock                 string            `json:"lock,omitempty"`      // sha256 of the package-lock.json among the files, "sha256-…"
}

// HasDependencies reports whether packages must be settled before such a version can run.
func (m Manifest) HasDependencies() bool {
	return len(m.Dependencies) > 0 || len(m.OptionalDependencies) > 0 || len(m.PeerDependencies) > 0 || m.Lock != ""
}

// Status is where a version stands.
type Status string

// The states of a version. building → ready | failed; both ends are final.
const (
	StatusBuilding Status = "building"
	StatusReady    Status = "ready"
	StatusFailed   Status = "failed"
)

// Version is an immutable snapshot of a function: code, manifest and lock, not its secrets.
type Version struct {
	Tenant     string
	Container  string
	Function   string
	FunctionID string // tells a function from one that was deleted and made again
	Number     int
	Status     Status
	Manifest   Manifest
	Digest     string // of the code archive in the blob store, "sha256-…"
	Settled    bool   // its packages are settled, or it has none
	Tree       string // key of its packages' tree; "": none, or not settled yet
	Lock       string // digest of the package-lock.json that it was settled by; "": none
	Refresh    bool   // what the registry said before it was made does not count
	Loaded     Loaded // what the trial found; zero until ready
	Stripped   string // digest of the archive with TypeScript stripped of types; "" while there is none
	Failure    *Failure
	CreatedAt  time.Time
	SettledAt  time.Time // when it became ready or failed; zero while building
}

// Loaded is what the trial instance said about a version that loads.
type Loaded struct {
	Model  Model `json:"model"`
	Parsed bool  `json:"parsed"` // bodies are parsed and therefore bounded; else they stream
}

// Failure is why a version failed, in the words of npm or Node.js.
type Failure struct {
	Reason  string `json:"reason"` // dependencies, syntax, load, shape, exit, timeout, oom, platform
	Message string `json:"message"`
	Stack   string `json:"stack,omitempty"`
}

// File is one file of a version.
type File struct {
	Path string // slash separated, relative, validated by ValidFilePath
	Data []byte
}

// Route is all that the request path knows of one function, held in memory and immutable.
type Route struct {
	Tenant, Container, Function string
	ContainerID                 string
	FunctionID                  string
	Active                      int    // the version that serves; 0: none
	LatestStatus                Status // of the newest version: tells building from failed when Active is 0
	Digest                      string // of the active version's code archive
	Tree                        string // key of its packages' tree; "": none
	Manifest                    Manifest
	Loaded                      Loaded
	Stripped                    string // digest of the version's archive without types, if there is one
	SecretsRevision             int64  // grows when a secret changes
	Isolation                   string
	Limits                      ContainerLimits // effective: no zero field
	TenantMaxInstances          int
}

// Start says how a request found its instance.
type Start string

// The starts, as the hearth-start header spells them.
const (
	StartWarm       Start = "warm"
	StartColdLocal  Start = "cold-local"
	StartColdRemote Start = "cold-remote"
)
