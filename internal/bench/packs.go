package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hearth/client"
)

// PackageOptions say how packages are measured.
type PackageOptions struct {
	Program  string        // hearth, of which bench starts one
	DataDir  string        // of a hearth whose images are copied; need not be there
	Node     string        // the Node.js binary of the bare side; "": that of the image
	Npm      string        // "": looked up in PATH
	Fresh    int           // rounds in which nothing is known or cached on either side
	Cold     int           // first calls of each size
	Known    int           // deploys of packages that are known
	Deploys  int           // functions of the disk row, five a tenant
	Budget   time.Duration // rows that have not begun by then are left out
	Progress func(string)
}

// PackageDefaults take about five minutes on two processors.
func PackageDefaults() PackageOptions {
	return PackageOptions{Fresh: 4, Cold: 10, Known: 10, Deploys: 100, Budget: 6 * time.Minute}
}

type packs struct {
	PackageOptions
	report *Report
	node   *ownNode
	npm    npm
	apps   map[string]*app
	began  time.Time
	calls  map[string]int // by path: how many call records a function has

	ciCached, ciBare map[string]float64 // npm ci by app, in ms
	phases           map[string]*phases
	points           map[string]map[string]float64 // by series, then by app
	leftOut          bool                          // the large set
	without600       error                         // why there is no function with the tree of the linking rows
}

// RunPackages measures packages: it starts a hearth of its own beside npm and bare Node.js, and returns the
// report, also a partial one beside an error. It leaves nothing behind.
func RunPackages(ctx context.Context, o PackageOptions) (_ *Report, err error) {
	b := &packs{PackageOptions: o, report: newReport(), apps: map[string]*app{}, began: time.Now(), calls: map[string]int{},
		ciCached: map[string]float64{}, ciBare: map[string]float64{}, phases: map[string]*phases{}, points: map[string]map[string]float64{}}
	if err := b.check(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "hearth-bench-")
	if err != nil {
		return nil, err
	}
	b.node.dir, b.npm.dir = dir, filepath.Join(dir, "npm")
	defer func() {
		b.say("ending the hearth of bench")
		err = errors.Join(err, b.node.stop(), os.RemoveAll(dir))
	}()
	// The node's account passes through to its own folders.
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // nothing secret is in it
		return nil, err
	}
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{b.fresh, b.onDisk, b.remote, b.linking, b.preloaded, b.known, b.disk} {
		if err := step(ctx); err != nil {
			b.plots()
			return b.report, err
		}
	}
	b.plots()
	return b.report, nil
}

func (b *packs) check() error {
	for name, v := range map[string][3]int{"fresh": {b.Fresh, 1, 100}, "cold": {b.Cold, 3, 15}, "known": {b.Known, 1, 1000}, "deploys": {b.Deploys, 5, 1000}} {
		if v[0] < v[1] || v[0] > v[2] {
			return fmt.Errorf("%s is %d; it must be from %d to %d", name, v[0], v[1], v[2])
		}
	}
	if os.Geteuid() != 0 {
		return errors.New("bench --packages starts a hearth, which needs root")
	}
	if b.Progress == nil {
		b.Progress = func(string) {}
	}
	var err error
	if b.npm.program = b.Npm; b.Npm == "" {
		if b.npm.program, err = exec.LookPath("npm"); err != nil {
			return fmt.Errorf("find npm: %w", err)
		}
	}
	b.node = &ownNode{program: b.Program}
	b.report.CPUs, b.report.Kernel = runtime.NumCPU(), kernel()
	return nil
}

func (b *packs) say(format string, args ...any) { b.Progress(fmt.Sprintf(format, args...)) }

// late says whether the time for new rows is over, and adds what is left out for that.
func (b *packs) late(rows ...Row) bool {
	if time.Since(b.began) < b.Budget {
		return false
	}
	for _, r := range rows {
		r.Missing = fmt.Sprintf("%s were over; ask for more with --budget", b.Budget)
		b.report.add(r)
	}
	return true
}

