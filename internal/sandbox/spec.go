package sandbox

import (
	"fmt"
	"path"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// User inside every instance.
const (
	innerUID = 1000
	innerGID = 1000
)

// shmMiB is the size of /dev/shm, which the memory limit counts too.
const shmMiB = 16

// codeMiB bounds the code of all functions in one instance.
const codeMiB = 256

// heapShare is the part of an instance's memory that V8's old generation may take, in percent. The
// rest is for buffers, stacks, code and the young generation; past it the kernel ends the instance.
const heapShare = 75

// bundle is what the specification of an instance depends on. No tenant's text is in it.
type bundle struct {
	id       string
	rootfs   string // absolute, in our mount namespace
	build    bool   // a build sandbox
	dir      string // the instance's folder
	cgroup   string // parent, for example /hearth-0
	firstUID uint32
	netns    string // a path that opens the network namespace
	limits   Limits
	nodeArgs []string // flags of Node.js, from the shim
	env      []string
	unified  bool // cgroup v2
	swap     bool // the memory controller limits swap
}

// spec builds the OCI specification from structs, so that nothing in it is ever parsed from text.
func (b bundle) spec() (*specs.Spec, error) {
	args := []string{"/hearth/init", "/bin/node"}
	env, files := b.env, uint64(1024)
	if b.build {
		env, files = buildEnv, 4096 // npm opens a connection and a file a package; a linker all objects
		args = append(args, buildArgs...)
	} else {
		args = append(args, b.nodeArgs...)
	}
	args = append(args, fmt.Sprintf("--max-old-space-size=%d", b.limits.MemoryMiB*heapShare/100), "/hearth/shim/main.js")
	oom := 500 // instances go before anything of the host
	s := &specs.Spec{
		Version:  specs.Version,
		Hostname: "instance",
		Root:     &specs.Root{Path: b.rootfs, Readonly: true},
		Process: &specs.Process{
			User:            specs.User{UID: innerUID, GID: innerGID},
			Args:            args,
			Env:             env,
			Cwd:             "/",
			NoNewPrivileges: true,
			Capabilities:    &specs.LinuxCapabilities{},
			OOMScoreAdj:     &oom,
			Rlimits: []specs.POSIXRlimit{
				{Type: "RLIMIT_CORE"},
				{Type: "RLIMIT_NOFILE", Hard: files, Soft: files},
				{Type: "RLIMIT_MEMLOCK", Hard: 64 << 10, Soft: 64 << 10},
			},
		},
		Mounts: b.mounts(),
		Linux: &specs.Linux{
			UIDMappings: []specs.LinuxIDMapping{{HostID: b.firstUID, Size: UIDsPerInstance}},
			GIDMappings: []specs.LinuxIDMapping{{HostID: b.firstUID, Size: UIDsPerInstance}},
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.UserNamespace}, {Type: specs.PIDNamespace}, {Type: specs.MountNamespace},
				{Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.CgroupNamespace},
				{Type: specs.NetworkNamespace, Path: b.netns},
			},
			CgroupsPath:       path.Join(b.cgroup, b.id),
			Resources:         b.resources(),
			RootfsPropagation: "rslave",
			MaskedPaths:       maskedPaths(),
			ReadonlyPaths:     []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/proc/self/oom_score_adj"},
		},
	}
	var err error
	s.Linux.Seccomp, err = seccompProfile(s)
	return s, err
}

// buildEnv is all of the environment of a build sandbox; the driver adds what npm gives to scripts.
var buildEnv = []string{"PATH=/bin:/usr/bin", "HOME=/work/home"}

// buildArgs are flags of the driver's Node.js. npm parses 30 MB of JSON to resolve 200 packages; with
// room for young objects that takes a sixth less processor time (npm 11.21, Node.js 20: 3.9 s, not 4.6).
var buildArgs = []string{"--max-semi-space-size=64"}

// Weights when processors are scarce. Somebody waits for the answer of an instance that was promoted, and
// nobody for a build or for a start that fills the pool.
const (
	lowShares    = uint64(128)
	normalShares = uint64(1024)
)

func (b bundle) mounts() []specs.Mount {
	tmp := []string{"bind", "nosuid", "nodev", "noexec", "rw"}
	if b.build {
		tmp = slices.DeleteFunc(tmp, func(o string) bool { return o == "noexec" }) // configure scripts try what they compile
	}
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "mode=755", "size=64k"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", fmt.Sprintf("size=%dm", shmMiB)}},
		// Made on the host: its size can then be changed when the instance is assigned, and runc gives a
		// tmpfs of its own the mode of the folder below it, whatever mode= says.
		{Destination: "/tmp", Type: "bind", Source: path.Join(b.dir, "tmp"), Options: tmp},
		{Destination: "/fn", Type: "bind", Source: path.Join(b.dir, "code"), Options: []string{"bind", "nosuid", "nodev", "ro"}},
		// What is mounted on it later comes in through the slave; a mount in here stays here.
		{Destination: "/packages", Type: "bind", Source: path.Join(b.dir, packagesFolder), Options: []string{"rbind", "rslave", "nosuid", "nodev", "ro"}},
	}
	if b.build {
		mounts = append(mounts, specs.Mount{Destination: "/work", Type: "bind", Source: path.Join(b.dir, "work"), Options: []string{"bind", "nosuid", "nodev", "rw"}})
	}
	return mounts
}

// resources are the limits of the instance's cgroup. All devices are denied but the six that the
// runtime makes itself (null, zero, full, tty, random, urandom).
func (b bundle) resources() *specs.LinuxResources {
	r := cgroupLimits(b.limits, b.swap)
	shares := lowShares
	r.CPU.Shares = &shares
	r.Devices = []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	if b.unified {
		r.Unified = map[string]string{"memory.oom.group": "1"}
	}
	return r
}

// cgroupLimits are the limits that may change during an instance's life.
func cgroupLimits(l Limits, swap bool) *specs.LinuxResources {
	memory := int64(l.MemoryMiB) << 20
	period := uint64(100_000) // microseconds, the kernel's default
	quota := int64(l.MilliCPUs) * int64(period) / 1000
	pids := int64(l.Pids)
	r := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &memory},
		CPU:    &specs.LinuxCPU{Quota: &quota, Period: &period},
		Pids:   &specs.LinuxPids{Limit: &pids},
	}
	if swap {
		r.Memory.Swap = &memory // memory and swap together: none of it is swap
	}
	return r
}

// maskedPaths are Docker's and those that tell of the host or of its load.
func maskedPaths() []string {
	masked := []string{"/sys/firmware", "/sys/devices/virtual/powercap", "/proc/acpi", "/proc/asound", "/proc/scsi",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/latency_stats", "/proc/kcore", "/proc/keys"}
	for _, name := range []string{"kallsyms", "config.gz", "cmdline", "key-users", "interrupts", "iomem", "ioports", "slabinfo",
		"vmallocinfo", "kpagecount", "kpageflags", "kpagecgroup", "modules", "partitions", "diskstats", "swaps", "schedstat",
		"zoneinfo", "pagetypeinfo", "buddyinfo", "softirqs", "vmstat"} {
		masked = append(masked, "/proc/"+name)
	}
	return masked
}
