package metrics

import (
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"hearth"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// starts are the values of the label start; "none" is a call that never reached an instance.
var starts = []hearth.Start{hearth.StartWarm, hearth.StartColdLocal, hearth.StartColdRemote, "none"}

// Sources reads what other rooms hold, at scrape time. Every function must be safe to call at any
// time and quick; a nil one leaves its metric out.
type Sources struct {
	PoolInstances  func() map[string]int // unassigned instances that are ready, by runtime
	Instances      func() map[string]int // live instances by state
	InstanceMemory func() (sum, most int64)
	QueueWaiting   func() int
	LogLines       func() int64 // written, since the start
	LogBytes       func() int64
	LogDropped     func() int64 // lines dropped, since the start
	LogLost        func() int64 // bytes dropped, since the start
	LogDisk        func() int64 // bytes on disk now

	PackageStates  func() map[string]int // packages by state: queued, building, failed (the dead letters)
	PackageDisk    func() (bytes, limit int64)
	PackageEntries func() map[string]int // on this node's disk: contents, packages, trees, held
	PackageEvicted func() int64          // contents, since the start
	Preloaded      func() int            // instances that have loaded packages ahead
}

// Config describes this build.
type Config struct {
	Version, Revision string
	Log               *slog.Logger
}

// Metrics counts what happens on this node. Its methods are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	log      *slog.Logger
	calls    [][6]prometheus.Counter // by start, by status class; class 0 is what is not 1xx to 5xx
	duration []prometheus.Observer   // by start
	refills  [2]prometheus.Counter   // failed, ok
	started  prometheus.Histogram
	deploys  map[hearth.Status]prometheus.Counter
	packages *packages
	sources  atomic.Pointer[Sources]
}

// New makes a registry with every series that the node will ever have.
func New(cfg Config) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), log: cfg.Log, deploys: map[hearth.Status]prometheus.Counter{}}
	m.sources.Store(&Sources{})
	m.packages = newPackages(m.registry)

	calls := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hearth_calls_total",
		Help: "Calls answered, by status class and how they found their instance."}, []string{"status", "start"})
	// From 100 µs, below a warm call, by about a factor of two to the longest time limit.
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "hearth_call_duration_seconds",
		Help:    "Time from a call's header to the end of its answer, by how it found its instance.",
		Buckets: []float64{.0001, .00025, .0005, .001, .002, .003, .005, .0075, .01, .015, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900}}, []string{"start"})
	for _, s := range starts {
		var byClass [6]prometheus.Counter
		for class, label := range []string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"} {
			byClass[class] = calls.WithLabelValues(label, string(s))
		}
		m.calls = append(m.calls, byClass)
		m.duration = append(m.duration, duration.WithLabelValues(string(s)))
	}

	refills := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hearth_pool_refills_total",
		Help: "Instances started for the pool, by result."}, []string{"result"})
	m.refills = [2]prometheus.Counter{refills.WithLabelValues("failed"), refills.WithLabelValues("ok")}
	m.started = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "hearth_instance_start_seconds",
		Help:    "Time from asking for an instance until it was exercised.",
		Buckets: []float64{.025, .05, .075, .1, .15, .2, .3, .5, .75, 1, 2, 5, 10, 30}})
	deploys := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hearth_deploys_total",
		Help: "Versions settled, by status."}, []string{"status"})
	for _, s := range []hearth.Status{hearth.StatusReady, hearth.StatusFailed} {
		m.deploys[s] = deploys.WithLabelValues(string(s))
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "hearth_build_info", Help: "Always 1; what is running.",
		ConstLabels: prometheus.Labels{"version": cfg.Version, "revision": cfg.Revision, "go": runtime.Version()}})
	build.Set(1)

	m.registry.MustRegister(calls, duration, refills, m.started, deploys, build, sources{m},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Watch sets where the gauges are read from.
func (m *Metrics) Watch(s Sources) { m.sources.Store(&s) }

// Call counts one call. A start that is none of hearth's counts as "none": no instance was reached.
func (m *Metrics) Call(status int, start hearth.Start, took time.Duration) {
	i := slices.Index(starts, start)
	if i < 0 {
		i = len(starts) - 1
	}
	class := status / 100
	if class < 1 || class > 5 {
		class = 0
	}
	m.calls[i][class].Inc()
	m.duration[i].Observe(took.Seconds())
}

// Refilled counts one start for the pool.
func (m *Metrics) Refilled(ok bool) {
	if ok {
		m.refills[1].Inc()
	} else {
		m.refills[0].Inc()
	}
}

// InstanceStarted observes how long an instance took from the order until it was exercised.
func (m *Metrics) InstanceStarted(took time.Duration) { m.started.Observe(took.Seconds()) }

// Deployed counts a version that became ready or failed.
func (m *Metrics) Deployed(s hearth.Status) {
	if c := m.deploys[s]; c != nil {
		c.Inc()
	}
}

// Handler answers /metrics in the formats of Prometheus and OpenMetrics. Who may ask is decided before it.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		// One bad collector hides itself, not the rest.
		ErrorHandling:       promhttp.ContinueOnError,
		ErrorLog:            errorLog{m.log},
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
		EnableOpenMetrics:   true,
	})
}

type errorLog struct{ log *slog.Logger }

func (l errorLog) Println(v ...any) {
	if l.log != nil {
		l.log.Warn("metrics could not be gathered", "err", v)
	}
}