// prepare makes the locks, two at a time, while the node makes its images.
func (b *packs) prepare(ctx context.Context) error {
	b.say("npm makes the locks of %d sets of packages", len(sets))
	registry, err := exec.CommandContext(ctx, b.npm.program, "config", "get", "registry").Output()
	if err != nil {
		return fmt.Errorf("npm config get registry: %w", err)
	}
	b.node.registry = strings.TrimSpace(string(registry)) // that locks name
	if err := b.node.borrow(ctx, b.DataDir); err != nil {
		return err
	}
	type result struct {
		a   *app
		err error
	}
	results := make([]result, len(sets))
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 2 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(sets); i = int(next.Add(1)) - 1 {
				results[i].a, results[i].err = b.npm.app(ctx, sets[i])
			}
		})
	}
	err = b.node.start(ctx)
	wg.Wait()
	for _, r := range results {
		if r.err != nil {
			return errors.Join(err, r.err)
		}
		b.apps[r.a.name] = r.a
	}
	if err != nil {
		return err
	}
	// Of the copy, which nobody else changes.
	if b.Node == "" {
		if b.Node, err = FindNode(b.node.data()); err != nil {
			return err
		}
	}
	out, err := exec.CommandContext(ctx, b.Node, "--version").Output()
	if err != nil {
		return fmt.Errorf("run %s: %w", b.Node, err)
	}
	b.report.Node = strings.TrimSpace(string(out))
	return b.node.stop()
}

// anew stops the node, changes what it has, and starts it.
func (b *packs) anew(ctx context.Context, change func() error, flags ...string) error {
	if err := b.node.stop(); err != nil {
		return err
	}
	if change != nil {
		if err := change(); err != nil {
			return err
		}
	}
	return b.node.start(ctx, flags...)
}

// place makes tenant and container.
func (b *packs) place(ctx context.Context, tenant, container string) error {
	if _, err := b.node.api.PutTenant(ctx, tenant, client.TenantSpec{}, client.IfNoneMatch()); err != nil && !client.IsCode(err, "precondition_failed") {
		return err
	}
	_, err := b.node.api.PutContainer(ctx, tenant, container, client.ContainerSpec{}, client.IfNoneMatch())
	if client.IsCode(err, "precondition_failed") {
		return nil
	}
	return err
}

// deployTime bounds one deploy.
const deployTime = 2 * time.Minute

// put deploys a's function and returns the time from the request until it was ready. Without locked npm resolves
// it, in the node.
func (b *packs) put(ctx context.Context, a *app, tenant, container, function, note string, locked bool) (time.Duration, error) {
	spec := client.FunctionSpec{Files: map[string]client.File{"index.js": client.File(a.code + "// " + note + "\n")}, Dependencies: a.direct}
	if locked && len(a.direct) > 0 {
		spec.Files["package-lock.json"] = a.lock
	}
	began := time.Now()
	f, err := b.node.api.PutFunction(ctx, tenant, container, function, spec, deployTime)
	took := time.Since(began)
	switch {
	case err != nil:
		return 0, fmt.Errorf("deploy %s: %w", a.name, err)
	case f.Status == client.Failed && f.Error != nil:
		return 0, fmt.Errorf("deploy %s: it failed: %.500s", a.name, f.Error.Message)
	case f.Status != client.Ready:
		return 0, fmt.Errorf("deploy %s: it is %s after %s", a.name, f.Status, took)
	}
	return took, nil
}

// deploy is place and put.
func (b *packs) deploy(ctx context.Context, a *app, tenant, container string) (time.Duration, error) {
	if err := b.place(ctx, tenant, container); err != nil {
		return 0, err
	}
	if err := b.settle(ctx); err != nil {
		return 0, err
	}
	return b.put(ctx, a, tenant, container, "f", "", true)
}

