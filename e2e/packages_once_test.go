package e2e_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // to look at what is stored, beside the API

	"hearth/e2e/harness"
	"hearth/internal/module/registry/registrytest"
)

// contents counts the contents of the packages whose names begin with prefix, by state.
func contents(t *testing.T, n *harness.Node, prefix string) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, c := range contentRows(t, n, prefix) {
		out[c.state]++
	}
	return out
}

type contentRow struct{ pkg, state string }

func contentRows(t *testing.T, n *harness.Node, prefix string) []contentRow {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(n.DataDir, "node", "hearth.db")+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT package || '@' || version, state FROM contents WHERE substr(package, 1, ?) = ?", len(prefix), prefix)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []contentRow
	for rows.Next() {
		var c contentRow
		if err := rows.Scan(&c.pkg, &c.state); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// crowd is 50 functions of 10 tenants, each with 10 of 40 packages of which some depend on others and
// some have install scripts, and locks that npm made.
type crowd struct {
	prefix string
	files  []M // by function of a tenant
}

const (
	crowdTenants   = 10
	crowdFunctions = 5 // of each tenant
	crowdPackages  = 40
)

func newCrowd(t *testing.T, r *registrytest.Registry, prefix string) *crowd {
	t.Helper()
	c := &crowd{prefix: prefix}
	name := func(k int) string { return fmt.Sprintf("%s-%d", prefix, k%crowdPackages) }
	for k := range crowdPackages {
		about := M{}
		if k > 30 {
			about["dependencies"] = M{name(k - 30): "1"}
		}
		if k%20 == 19 {
			about["scripts"] = M{"install": "node -e \"fs.writeFileSync('made.js', '')\""}
		}
		r.Publish(name(k), "1.0.0", nil, about)
	}
	for f := range crowdFunctions {
		deps, code := M{}, "module.exports = cb => cb(null, ["
		for k := range 10 {
			deps[name(f*8+k)] = "^1.0.0"
			code += fmt.Sprintf("require(%q), ", name(f*8+k))
		}
		text, err := json.Marshal(M{"name": "crowd", "version": "1.0.0", "dependencies": deps})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "package.json"), text, 0o644); err != nil {
			t.Fatal(err)
		}
		npm(t, r, dir, "install", "--package-lock-only")
		lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
		if err != nil {
			t.Fatal(err)
		}
		c.files = append(c.files, M{"package.json": string(text), "package-lock.json": string(lock), "index.js": code + "].length)"})
	}
	return c
}

func (c *crowd) tenant(k int) string { return fmt.Sprintf("%s-t%d", c.prefix, k) }

// put puts function f of a tenant in its form number v, until it is taken.
func (c *crowd) put(t *testing.T, n *harness.Node, tenant, f, v int) {
	path := harness.FunctionPath(c.tenant(tenant), "c", fmt.Sprintf("f%d", f))
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		a := n.API("PUT", path, M{"files": c.files[f], "config": M{"form": v}})
		if a.Err == nil && a.Status < 300 {
			return
		}
		if a.Err == nil && a.Status < 500 && a.Status != 429 || time.Now().After(deadline) {
			t.Errorf("put %s: %d %v %.300s", path, a.Status, a.Err, a.Body)
			return
		}
	}
}

// deployAll puts every function four times, all at the same time, and calls meanwhile.
func (c *crowd) deployAll(t *testing.T, n *harness.Node, meanwhile func()) {
	t.Helper()
	for k := range crowdTenants {
		n.Container(c.tenant(k), "c", nil)
	}
	var all sync.WaitGroup
	for k := range crowdTenants {
		for f := range crowdFunctions {
			for v := range 4 {
				all.Go(func() { c.put(t, n, k, f, v) })
			}
		}
	}
	meanwhile()
	all.Wait()
}

// check waits until every version of every function is ready, and counts contents and requests.
func (c *crowd) check(t *testing.T, n *harness.Node, r *registrytest.Registry, kills int) {
	t.Helper()
	began := time.Now()
	versions := 0
	for k := range crowdTenants {
		for f := range crowdFunctions {
			name := fmt.Sprintf("f%d", f)
			if got := settles(t, n, c.tenant(k), "c", name, 5*time.Minute); got["status"] != "ready" {
				t.Errorf("%s/c/%s: %v", c.tenant(k), name, got)
			}
			var page struct {
				Items []struct{ Status string }
			}
			harness.WaitFor(t, "all versions of "+name+" are settled", 2*time.Minute, func() bool {
				page.Items = nil
				a := n.API("GET", harness.FunctionPath(c.tenant(k), "c", name)+"/versions?limit=100", nil)
				if err := json.Unmarshal(a.Body, &page); err != nil {
					return false
				}
				for _, v := range page.Items {
					if v.Status == "building" {
						return false
					}
				}
				return true
			})
			for _, v := range page.Items {
				versions++
				if v.Status != "ready" {
					t.Errorf("a version of %s/c/%s is %s", c.tenant(k), name, v.Status)
				}
			}
		}
	}
	t.Logf("%d versions were ready %s after the last was put", versions, time.Since(began).Round(time.Millisecond))
	rows := map[string]int{}
	for _, row := range contentRows(t, n, c.prefix+"-") {
		rows[row.pkg]++
		if row.state != "ready" {
			t.Errorf("the content of %s is %s", row.pkg, row.state)
		}
	}
	most := 0
	for k := range crowdPackages {
		pkg := fmt.Sprintf("%s-%d@1.0.0", c.prefix, k)
		if rows[pkg] != 1 {
			t.Errorf("%s has %d contents", pkg, rows[pkg])
		}
		hits := r.Hits(pkg)
		if hits < 1 || hits > 1+kills {
			t.Errorf("%s was fetched %d times, with %d kills", pkg, hits, kills)
		}
		most = max(most, hits)
	}
	t.Logf("%d packages, each with one content, fetched at most %d times, with %d kills", len(rows), most, kills)
	for f := range crowdFunctions {
		if a := n.Call(c.tenant(f), "c", fmt.Sprintf("f%d", f)); a.Text() != "10" {
			t.Errorf("call of f%d: %d %s", f, a.Status, a.Body)
		}
	}
}

// However many deploys ask for a package at the same time, it is fetched and built once in the whole
// system; with the node process killed at random moments all are ready in the end, each content once.
func TestR54_BuiltOnce(t *testing.T) {
	r := registrytest.New(t)
	n := harness.StartWith(t, r, "--pool", "2")
	first := newCrowd(t, r, "once")
	first.deployAll(t, n, func() {})
	first.check(t, n, r, 0)

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	second := newCrowd(t, r, "again")
	const kills = 4
	second.deployAll(t, n, func() {
		for range kills {
			time.Sleep(time.Duration(500+rng.IntN(2500)) * time.Millisecond)
			pid := n.NodePID()
			if pid == 0 {
				continue
			}
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Errorf("kill the node process: %v", err)
			}
			harness.WaitFor(t, "another node process", time.Minute, func() bool { p := n.NodePID(); return p != 0 && p != pid })
			n.WaitReady()
		}
	})
	second.check(t, n, r, kills)
}
