package hearth

import (
	"fmt"
	"time"
)

// Limit is one bound of the platform. Limits is the table of all of them, from which docs/limits.md
// is made; an error about a limit names it, its value and who can raise it.
type Limit struct {
	Name  string // as errors and docs spell it
	Value int64
	Unit  string // bytes, ms, count
	About string // what is bounded; begins a sentence
	Raise string // who can raise it, and how
}

// Text prints the value with its unit.
func (l Limit) Text() string {
	switch {
	case l.Unit == "bytes" && l.Value >= 1<<20 && l.Value%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", l.Value>>20)
	case l.Unit == "bytes" && l.Value >= 1<<10 && l.Value%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", l.Value>>10)
	case l.Unit == "ms":
		return (time.Duration(l.Value) * time.Millisecond).String()
	case l.Unit == "count":
		return fmt.Sprint(l.Value)
	}
	return fmt.Sprintf("%d %s", l.Value, l.Unit)
}

// Int returns the value as an int.
func (l Limit) Int() int { return int(l.Value) }

// Duration returns a limit in ms as a duration.
func (l Limit) Duration() time.Duration { return time.Duration(l.Value) * time.Millisecond }

const (
	raiseFixed = "it is fixed"
	raiseOwner = "the tenant can raise it in the container's limits"
	raiseAdmin = "the operator can raise it in the tenant's limits"
)

// The limits of requests and answers.
var (
	LimitHeaderBytes  = Limit{"header_bytes", 64 << 10, "bytes", "The header of a request or an answer", raiseFixed}
	LimitHeaderFields = Limit{"header_fields", 128, "count", "The number of header fields", raiseFixed}
	LimitURIBytes     = Limit{"uri_bytes", 16 << 10, "bytes", "The target of a request", raiseFixed}
	LimitParsedBody   = Limit{"parsed_body_bytes", 10 << 20, "bytes", "The body of a request or an answer of a function whose bodies are parsed", "use the fetch or server model, which stream"}
	LimitHeaderTime   = Limit{"header_ms", 10_000, "ms", "The time to send a request's header", raiseFixed}
	LimitBodyIdle     = Limit{"body_idle_ms", 60_000, "ms", "The time without a byte of a body", raiseFixed}
	LimitUpgradeIdle  = Limit{"upgrade_idle_ms", 300_000, "ms", "The time without a byte, either way, of an upgraded connection (a WebSocket)", raiseFixed}
	LimitKeepAlive    = Limit{"keep_alive_ms", 120_000, "ms", "The time a connection may wait for its next request", raiseFixed}
	LimitTimeout      = Limit{"timeout_ms", 900_000, "ms", "The time of a request", raiseFixed}
	LimitQueue        = Limit{"queue", 1024, "count", "The number of requests of one container that wait for an instance", raiseFixed}
	LimitQueueTime    = Limit{"queue_ms", 10_000, "ms", "The time a request waits for an instance", raiseFixed}
	LimitTrialTime    = Limit{"load_ms", 10_000, "ms", "The time a function may take to load", raiseFixed}
)

// The limits of what the management API takes.
var (
	LimitDocument        = Limit{"document_bytes", 24 << 20, "bytes", "The body of a management request", raiseFixed}
	LimitCodeBytes       = Limit{"code_bytes", 16 << 20, "bytes", "The code of a version", raiseFixed}
	LimitCodeFiles       = Limit{"code_files", 5000, "count", "The number of files of a version", raiseFixed}
	LimitConfigBytes     = Limit{"config_bytes", 64 << 10, "bytes", "The config of a function", raiseFixed}
	LimitSecrets         = Limit{"secrets", 100, "count", "The number of secrets of a function", raiseFixed}
	LimitSecretBytes     = Limit{"secret_bytes", 64 << 10, "bytes", "The value of a secret", raiseFixed}
	LimitLockBytes       = Limit{"packages.lock_bytes", 16 << 20, "bytes", "The package-lock.json of a function", raiseFixed}
	LimitPackages        = Limit{"packages.count", 5000, "count", "The number of packages in a package-lock.json", raiseFixed}
	LimitDependencies    = Limit{"dependencies", 500, "count", "The number of dependencies of a function", raiseFixed}
	LimitOverrides       = Limit{"overrides_bytes", 64 << 10, "bytes", "The overrides of a package.json", raiseFixed}
	LimitJSONDepth       = Limit{"json_depth", 32, "count", "The depth of a JSON document", raiseFixed}
	LimitJSONValues      = Limit{"json_values", 100_000, "count", "The number of values in a JSON document", raiseFixed}
	LimitListItems       = Limit{"list_items", 100, "count", "The number of items in a page of a list", raiseFixed}
	LimitVersions        = Limit{"versions", 20, "count", "The number of versions kept of a function, beside the active one", raiseFixed}
	LimitWait            = Limit{"wait_ms", 300_000, "ms", "The time a deploy's answer may be held", raiseFixed}
	LimitRegistries      = Limit{"registries", 20, "count", "The number of scopes of a tenant that have, or had, a registry of its own", raiseFixed}
	LimitTenants         = Limit{"tenants", 100_000, "count", "The number of tenants", raiseFixed}
	LimitContainers      = Limit{"containers", 1000, "count", "The number of containers of a tenant", raiseFixed}
	LimitFunctions       = Limit{"functions", 1000, "count", "The number of functions of a container", raiseFixed}
	LimitIdempotencyKeys = Limit{"idempotency_keys", 10_000, "count", "The number of Idempotency-Keys used within 24 hours", raiseFixed}
)

