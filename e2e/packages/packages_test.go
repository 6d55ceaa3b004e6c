package packages_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/e2e/harness"
)

// containersOfTenant leaves one instance of a tenant's twenty for a trial beside them.
const containersOfTenant = 19

// atOnce bounds the cases under way: a build may take two processors.
const atOnce = 4

// compileTime bounds what a case waits for its packages: some take a compiler minutes, two at a time.
const compileTime = 40 * time.Minute

// TestCases runs every case in a real hearth, on each runtime: deployed with its dependencies, called
// from outside, compared with the known answer. It takes long and needs a registry.
//
//	HEARTH_PACKAGES=1 go test ./e2e/packages -run 'TestCases$' -timeout 90m
//
// HEARTH_PACKAGES_ONLY takes names of cases, comma separated, and HEARTH_PACKAGES_RUNTIMES runtimes.
func TestCases(t *testing.T) {
	if os.Getenv("HEARTH_PACKAGES") == "" {
		t.Skip("HEARTH_PACKAGES is not set: the table of packages takes an hour and a registry")
	}
	runtimes := []string{"node24", "node26"}
	if only := os.Getenv("HEARTH_PACKAGES_RUNTIMES"); only != "" {
		runtimes = strings.Split(only, ",")
	}
	n := harness.Start(t)
	cases := wantedCases(t)
	for i := 0; i < len(cases); i += containersOfTenant {
		tenant := tenantOf(i)
		limits := harness.M{"limits": harness.M{"memory_mib": 2048}}
		if a := n.API("PUT", "/v1/tenants/"+tenant, limits); a.Status != 201 && a.Status != 200 {
			t.Fatalf("make tenant %s: %d %v %s", tenant, a.Status, a.Err, a.Body)
		}
	}
	var report []string
	for _, runtime := range runtimes {
		var mu sync.Mutex
		results := newTable()
		t.Run(runtime, func(t *testing.T) {
			slots := make(chan struct{}, atOnce)
			for i, c := range cases {
				if !c.worksOn(runtime) {
					continue
				}
				t.Run(c.Name, func(t *testing.T) {
					t.Parallel()
					slots <- struct{}{}
					defer func() { <-slots }()
					if runCase(t, n.For(t), tenantOf(i), runtime, c) {
						mu.Lock()
						defer mu.Unlock()
						results.add(c)
					}
				})
			}
		})
		report = append(report, fmt.Sprintf("%d packages work on %s (%d native)", len(results.works), runtime, len(results.native)))
	}
	fmt.Println(strings.Join(report, ", ")) // README's count: seen without -v
}

func tenantOf(i int) string { return fmt.Sprintf("packages-%d", i/containersOfTenant+1) }

// wantedCases are the cases that run, without those of packages that can't work.
func wantedCases(t *testing.T) []testCase {
	t.Helper()
	return slices.DeleteFunc(loadCases(t), func(c testCase) bool { return c.Cannot != "" || !wantedName(c.Name) })
}

// runCase deploys one case into a container of its own, calls it and removes it, so that memory is there
// for the next.
func runCase(t *testing.T, n *harness.Node, tenant, runtime string, c testCase) bool {
	t.Helper()
	container := "/v1/tenants/" + tenant + "/containers/" + c.Name
	body := harness.M{}
	if c.MemoryMiB != 0 {
		body["limits"] = harness.M{"memory_mib": c.MemoryMiB}
	}
	if a := n.API("PUT", container, body); a.Status != 201 && a.Status != 200 {
		t.Errorf("make container: %d %v %s", a.Status, a.Err, a.Body)
		return false
	}
	defer n.API("DELETE", container+"?recursive=true", nil)
	files := harness.M{}
	for name, text := range c.Files {
		files[name] = text
	}
	document := harness.M{"files": files, "dependencies": c.Dependencies, "runtime": runtime, "timeout_ms": 300_000}
	a := n.API("PUT", harness.FunctionPath(tenant, c.Name, c.Name)+"?wait=5m", document)
	// The same document makes no new version: it only waits longer, for compilers that others keep busy.
	for began := time.Now(); a.JSON()["status"] == "building" && time.Since(began) < compileTime; {
		a = n.API("PUT", harness.FunctionPath(tenant, c.Name, c.Name)+"?wait=5m", document)
	}
	if a.JSON()["status"] != "ready" {
		t.Errorf("deploy: %d %v %.6000s", a.Status, a.Err, a.Body)
		return false
	}
	var header []string
	for k, v := range c.Request.Headers {
		header = append(header, k, v)
	}
	path := "/run/" + tenant + "/" + c.Name + "/" + c.Name
	if rest := c.Request.Path; rest != "" && rest != "/" {
		path += "/" + strings.TrimPrefix(rest, "/")
	}
	a = n.Do(context.Background(), c.method(), path, []byte(c.Request.Body), header...)
	if a.Err != nil {
		t.Error(a.Err)
		return false
	}
	if err := c.check(a.Status, a.Body); err != nil {
		t.Errorf("%v\n%s", err, lastLines(n, tenant, c.Name))
		return false
	}
	return true
}

// lastLines are what a function printed, for the report of a failure.
func lastLines(n *harness.Node, tenant, function string) []byte {
	return n.API("GET", harness.FunctionPath(tenant, function, function)+"/logs?limit=20", nil).Body
}