// settle waits until the pool of generic instances is full.
func (b *packs) settle(ctx context.Context) error {
	h := Hearth{Client: b.node.api}
	for until := time.Now().Add(time.Minute); time.Now().Before(until); {
		if size, ready, err := h.Pool(ctx); err != nil {
			return fmt.Errorf("ask for the pool: %w", err)
		} else if ready >= size {
			return nil
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("the pool is not full after a minute")
}

// fresh measures deploys of what nobody has used: in each round a node that knows nothing, and npm with an empty cache.
// The two packages that come alone in one round come beside 60 in the next, so that both sides had both.
func (b *packs) fresh(ctx context.Context) error {
	var put, ci, alone, beside []float64
	a := b.apps["120"]
	one := Row{What: fmt.Sprintf("PUT → ready with a lock, %d packages that nobody has used", a.count), Unit: "ms", Against: "npm ci, nothing cached", Goal: "≤ 1.0 ×", RatioUnit: "×"}
	two := Row{What: fmt.Sprintf("PUT → ready, one new package among %d known", b.apps["60"].count), Unit: "ms", Against: "that package alone", Goal: "≤ alone + 300 ms", RatioUnit: "ms more"}
	for i := range b.Fresh {
		if i > 0 && time.Since(b.began) > b.Budget/3 {
			break
		}
		b.say("packages that nobody has used, round %d of %d", i+1, b.Fresh)
		first, second := "x", "y"
		if i%2 == 1 {
			first, second = second, first
		}
		npmFirst := i%2 == 1
		npmCI := func() error {
			took, err := b.npm.ci(ctx, a, false)
			ci = append(ci, ms(took))
			return err
		}
		if npmFirst {
			if err := npmCI(); err != nil {
				return err
			}
		}
		if err := b.anew(ctx, b.node.forget, "--preload-memory", "1MiB"); err != nil {
			return err
		}
		for _, step := range []struct {
			app  string
			into *[]float64
		}{{"120", &put}, {first, &alone}, {"60", nil}, {"60" + second, &beside}} {
			took, err := b.deploy(ctx, b.apps[step.app], "fresh-"+step.app, "c")
			if err != nil {
				return err
			}
			if step.into != nil {
				*step.into = append(*step.into, ms(took))
			}
		}
		if !npmFirst {
			if err := npmCI(); err != nil {
				return err
			}
		}
	}
	one.Hearth, one.Other = median(put), median(ci)
	one.Ratio = one.Hearth / one.Other
	one.Met, one.Starts = one.Ratio <= 1, counts{"rounds": len(put)}
	b.report.add(one)
	two.Hearth, two.Other = median(beside), median(alone)
	two.Ratio = two.Hearth - two.Other
	two.Met, two.Starts = two.Ratio <= 300, counts{"rounds": len(put)}
	b.report.add(two)
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// sizes are what first calls are measured with.
var sizes = []string{"0", "10", "60", "100", "1000"}

const large = "1000" // the last of sizes, which takes the longest

// few is how often the largest set is called: it takes seconds.
const few = 3

func (b *packs) coldCalls(size string) int {
	if size == large {
		return min(few, b.Cold)
	}
	return b.Cold
}

// onDisk measures first calls with the packages on the node's disk and no instance that has loaded them, each
// beside the same first call in a fresh Node.js process.
func (b *packs) onDisk(ctx context.Context) error {
	if b.late(Row{What: "first calls, packages on disk"}) {
		return nil
	}
	present := sizes
	for _, size := range sizes {
		a := b.apps[size]
		if size == large && time.Since(b.began) > b.Budget/3 {
			b.report.add(Row{What: fmt.Sprintf("first call p50, %d packages", a.count), Missing: "a third of the time was over before it; ask for more with --budget"})
			present = sizes[:len(sizes)-1]
			b.leftOut = true
			break
		}
		b.say("npm ci of %d packages, nothing cached, then cached", a.count)
		if a.count > 0 {
			for _, one := range []struct {
				cached bool
				into   map[string]float64
			}{{false, b.ciBare}, {true, b.ciCached}} {
				took, err := b.npm.ci(ctx, a, one.cached)
				if err != nil {
					return err
				}
				one.into[size] = ms(took)
			}
		}
		b.say("deploying %d functions with %d packages", b.coldCalls(size), a.count)
		for i := range b.coldCalls(size) {
			_, err := b.deploy(ctx, a, "size-"+size, fmt.Sprintf("c%d", i))
			if size == large && err != nil && ctx.Err() == nil {
				// It may not load in time where others use the machine; the other sizes are worth having all the same.
				b.report.add(Row{What: fmt.Sprintf("first call p50, %d packages", a.count), Missing: err.Error()})
				present = sizes[:len(sizes)-1]
				b.leftOut = true
				break
			}
			if err != nil {
				return err
			}
		}
	}
	if _, err := b.deploy(ctx, b.apps["600"], "size-600", "c0"); err != nil {
		b.without600 = err
	}
	// The trials' instances are gone then, and nothing of them is in a cache of the node.
	if err := b.anew(ctx, nil, "--preload-memory", "1MiB"); err != nil {
		return err
	}
	cold, node := map[string]*sample{}, map[string]*sample{}
	for _, size := range present {
		cold[size], node[size] = newSample(), newSample()
	}
	for i := range b.Cold {
		b.say("first calls with packages on disk, %d of %d", i+1, b.Cold)
		for _, size := range present {
			if i >= b.coldCalls(size) {
				continue
			}
			took, err := bare(ctx, b.Node, b.apps[size])
			if err != nil {
				return err
			}
			record(node[size].times, took)
			if err := b.first(ctx, size, i, "on disk", cold[size]); err != nil {
				return err
			}
		}
	}
	for _, size := range present {
		b.point("cold call, packages on disk", size, cold[size].quantile(50))
		b.point("fresh bare Node.js", size, node[size].quantile(50))
		row := Row{What: fmt.Sprintf("first call p50, %d packages on disk, not preloaded", b.apps[size].count), Unit: "ms", Hearth: cold[size].quantile(50),
			Other: node[size].quantile(50), Against: "the same in a fresh bare node", RatioUnit: "×", Starts: cold[size].starts}
		row.Ratio = row.Hearth / row.Other
		if size == "60" {
			row.Goal, row.Met = "≤ 1.0 ×", row.Ratio <= 1
		}
		b.report.add(row)
	}
	return nil
}

// first makes the first call of container i of a size, on an open connection, and reads what the node
// recorded of it.
func (b *packs) first(ctx context.Context, size string, i int, kind string, into *sample) error {
	if err := b.settle(ctx); err != nil {
		return err
	}
	if err := sleep(ctx, 100*time.Millisecond); err != nil {
		return err
	}
	c, err := dial(ctx, b.node.addr)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // nothing is lost
	tenant, container := "size-"+size, fmt.Sprintf("c%d", i)
	t := target{addr: b.node.addr, host: b.node.addr, path: "/run/" + tenant + "/" + container + "/f"}
	took, a, err := once(c, t)
	if err != nil && a.status == 0 {
		return err
	}
	call, rerr := b.record(ctx, tenant, container, t.path)
	if err = errors.Join(err, rerr); err != nil {
		return fmt.Errorf("%w %s %s after %s", err, call.Reason, call.Error, took.Round(time.Millisecond))
	}
	record(into.times, took)
	into.starts[a.start]++
	p := b.phases[kind+" "+size]
	if p == nil {
		p = &phases{}
		b.phases[kind+" "+size] = p
	}
	p.add(call)
	return nil
}

// record returns the record of the newest call of a function that only bench calls.
func (b *packs) record(ctx context.Context, tenant, container, path string) (client.Call, error) {
	b.calls[path]++
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); {
		list, _, err := b.node.api.ReadLogs(ctx, tenant, container, "f", "", 100)
		if err != nil {
			return client.Call{}, err
		}
		n := 0
		for _, e := range list {
			if e.Call == nil {
				continue
			}
			if n++; n == b.calls[path] {
				return *e.Call, nil
			}
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return client.Call{}, err
		}
	}
	return client.Call{}, fmt.Errorf("the call of %s is not in its log", path)
}

// remote measures first calls with the packages in the blob store only.
func (b *packs) remote(ctx context.Context) error {
	row := Row{What: fmt.Sprintf("first call p50, %d packages only in the blob store", b.apps["60"].count), Unit: "ms", Against: "on disk", Goal: "≤ 2 ×", RatioUnit: "×"}
	if b.late(row) {
		return nil
	}
	s := newSample()
	for i := range few {
		b.say("first call with packages only in the blob store, %d of %d", i+1, few)
		if err := b.anew(ctx, b.node.evict, "--preload-memory", "1MiB"); err != nil {
			return err
		}
		if err := b.first(ctx, "60", i, "remote", s); err != nil {
			if ctx.Err() != nil {
				return err
			}
			row.Missing = err.Error() // on a busy machine it may take longer than a request may wait
			break
		}
	}
	row.Hearth, row.Other, row.Starts = s.quantile(50), b.points["cold call, packages on disk"]["60"], s.starts
	row.Ratio = row.Hearth / row.Other
	row.Met = row.Ratio <= 2
	b.report.add(row)
	return nil
}

// linking measures how long the first call on a node waits for a large tree to be linked.
func (b *packs) linking(ctx context.Context) error {
	rows := []Row{
		{What: fmt.Sprintf("linking a tree of %d packages that are on disk", b.apps["600"].count), Unit: "ms", Goal: "≤ 150 ms"},
		{What: "the same, packages too: their contents are on disk", Unit: "ms"},
	}
	if b.late(rows...) {
		return nil
	}
	if b.without600 != nil {
		for _, r := range rows {
			r.Missing = b.without600.Error()
			b.report.add(r)
		}
		return nil
	}
	b.say("linking a large tree")
	// What remote evicted comes back first.
	for try := 0; ; try++ {
		err := b.first(ctx, "600", 0, "remote", newSample())
		if err == nil {
			break
		}
		if try == few || ctx.Err() != nil {
			return err
		}
		b.say("the first call has not got its packages in time: %v", err)
	}
	for i := range rows {
		var list []float64
		starts := newSample()
		for range few {
			if err := b.anew(ctx, func() error { return b.node.unlink(i == 1) }, "--preload-memory", "1MiB"); err != nil {
				return err
			}
			kind := fmt.Sprint("link", i)
			delete(b.phases, kind+" 600")
			if err := b.first(ctx, "600", 0, kind, starts); err != nil {
				return err
			}
			list = append(list, b.phases[kind+" 600"].of[2][0])
		}
		rows[i].Hearth, rows[i].Starts = median(list), starts.starts
		rows[i].Met = rows[i].Hearth <= 150
		b.report.add(rows[i])
	}
	return nil
}

// preloaded measures first calls with instances that have loaded the packages ahead, beside first calls of
// functions without packages.
func (b *packs) preloaded(ctx context.Context) error {
	row := Row{What: fmt.Sprintf("first call p50, %d packages, preloaded", b.apps["60"].count), Unit: "ms", Against: "first call with none", Goal: "≤ 1.5 ×", RatioUnit: "×"}
	if b.late(row) {
		return nil
	}
	// With the default memory, as a hearth has it.
	if err := b.anew(ctx, nil); err != nil {
		return err
	}
	list := []string{"60", "10", "100"}
	if !b.leftOut {
		list = append(list, large)
	}
	warming := newSample()
	s, none := map[string]*sample{}, newSample()
	for _, size := range list {
		s[size] = newSample()
	}
	before := b.preloads(ctx)
	const toWant = 2 // first calls before a tree gets an instance
	for i := range b.Cold {
		b.say("first calls, preloaded, %d of %d", i+1, b.Cold)
		taken := 0
		for _, size := range list {
			if i >= b.coldCalls(size) {
				continue
			}
			into, kind := s[size], "preloaded"
			if i < toWant {
				into, kind = warming, "warming"
			}
			if err := b.first(ctx, size, i, kind, into); err != nil {
				return err
			}
			if i >= toWant-1 && i+1 < b.coldCalls(size) {
				taken++
			}
		}
		if i >= toWant {
			if err := b.first(ctx, "0", i, "preloaded", none); err != nil {
				return err
			}
		}
		if err := b.awaitPreloads(ctx, before+float64(taken)); err != nil {
			return err
		}
		before = b.preloads(ctx)
	}
	for _, size := range list {
		if s[size].times.TotalCount() == 0 {
			continue
		}
		r := row
		if size != "60" {
			r.What, r.Goal = fmt.Sprintf("first call p50, %d packages, preloaded", b.apps[size].count), ""
		}
		// A call that did not get such an instance loaded its packages itself.
		p, slow := b.phases["preloaded "+size], b.phases["on disk "+size]
		hit := p.quicker(slow.median(phaseLoad) / 2)
		r.Starts = counts{"preloaded": hit}
		for k, n := range s[size].starts {
			r.Starts[k] = n
		}
		r.Hearth, r.Other = s[size].quantile(50), none.quantile(50)
		r.Ratio = r.Hearth / r.Other
		r.Met = r.Goal != "" && r.Ratio <= 1.5
		if hit*2 < int(s[size].times.TotalCount()) {
			r.Missing = fmt.Sprintf("only %d of %d calls got an instance that had loaded them", hit, s[size].times.TotalCount())
			delete(b.phases, "preloaded "+size)
		} else {
			b.point("cold call, preloaded", size, r.Hearth)
		}
		b.report.add(r)
	}
	return nil
}

// preloads is how many instances have loaded packages ahead since the node's start; 0 if it does not say.
func (b *packs) preloads(ctx context.Context) float64 {
	v, err := Hearth{URL: "http://" + b.node.addr, Token: b.node.token}.metric(ctx, "hearth_preload_seconds_count")
	if err != nil {
		return 0
	}
	return v
}

// awaitPreloads waits until so many instances have loaded packages ahead. One that never does (it is refused,
// or there is no memory) shows in the row.
func (b *packs) awaitPreloads(ctx context.Context, want float64) error {
	for until := time.Now().Add(8 * time.Second); b.preloads(ctx) < want && time.Now().Before(until); {
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return sleep(ctx, 100*time.Millisecond) // until it is frozen
}

// known measures deploys of a manifest whose packages are all known.
func (b *packs) known(ctx context.Context) error {
	a := b.apps["60"]
	row := Row{What: fmt.Sprintf("PUT → ready, manifest of %d packages, all known", a.count), Unit: "ms", Against: "npm ci, full cache", Goal: "< 1 s and < 0.1 ×", RatioUnit: "×"}
	if b.late(row) {
		return nil
	}
	b.say("deploys of known packages")
	// Without preloaded instances, which would make the trial quick.
	if err := b.anew(ctx, nil, "--preload-memory", "1MiB"); err != nil {
		return err
	}
	if err := b.place(ctx, "known", "c"); err != nil {
		return err
	}
	if took, err := b.put(ctx, a, "known", "c", "first", "", false); err != nil {
		return err
	} else { //nolint:revive // took is of this branch only
		b.report.add(Row{What: "PUT → ready, the same manifest, locked for the first time", Unit: "ms", Hearth: ms(took), Starts: counts{"deploys": 1}})
	}
	var put, ci []float64
	for i := range b.Known {
		if i%max(b.Known/few, 1) == 0 {
			took, err := b.npm.ci(ctx, a, true)
			if err != nil {
				return err
			}
			ci = append(ci, ms(took))
		}
		if err := b.settle(ctx); err != nil {
			return err
		}
		took, err := b.put(ctx, a, "known", "c", fmt.Sprint("f", i), fmt.Sprint(i), false)
		if err != nil {
			return err
		}
		put = append(put, ms(took))
	}
	row.Hearth, row.Other, row.Starts = median(put), median(ci), counts{"deploys": len(put)}
	row.Ratio = row.Hearth / row.Other
	row.Met = row.Hearth < 1000 && row.Ratio < 0.1
	b.report.add(row)
	return nil
}

// ofTenant is how many functions of the disk row a tenant has.
const ofTenant = 5

// disk measures what many functions with the same packages take of the disk.
func (b *packs) disk(ctx context.Context) error {
	a := b.apps["60"]
	rows := []Row{
		{What: "disk: package store", Unit: "MiB", Goal: "≤ 1/20", RatioUnit: "of it"},
		{What: "disk: blob store", Unit: "MiB", Goal: "≤ 1/40", RatioUnit: "of it"},
	}
	if b.late(rows...) {
		return nil
	}
	b.say("deploying %d functions with the same packages", b.Deploys)
	if err := b.anew(ctx, b.node.forget, "--preload-memory", "1MiB"); err != nil {
		return err
	}
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		done atomic.Int64
		errs = make([]error, 4)
	)
	for w := range errs {
		wg.Go(func() {
			for {
				// A tenant at a time, so that its functions come one after the other.
				t := int(next.Add(1)) - 1
				if t*ofTenant >= b.Deploys || time.Since(b.began) > b.Budget {
					return
				}
				tenant := fmt.Sprintf("disk-%d", t)
				if errs[w] = b.place(ctx, tenant, "c"); errs[w] != nil {
					return
				}
				for i := range min(ofTenant, b.Deploys-t*ofTenant) {
					if _, errs[w] = b.put(ctx, a, tenant, "c", fmt.Sprint("f", i), fmt.Sprint(t, i), true); errs[w] != nil {
						return
					}
					done.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if _, err := b.npm.ci(ctx, a, true); err != nil {
		return err
	}
	one, err := usage(filepath.Join(a.dir, "node_modules"))
	if err != nil {
		return err
	}
	n := done.Load()
	const mib = 1 << 20
	for i, folder := range []string{"packages", "blobs"} {
		have, err := usage(b.node.data("node", folder))
		if err != nil {
			return err
		}
		r := rows[i]
		r.What = fmt.Sprintf("%s, %d functions of %d tenants, the same %d packages", r.What, n, (n+ofTenant-1)/ofTenant, a.count)
		r.Hearth, r.Other = float64(have)/mib, float64(one*n)/mib
		r.Against = fmt.Sprintf("%d × npm ci of %s", n, figure(float64(one)/mib, "MiB"))
		r.Ratio = r.Hearth / r.Other
		r.Met = r.Ratio <= []float64{1. / 20, 1. / 40}[i]
		b.report.add(r)
	}
	return nil
}

func (b *packs) point(series, size string, v float64) {
	if b.points[series] == nil {
		b.points[series] = map[string]float64{}
	}
	b.points[series][size] = v
}
