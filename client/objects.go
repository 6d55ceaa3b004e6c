package client

import (
	"encoding/base64"
	"encoding/json"
	"time"
	"unicode/utf8"
)

// Tenant is a customer; it owns containers.
type Tenant struct {
	Meta       `json:"-"`
	Name       string              `json:"name"`
	Limits     TenantLimits        `json:"limits"`
	Registries map[string]Registry `json:"registries"` // by scope, such as @acme; nil in lists
	CreatedAt  time.Time           `json:"created_at"`
	UpdatedAt  time.Time           `json:"updated_at"`
}

// TenantLimits are the most that one of the tenant's containers may set, and its instances in all.
// In a request a zero field means the default.
type TenantLimits struct {
	MemoryMiB    int     `json:"memory_mib,omitempty"`
	CPUs         float64 `json:"cpus,omitempty"`
	MaxInstances int     `json:"max_instances,omitempty"`
}

// TenantSpec is what PutTenant writes.
type TenantSpec struct {
	Limits     TenantLimits             `json:"limits,omitzero"`
	Registries map[string]*RegistrySpec `json:"registries,omitempty"` // merged: absent keeps, nil removes
}

// Registry is the npm registry that a tenant's packages of one scope come from.
type Registry struct {
	URL   string `json:"url"`   // "": they come from nowhere, since their registry was removed
	Token bool   `json:"token"` // whether one is set
}

// RegistrySpec is how a scope's registry is set.
type RegistrySpec struct {
	URL    string  `json:"url,omitempty"`
	Token  *string `json:"token,omitempty"`  // "" removes it; nil keeps the one that was set for this URL
	Public bool    `json:"public,omitempty"` // instead of a URL: the public registry has the scope, as if it had never had one
}

// Container is an isolation boundary that a tenant owns.
type Container struct {
	Meta      `json:"-"`
	Name      string          `json:"name"`
	Tenant    string          `json:"tenant"`
	Isolation string          `json:"isolation"`
	Egress    string          `json:"egress"`
	Limits    ContainerLimits `json:"limits"`
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at"`
}

// ContainerLimits bound each instance of a container, and how many it may have. In a request a zero
// field means the default.
type ContainerLimits struct {
	MemoryMiB    int     `json:"memory_mib,omitempty"`
	CPUs         float64 `json:"cpus,omitempty"`
	Pids         int     `json:"pids,omitempty"`
	TmpMiB       int     `json:"tmp_mib,omitempty"`
	MaxInstances int     `json:"max_instances,omitempty"`
	Concurrency  int     `json:"concurrency,omitempty"`
}

// ContainerSpec is what PutContainer writes; "" means the default.
type ContainerSpec struct {
	Isolation string          `json:"isolation,omitempty"`
	Egress    string          `json:"egress,omitempty"`
	Limits    ContainerLimits `json:"limits,omitzero"`
}

// The states of a version.
const (
	Building = "building"
	Ready    = "ready"
	Failed   = "failed"
)

// Function is one webhook's code with its manifest, as its newest version has it.
type Function struct {
	Meta      `json:"-"`
	Name      string          `json:"name"`
	Tenant    string          `json:"tenant"`
	Container string          `json:"container"`
	Version   int             `json:"version"` // the newest
	Active    int             `json:"active"`  // the one that serves; 0 while none does
	Status    string          `json:"status"`  // of the newest version
	URL       string          `json:"url"`
	Packages  []string        `json:"packages"`
	Config    json.RawMessage `json:"config"`
	Runtime   string          `json:"runtime"`
	Entry     string          `json:"entry"`
	Model     string          `json:"model"` // "" until it is known
	TimeoutMS int             `json:"timeout_ms"`
	Auth      string          `json:"auth"`
	Secrets   []string        `json:"secrets"` // names; nil in lists
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at"`
	Progress  *Progress       `json:"progress,omitempty"` // of the newest version, while it is building; nil in lists
	Error     *Failure        `json:"error,omitempty"`    // why the newest version failed
}

// Failure is why a version failed, in the words of npm or Node.js, or why a package did, in those of
// the registry or the compiler.
type Failure struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Stack   string `json:"stack,omitempty"`
}

// FunctionSpec is what PutFunction writes: Code or Files, and a manifest in which zero fields mean
// the default.
type FunctionSpec struct {
	Code         string             `json:"code,omitempty"`
	Files        map[string]File    `json:"files,omitempty"` // by path, with slashes
	Entry        string             `json:"entry,omitempty"`
	Dependencies map[string]string  `json:"dependencies,omitempty"`
	Secrets      map[string]*string `json:"secrets,omitempty"` // merged with those there are; nil removes
	Config       json.RawMessage    `json:"config,omitempty"`  // a JSON object
	Runtime      string             `json:"runtime,omitempty"`
	Model        string             `json:"model,omitempty"`
	TimeoutMS    int                `json:"timeout_ms,omitempty"`
	Auth         string             `json:"auth,omitempty"`
}

