package api

import (
	"math"

	"hearth"
)

// tenantLimits reads the limits of a tenant; absent fields stay 0, which means the default.
func (f *fields) tenantLimits(v *value, at string) hearth.TenantLimits {
	if v == nil || !f.object(v, at, "memory_mib", "cpus", "max_instances") {
		return hearth.TenantLimits{}
	}
	return hearth.TenantLimits{
		MemoryMiB:    f.whole(v.member("memory_mib"), at+".memory_mib", hearth.LimitLeastMemory, hearth.LimitMostMemory),
		CPUs:         f.cpus(v.member("cpus"), at+".cpus", float64(hearth.LimitMostCPUs.Value), hearth.LimitMostCPUs),
		MaxInstances: f.whole(v.member("max_instances"), at+".max_instances", hearth.LimitLeastOne, hearth.LimitMostInstances),
	}
}

// containerLimits reads the limits of a container of a tenant with these (effective) limits.
func (f *fields) containerLimits(v *value, at string, tenant hearth.TenantLimits) hearth.ContainerLimits {
	if v == nil || !f.object(v, at, "memory_mib", "cpus", "pids", "tmp_mib", "max_instances", "concurrency") {
		return hearth.ContainerLimits{}
	}
	memory, cpus, instances := hearth.LimitTenantMemory, hearth.LimitTenantCPUs, hearth.LimitTenantInstance
	memory.Value, cpus.Value, instances.Value = int64(tenant.MemoryMiB), int64(math.Ceil(tenant.CPUs)), int64(tenant.MaxInstances)
	if c := tenant.CPUs; c != math.Trunc(c) {
		cpus.Value, cpus.Unit = int64(math.Round(c*1000)), "thousandths"
	}
	return hearth.ContainerLimits{
		MemoryMiB:    f.whole(v.member("memory_mib"), at+".memory_mib", hearth.LimitLeastMemory, memory),
		CPUs:         f.cpus(v.member("cpus"), at+".cpus", tenant.CPUs, cpus),
		Pids:         f.whole(v.member("pids"), at+".pids", hearth.LimitLeastPids, hearth.LimitMostPids),
		TmpMiB:       f.whole(v.member("tmp_mib"), at+".tmp_mib", hearth.LimitLeastOne, hearth.LimitMostTmp),
		MaxInstances: f.whole(v.member("max_instances"), at+".max_instances", hearth.LimitLeastOne, instances),
		Concurrency:  f.whole(v.member("concurrency"), at+".concurrency", hearth.LimitLeastOne, hearth.LimitMostConcurrent),
	}
}

// cpus reads processors in thousandths, the smallest share that a cgroup is given.
func (f *fields) cpus(v *value, at string, high float64, most hearth.Limit) float64 {
	n, ok := f.number(v, at)
	if !ok {
		return 0
	}
	if math.Abs(n*1000-math.Round(n*1000)) > 1e-6 {
		f.bad(at, "must be a multiple of 0.001")
	}
	f.between(n, at, float64(hearth.LimitLeastMilliCPUs.Value)/1000, high, hearth.LimitLeastMilliCPUs, most)
	return math.Round(n*1000) / 1000
}