// The limits of what functions print.
var (
	LimitLogLine     = Limit{"log_line_bytes", 64 << 10, "bytes", "A log line", raiseFixed}
	LimitLogRate     = Limit{"log_bytes_per_second", 1 << 20, "bytes", "What a container may log in a second", raiseFixed}
	LimitLogFunction = Limit{"log_bytes", 16 << 20, "bytes", "The log kept of a function", raiseFixed}
)

// The limits of an instance: the defaults of a container, and the most that one may set.
var (
	LimitMemory         = Limit{"memory_mib", 256, "MiB", "The memory of an instance", raiseOwner}
	LimitCPUs           = Limit{"cpus", 1, "count", "The processors of an instance", raiseOwner}
	LimitPids           = Limit{"pids", 128, "count", "The processes and threads of an instance", raiseOwner}
	LimitTmp            = Limit{"tmp_mib", 64, "MiB", "The files of an instance in /tmp", raiseOwner}
	LimitInstances      = Limit{"max_instances", 4, "count", "The instances of a container", raiseOwner}
	LimitConcurrency    = Limit{"concurrency", 64, "count", "The requests in an instance at once", raiseOwner}
	LimitTenantMemory   = Limit{"tenant.memory_mib", 2048, "MiB", "The memory that a container may ask for", raiseAdmin}
	LimitTenantCPUs     = Limit{"tenant.cpus", 4, "count", "The processors that a container may ask for", raiseAdmin}
	LimitTenantInstance = Limit{"tenant.max_instances", 20, "count", "The instances of a tenant", raiseAdmin}
	LimitMostMemory     = Limit{"most.memory_mib", 65536, "MiB", "The memory that a tenant may be given", raiseFixed}
	LimitMostCPUs       = Limit{"most.cpus", 64, "count", "The processors that a tenant may be given", raiseFixed}
	LimitMostInstances  = Limit{"most.max_instances", 1000, "count", "The instances that a tenant may be given", raiseFixed}
	LimitMostPids       = Limit{"most.pids", 1024, "count", "The processes that a container may ask for", raiseFixed}
	LimitMostTmp        = Limit{"most.tmp_mib", 1024, "MiB", "The size of /tmp that a container may ask for", raiseFixed}
	LimitMostConcurrent = Limit{"most.concurrency", 1000, "count", "The requests in an instance that a container may ask for", raiseFixed}
	LimitLeastMemory    = Limit{"least.memory_mib", 64, "MiB", "The memory that Node.js needs to start", raiseFixed}
	LimitLeastMilliCPUs = Limit{"least.millicpus", 50, "thousandths", "The share of a processor that Node.js needs to start", raiseFixed}
	LimitLeastPids      = Limit{"least.pids", 32, "count", "The threads that Node.js needs to start", raiseFixed}
	LimitLeastOne       = Limit{"least.one", 1, "count", "The least of what is counted", raiseFixed}
)

// The limits of a package from a registry.
var (
	LimitPackagePacked   = Limit{"packages.packed_bytes", 256 << 20, "bytes", "The archive of a package", raiseFixed}
	LimitPackageUnpacked = Limit{"packages.unpacked_bytes", 1 << 30, "bytes", "The files of a package together", raiseFixed}
	LimitPackageFile     = Limit{"packages.file_bytes", 512 << 20, "bytes", "A file of a package; the largest real one, a browser's binary, has 200 MiB", raiseFixed}
	LimitPackageEntries  = Limit{"packages.entries", 100_000, "count", "The number of files and folders of a package", raiseFixed}
	LimitBuildTime       = Limit{"build.time_ms", 600_000, "ms", "The time of a build", raiseFixed}
)

