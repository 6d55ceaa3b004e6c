package hearth

import "time"

// Tenant is a customer of the SaaS; it owns containers and never trusts another tenant.
type Tenant struct {
	ID         string // 128 random bits; a tenant deleted and made again has another
	Name       string
	Limits     TenantLimits
	Registries map[string]Registry // by scope, such as @acme; nil in lists
	Revision   int64               // grows with each write; the ETag
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Registry is the npm registry that a tenant's packages of one scope come from, and from no other.
type Registry struct {
	URL   string // "": it had one once, so now they come from nowhere
	Token bool   // whether one is set; it is never shown
}

// TenantLimits are the most that one of the tenant's containers may set, and the tenant's instances
// in all. A zero field means the default; no value means unlimited.
type TenantLimits struct {
	MemoryMiB    int     `json:"memory_mib"`
	CPUs         float64 `json:"cpus"`
	MaxInstances int     `json:"max_instances"`
}

// Container is an isolation boundary that a tenant owns. Functions in one container may share a
// process, memory and state; functions in two containers never do.
type Container struct {
	ID        string // 128 random bits; a container deleted and made again has another
	Tenant    string
	Name      string
	Isolation string // OCI runtime class; "" is the node's default
	Limits    ContainerLimits
	Revision  int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// ContainerLimits bound each instance of a container, and how many it may have.
// A zero field means the default; no value means unlimited.
type ContainerLimits struct {
	MemoryMiB    int     `json:"memory_mib"`
	CPUs         float64 `json:"cpus"`
	Pids         int     `json:"pids"`
	TmpMiB       int     `json:"tmp_mib"`
	MaxInstances int     `json:"max_instances"`
	Concurrency  int     `json:"concurrency"`
}
