package metrics

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v: %s", w.Code, err, body)
	}
	p := expfmt.NewTextParser(model.LegacyValidation)
	if _, err := p.TextToMetricFamilies(strings.NewReader(string(body))); err != nil {
		t.Fatalf("not the format of Prometheus: %v", err)
	}
	return string(body)
}

func wants(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
}

func TestEveryMetricIsThere(t *testing.T) {
	t.Parallel()
	m := New(Config{Version: "v1", Revision: "abc", Log: slog.New(slog.DiscardHandler)})
	number := func(n int64) func() int64 { return func() int64 { return n } }
	m.Watch(Sources{
		PoolInstances:  func() map[string]int { return map[string]int{"node24": 4, "node26": 0} },
		Instances:      func() map[string]int { return map[string]int{"assigned": 2} },
		InstanceMemory: func() (int64, int64) { return 300, 200 },
		QueueWaiting:   func() int { return 5 },
		LogLines:       number(10), LogBytes: number(11), LogDropped: number(12), LogLost: number(13), LogDisk: number(14),
		PackageStates:  func() map[string]int { return map[string]int{"queued": 1, "building": 2, "failed": 3} },
		PackageDisk:    func() (int64, int64) { return 400, 500 },
		PackageEntries: func() map[string]int { return map[string]int{"trees": 6} },
		PackageEvicted: number(7),
		Preloaded:      func() int { return 8 },
	})
	m.PackageBuilt(true, "built", 3*time.Second)
	m.PackageBuilt(true, "retry", time.Hour)
	m.PackageBuilt(false, "what a package says", time.Second)
	m.PackagesLocked("resolved", time.Second)
	m.PackagesLocked("cached", 0)
	m.PackagesSettled("settled", time.Second)
	m.PackagesSettled("what npm says", time.Second)
	m.RegistryRequest("tarball", 200)
	m.RegistryRequest("packument", 0)
	m.RegistryRequest("packument", 999)
	m.RegistryRequest("what a registry says", 200)
	m.Packument("fresh")
	m.Packument("rotten")
	m.RegistryBytes(1000)
	m.RegistryBytes(-1)
	m.Preloaded(time.Second)
	m.Call(200, hearth.StartWarm, 1500*time.Microsecond)
	m.Call(204, hearth.StartWarm, time.Millisecond)
	m.Call(503, "", 10*time.Second)
	m.Call(502, hearth.StartColdLocal, time.Hour)
	m.Call(99, "what a tenant says", -time.Second)
	m.Refilled(true)
	m.Refilled(false)
	m.InstanceStarted(80 * time.Millisecond)
	m.Deployed(hearth.StatusFailed)
	m.Deployed(hearth.StatusBuilding) // not settled
	wants(t, scrape(t, m),
		`hearth_calls_total{start="warm",status="2xx"} 2`,
		`hearth_calls_total{start="none",status="5xx"} 1`,
		`hearth_calls_total{start="cold-local",status="5xx"} 1`,
		`hearth_calls_total{start="none",status="other"} 1`,
		`hearth_calls_total{start="cold-remote",status="2xx"} 0`,
		`hearth_call_duration_seconds_bucket{start="warm",le="0.001"} 1`,
		`hearth_call_duration_seconds_bucket{start="warm",le="0.002"} 2`,
		`hearth_call_duration_seconds_count{start="cold-local"} 1`,
		`hearth_pool_instances{runtime="node24"} 4`,
		`hearth_pool_refills_total{result="ok"} 1`,
		`hearth_pool_refills_total{result="failed"} 1`,
		`hearth_instance_start_seconds_count 1`,
		`hearth_instance_memory_bytes{of="all"} 300`,
		`hearth_instance_memory_bytes{of="largest"} 200`,
		`hearth_instances{state="assigned"} 2`,
		`hearth_queue_waiting 5`,
		`hearth_log_lines_total 10`, `hearth_log_bytes_total 11`, `hearth_log_dropped_lines_total 12`,
		`hearth_log_dropped_bytes_total 13`, `hearth_log_disk_bytes 14`,
		`hearth_packages{state="failed"} 3`, `hearth_package_disk_bytes 400`, `hearth_package_disk_limit_bytes 500`,
		`hearth_package_store_entries{kind="trees"} 6`, `hearth_package_evictions_total 7`, `hearth_preloaded_instances 8`,
		`hearth_package_builds_total{kind="scripted",outcome="built"} 1`, `hearth_package_builds_total{kind="scripted",outcome="retry"} 1`,
		`hearth_package_builds_total{kind="pure",outcome="built"} 0`,
		`hearth_package_build_seconds_count{kind="scripted"} 1`, `hearth_package_build_seconds_count{kind="pure"} 0`,
		`hearth_package_locks_total{result="resolved"} 1`, `hearth_package_locks_total{result="cached"} 1`, `hearth_package_lock_seconds_count 1`,
		`hearth_package_settle_seconds_count{result="settled"} 1`, `hearth_package_settle_seconds_count{result="failed"} 0`,
		`hearth_registry_requests_total{kind="tarball",status="2xx"} 1`, `hearth_registry_requests_total{kind="packument",status="none"} 2`,
		`hearth_registry_packuments_total{result="fresh"} 1`, `hearth_registry_bytes_total 1000`, `hearth_preload_seconds_count 1`,
		`hearth_deploys_total{status="failed"} 1`, `hearth_deploys_total{status="ready"} 0`,
	)
	text := scrape(t, m)
	for _, prefix := range []string{"hearth_build_info{", "go_goroutines ", "process_open_fds "} {
		if !strings.Contains(text, "\n"+prefix) {
			t.Errorf("no metric %s", prefix)
		}
	}
	for _, word := range []string{"tenant says", "package says", "npm says", "registry says", "rotten"} {
		if strings.Contains(text, word) {
			t.Errorf("%q is a label", word)
		}
	}
}