// The limits of a sandbox that a package is built in, and of what it makes.
var (
	LimitBuildMemory = Limit{"build.memory_mib", 4096, "MiB", "The memory of a build, its files included", raiseFixed}
	LimitBuildCPUs   = Limit{"build.cpus", 4, "count", "The processors of a build", raiseFixed}
	LimitBuildPids   = Limit{"build.pids", 1024, "count", "The processes and threads of a build", raiseFixed}
	LimitBuildWork   = Limit{"build.work_mib", 2048, "MiB", "The files of a build", raiseFixed}
	LimitBuildOutput = Limit{"build.output_bytes", 1 << 20, "bytes", "What is kept of a build's output", raiseFixed}
	LimitBuildResult = Limit{"build.result_bytes", 1 << 30, "bytes", "What a build makes", raiseFixed}
)

// Limits is every limit, in the order in which docs/limits.md shows them.
func Limits() []Limit {
	return []Limit{
		LimitHeaderBytes, LimitHeaderFields, LimitURIBytes, LimitParsedBody, LimitHeaderTime, LimitBodyIdle,
		LimitUpgradeIdle, LimitKeepAlive, LimitTimeout, LimitQueue, LimitQueueTime, LimitTrialTime,
		LimitDocument, LimitCodeBytes, LimitCodeFiles, LimitConfigBytes, LimitSecrets, LimitSecretBytes,
		LimitDependencies, LimitOverrides, LimitLockBytes, LimitPackages, LimitJSONDepth, LimitJSONValues, LimitListItems, LimitVersions, LimitWait, LimitRegistries, LimitTenants,
		LimitContainers, LimitFunctions, LimitIdempotencyKeys,
		LimitLogLine, LimitLogRate, LimitLogFunction,
		LimitMemory, LimitCPUs, LimitPids, LimitTmp, LimitInstances, LimitConcurrency,
		LimitTenantMemory, LimitTenantCPUs, LimitTenantInstance,
		LimitMostMemory, LimitMostCPUs, LimitMostInstances, LimitMostPids, LimitMostTmp, LimitMostConcurrent,
		LimitLeastMemory, LimitLeastMilliCPUs, LimitLeastPids, LimitLeastOne,
		LimitPackagePacked, LimitPackageUnpacked, LimitPackageFile, LimitPackageEntries,
		LimitBuildTime, LimitBuildMemory, LimitBuildCPUs, LimitBuildPids, LimitBuildWork, LimitBuildOutput, LimitBuildResult,
	}
}

// DefaultTimeoutMS is the time limit of a function that sets none, in milliseconds.
const DefaultTimeoutMS = 30_000

// DefaultTenantLimits are the limits of a tenant that sets none.
func DefaultTenantLimits() TenantLimits {
	return TenantLimits{MemoryMiB: LimitTenantMemory.Int(), CPUs: float64(LimitTenantCPUs.Value), MaxInstances: LimitTenantInstance.Int()}
}

// DefaultContainerLimits are the limits of a container that sets none.
func DefaultContainerLimits() ContainerLimits {
	return ContainerLimits{MemoryMiB: LimitMemory.Int(), CPUs: float64(LimitCPUs.Value), Pids: LimitPids.Int(),
		TmpMiB: LimitTmp.Int(), MaxInstances: LimitInstances.Int(), Concurrency: LimitConcurrency.Int()}
}

// Effective fills the zero fields of l with the defaults, and cuts it to what the tenant may have
// now, since a tenant's limits can be lowered after its containers were made.
func (l ContainerLimits) Effective(t TenantLimits) ContainerLimits {
	d := DefaultContainerLimits()
	l.MemoryMiB = min(or(l.MemoryMiB, d.MemoryMiB), t.MemoryMiB)
	l.CPUs = min(or(l.CPUs, d.CPUs), t.CPUs)
	l.Pids = or(l.Pids, d.Pids)
	l.TmpMiB = or(l.TmpMiB, d.TmpMiB)
	l.MaxInstances = min(or(l.MaxInstances, d.MaxInstances), t.MaxInstances)
	l.Concurrency = or(l.Concurrency, d.Concurrency)
	return l
}

// Effective fills the zero fields of l with the defaults.
func (l TenantLimits) Effective() TenantLimits {
	d := DefaultTenantLimits()
	return TenantLimits{or(l.MemoryMiB, d.MemoryMiB), or(l.CPUs, d.CPUs), or(l.MaxInstances, d.MaxInstances)}
}

func or[T int | float64](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}