// File is the content of a file. It travels as text, or as base64 where text would be longer or is
// not UTF-8.
type File []byte

// MarshalJSON writes a string, or {"base64": "…"}.
func (f File) MarshalJSON() ([]byte, error) {
	if utf8.Valid(f) {
		text, err := encode(string(f))
		if err != nil || len(text) <= base64.StdEncoding.EncodedLen(len(f))+len(`{"base64":""}`) {
			return text, err
		}
	}
	return encode(map[string]string{"base64": base64.StdEncoding.EncodeToString(f)})
}

// Version is an immutable snapshot of a function.
type Version struct {
	Name      string          `json:"name"` // of the function
	Tenant    string          `json:"tenant"`
	Container string          `json:"container"`
	Version   int             `json:"version"`
	Active    bool            `json:"active"`
	Status    string          `json:"status"`
	Config    json.RawMessage `json:"config"`
	Runtime   string          `json:"runtime"`
	Entry     string          `json:"entry"`
	Model     string          `json:"model"`
	TimeoutMS int             `json:"timeout_ms"`
	Auth      string          `json:"auth"`
	CreatedAt time.Time       `json:"created_at"`
	SettledAt *time.Time      `json:"settled_at"` // nil while it is building
	Progress  *Progress       `json:"progress,omitempty"`
	Error     *Failure        `json:"error,omitempty"`
}

// Progress is how far a version is.
type Progress struct {
	Stage   string `json:"stage"`   // queued, locking, building, linking or trial
	Total   int    `json:"total"`   // packages; 0 until they are known
	Known   int    `json:"known"`   // of them, that were built before
	Fetched int    `json:"fetched"` // that came from the registry since
	Built   int    `json:"built"`   // that became ready since
	Waiting string `json:"waiting,omitempty"`
}

// Deploy is where a version stands.
type Deploy struct {
	Name      string    `json:"name"` // of the function
	Tenant    string    `json:"tenant"`
	Container string    `json:"container"`
	Version   int       `json:"version"`
	Status    string    `json:"status"`
	Progress  *Progress `json:"progress,omitempty"` // nil when it is ready or failed
	Error     *Failure  `json:"error,omitempty"`
}

// Secret is what may be told of a secret.
type Secret struct {
	Meta      `json:"-"`
	Name      string    `json:"name"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Node is one machine of the installation.
type Node struct {
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	Runtimes  []string `json:"runtimes"`
	Isolation []string `json:"isolation"`
	Pool      struct {
		Size  int `json:"size"`
		Ready int `json:"ready"`
	} `json:"pool"`
}

// LogEntry is one entry of a function's log. Text is whatever the function printed, control
// characters too: escape it before it is shown.
type LogEntry struct {
	Cursor   string    `json:"cursor"`
	Time     time.Time `json:"time"`
	Stream   string    `json:"stream"` // stdout, stderr, call or dropped
	Text     string    `json:"text"`
	Request  string    `json:"request,omitempty"`
	Version  int       `json:"version,omitempty"`
	Instance string    `json:"instance,omitempty"`
	Level    string    `json:"level,omitempty"`
	Call     *Call     `json:"call,omitempty"`    // of stream call
	Dropped  *Dropped  `json:"dropped,omitempty"` // of stream dropped
}

// Call is what Hearth measured of one call.
type Call struct {
	Status      int     `json:"status"`
	Start       string  `json:"start,omitempty"` // warm, cold-local or cold-remote
	Version     int     `json:"version"`
	QueueMS     float64 `json:"queue_ms"`
	AssignMS    float64 `json:"assign_ms"`
	FetchMS     float64 `json:"fetch_ms"`
	LinkMS      float64 `json:"link_ms"`
	LoadMS      float64 `json:"load_ms"`
	RunMS       float64 `json:"run_ms"`
	TotalMS     float64 `json:"total_ms"`
	MemoryBytes int64   `json:"memory_bytes"`
	Instance    string  `json:"instance,omitempty"`
	Error       string  `json:"error,omitempty"`
	Component   string  `json:"component,omitempty"`
	Reason      string  `json:"reason,omitempty"`
}

// Dropped says what is lost of a log, and why.
type Dropped struct {
	Lines  int64  `json:"lines"` // 0: unknown
	Bytes  int64  `json:"bytes"` // 0: unknown
	Reason string `json:"reason"`
}