func TestTwoRegistriesAndNoSources(t *testing.T) {
	t.Parallel()
	for range 2 {
		if text := scrape(t, New(Config{})); strings.Contains(text, "hearth_queue_waiting") {
			t.Error("a metric without a source")
		}
	}
}

func TestCallsAreCountedFromEverywhere(t *testing.T) {
	t.Parallel()
	m := New(Config{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				m.Call(200, hearth.StartWarm, time.Millisecond)
			}
		})
	}
	wg.Go(func() { scrape(t, m) })
	wg.Wait()
	wants(t, scrape(t, m), `hearth_calls_total{start="warm",status="2xx"} 8000`)
}

func TestCallAllocatesNothing(t *testing.T) {
	m := New(Config{})
	if n := testing.AllocsPerRun(1000, func() { m.Call(200, hearth.StartWarm, time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	reasons := []string{"the pool is warming up"}
	ready := Readyz(func() []string { return reasons })
	for _, c := range []struct {
		name    string
		handler http.Handler
		method  string
		reasons []string
		status  int
		body    string
	}{
		{"alive", Healthz(), "GET", nil, 200, `{"status":"ok"}`},
		{"head", Healthz(), "HEAD", nil, 200, ``},
		{"post", Healthz(), "POST", nil, 405, ``},
		{"unready", ready, "GET", reasons, 503, `{"status":"unready","reasons":["the pool is warming up"]}`},
		{"ready", ready, "GET", nil, 200, `{"status":"ok"}`},
	} {
		reasons = c.reasons
		w := httptest.NewRecorder()
		c.handler.ServeHTTP(w, httptest.NewRequest(c.method, "/", nil))
		body := strings.TrimSpace(w.Body.String())
		if w.Code != c.status || body != c.body || (body != "" && !json.Valid([]byte(body))) {
			t.Errorf("%s: got %d %q, want %d %q", c.name, w.Code, body, c.status, c.body)
		}
		if c.status == 503 && w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", c.name)
		}
	}
}

func BenchmarkCall(b *testing.B) {
	m := New(Config{})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Call(200, hearth.StartWarm, time.Millisecond)
		}
	})
}
