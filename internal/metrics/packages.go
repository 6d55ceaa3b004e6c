package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The labels of what happens to packages. A word that is none of these is not counted: labels are
// Hearth's own.
var (
	buildKinds      = []string{"pure", "scripted"} // by whether it has install scripts
	buildOutcomes   = []string{"built", "failed", "retry", "away", "lost"}
	lockResults     = []string{"cached", "user", "resolved", "refused", "error"}
	settleResults   = []string{"settled", "failed"}
	packumentCaches = []string{"fresh", "unchanged", "fetched", "stale"}
	requestKinds    = []string{"packument", "version", "tarball"}
	requestClasses  = []string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"} // none: no answer
)

// packages are the counters of package settling.
type packages struct {
	builds    labelled[prometheus.Counter] // kind, outcome
	seconds   labelled[prometheus.Observer]
	locks     labelled[prometheus.Counter]
	lockTook  prometheus.Histogram
	settles   labelled[prometheus.Observer]
	caches    labelled[prometheus.Counter]
	requests  labelled[prometheus.Counter] // kind, class
	bytes     prometheus.Counter
	preloaded prometheus.Histogram
}

// labelled has a series for each combination of labels, made ahead, so that what was never seen is 0.
type labelled[T any] map[[2]string]T

func each[T any](first, second []string, make func(labels ...string) T) labelled[T] {
	all := labelled[T]{}
	for _, a := range first {
		if second == nil {
			all[[2]string{a}] = make(a)
		}
		for _, b := range second {
			all[[2]string{a, b}] = make(a, b)
		}
	}
	return all
}

func newPackages(r *prometheus.Registry) *packages {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(v)
		return v
	}
	// From a package of one file to the longest build, by about a factor of two.
	buckets := []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "hearth_package_build_seconds",
		Help: "Time to fetch, check and unpack or build a package that became ready, by whether it has install scripts.", Buckets: buckets}, []string{"kind"})
	settles := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "hearth_package_settle_seconds",
		Help: "Time from seeing a version with dependencies until its packages were there or could not be had, by result.", Buckets: buckets}, []string{"result"})
	p := &packages{
		builds: each(buildKinds, buildOutcomes, counter("hearth_package_builds_total",
			"Builds of packages that ended, by whether the package has install scripts, and outcome.", "kind", "outcome").WithLabelValues),
		seconds: each(buildKinds, nil, seconds.WithLabelValues),
		locks: each(lockResults, nil, counter("hearth_package_locks_total",
			"Manifests for which a lock was asked, by where it came from or what became of it.", "result").WithLabelValues),
		lockTook: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "hearth_package_lock_seconds",
			Help: "Time for npm to resolve a manifest.", Buckets: buckets}),
		settles: each(settleResults, nil, settles.WithLabelValues),
		caches: each(packumentCaches, nil, counter("hearth_registry_packuments_total",
			"Descriptions of packages that were asked for, by result: fresh and stale ones came from the cache, unchanged ones too, once the registry had said so.", "result").WithLabelValues),
		requests: each(requestKinds, requestClasses, counter("hearth_registry_requests_total",
			"Requests to registries, by what for and the class of the status.", "kind", "status").WithLabelValues),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "hearth_registry_bytes_total", Help: "Bytes of bodies that came from registries."}),
		preloaded: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "hearth_preload_seconds",
			Help: "Time for an instance to load the packages of a tree ahead.", Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}),
	}
	r.MustRegister(seconds, settles, p.lockTook, p.bytes, p.preloaded)
	return p
}

// PackageBuilt counts a build that ended.
func (m *Metrics) PackageBuilt(scripts bool, outcome string, took time.Duration) {
	kind := buildKinds[0]
	if scripts {
		kind = buildKinds[1]
	}
	if c := m.packages.builds[[2]string{kind, outcome}]; c != nil {
		c.Inc()
	}
	if outcome == "built" {
		m.packages.seconds[[2]string{kind}].Observe(took.Seconds())
	}
}

// PackagesLocked counts a manifest for which a lock was asked.
func (m *Metrics) PackagesLocked(result string, took time.Duration) {
	if c := m.packages.locks[[2]string{result}]; c != nil {
		c.Inc()
	}
	if result == "resolved" {
		m.packages.lockTook.Observe(took.Seconds())
	}
}

// PackagesSettled observes how long the packages of a version took.
func (m *Metrics) PackagesSettled(result string, took time.Duration) {
	if o := m.packages.settles[[2]string{result}]; o != nil {
		o.Observe(took.Seconds())
	}
}

// RegistryRequest counts a request to a registry; status 0 is one without an answer.
func (m *Metrics) RegistryRequest(kind string, status int) {
	class := requestClasses[0]
	if n := status / 100; n > 0 && n < len(requestClasses) {
		class = requestClasses[n]
	}
	if c := m.packages.requests[[2]string{kind, class}]; c != nil {
		c.Inc()
	}
}

// Packument counts a description of a package that was asked for.
func (m *Metrics) Packument(result string) {
	if c := m.packages.caches[[2]string{result}]; c != nil {
		c.Inc()
	}
}

// RegistryBytes counts what came from a registry.
func (m *Metrics) RegistryBytes(n int64) {
	if n > 0 {
		m.packages.bytes.Add(float64(n))
	}
}

// Preloaded observes how long an instance took to load packages ahead.
func (m *Metrics) Preloaded(took time.Duration) { m.packages.preloaded.Observe(took.Seconds()) }
