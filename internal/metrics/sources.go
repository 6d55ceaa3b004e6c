package metrics

import "github.com/prometheus/client_golang/prometheus"

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	poolInstances = desc("hearth_pool_instances", "Unassigned instances that are ready, by runtime.", "runtime")
	instances     = desc("hearth_instances", "Live instances, by state.", "state")
	memory        = desc("hearth_instance_memory_bytes", "Memory of the live instances: of all, and of the largest.", "of")
	queueWaiting  = desc("hearth_queue_waiting", "Requests that wait for an instance.")
	logLines      = desc("hearth_log_lines_total", "Log lines and call records written.")
	logBytes      = desc("hearth_log_bytes_total", "Bytes of log written.")
	logDropped    = desc("hearth_log_dropped_lines_total", "Log lines and call records dropped.")
	logLost       = desc("hearth_log_dropped_bytes_total", "Bytes of log lines dropped.")
	logDisk       = desc("hearth_log_disk_bytes", "Bytes of logs on disk.")
	packageStates = desc("hearth_packages", "Packages of the installation that are not ready, by state; failed ones are dead letters.", "state")
	packageDisk   = desc("hearth_package_disk_bytes", "Disk that packages take on this node, files that are equal counted once.")
	packageLimit  = desc("hearth_package_disk_limit_bytes", "Disk that packages may take on this node.")
	packageStore  = desc("hearth_package_store_entries", "What is in this node's package store, by kind.", "kind")
	evicted       = desc("hearth_package_evictions_total", "Packages that went from this node's disk to make room.")
	preloaded     = desc("hearth_preloaded_instances", "Instances that have loaded packages ahead.")
)

// sources collects what other rooms hold. The labels are words of Hearth's own (runtimes, states).
type sources struct{ m *Metrics }

func (c sources) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{poolInstances, instances, memory, queueWaiting, logLines, logBytes, logDropped, logLost, logDisk,
		packageStates, packageDisk, packageLimit, packageStore, evicted, preloaded} {
		ch <- d
	}
}

func (c sources) Collect(ch chan<- prometheus.Metric) {
	s := c.m.sources.Load()
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	byLabel := func(d *prometheus.Desc, f func() map[string]int) {
		if f == nil {
			return
		}
		for label, n := range f() {
			send(d, prometheus.GaugeValue, float64(n), label)
		}
	}
	byLabel(poolInstances, s.PoolInstances)
	byLabel(instances, s.Instances)
	if s.InstanceMemory != nil {
		sum, most := s.InstanceMemory()
		send(memory, prometheus.GaugeValue, float64(sum), "all")
		send(memory, prometheus.GaugeValue, float64(most), "largest")
	}
	if s.QueueWaiting != nil {
		send(queueWaiting, prometheus.GaugeValue, float64(s.QueueWaiting()))
	}
	byLabel(packageStates, s.PackageStates)
	byLabel(packageStore, s.PackageEntries)
	if s.PackageDisk != nil {
		bytes, limit := s.PackageDisk()
		send(packageDisk, prometheus.GaugeValue, float64(bytes))
		send(packageLimit, prometheus.GaugeValue, float64(limit))
	}
	if s.Preloaded != nil {
		send(preloaded, prometheus.GaugeValue, float64(s.Preloaded()))
	}
	number := func(d *prometheus.Desc, t prometheus.ValueType, f func() int64) {
		if f != nil {
			send(d, t, float64(f()))
		}
	}
	number(logLines, prometheus.CounterValue, s.LogLines)
	number(logBytes, prometheus.CounterValue, s.LogBytes)
	number(logDropped, prometheus.CounterValue, s.LogDropped)
	number(logLost, prometheus.CounterValue, s.LogLost)
	number(logDisk, prometheus.GaugeValue, s.LogDisk)
	number(evicted, prometheus.CounterValue, s.PackageEvicted)
}
