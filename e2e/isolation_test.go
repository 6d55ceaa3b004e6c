package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hearth/e2e/harness"
)

// mark leaves a canary wherever a function can leave one.
const mark = `
const fs = require('fs'), net = require('net'), http = require('http'), {spawn} = require('child_process'), crypto = require('crypto')
let port
module.exports = async ctx => {
	const canary = ctx.query.canary
	if (port) return {port}
	globalThis.canary = canary
	process.env.CANARY = canary
	process.title = 'title-' + canary
	fs.writeFileSync('/tmp/' + canary, canary)
	fs.writeFileSync('/dev/shm/' + canary, canary)
	spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', canary], {env: {CHILD: canary}, stdio: 'ignore'})
	await new Promise((ok, bad) => net.createServer(c => c.end(canary)).on('error', bad).listen('\0' + canary, ok))
	await new Promise((ok, bad) => net.createServer(c => c.end(canary)).on('error', bad).listen('/tmp/' + canary + '.sock', ok))
	const tcp = net.createServer(c => c.end(canary))
	await new Promise((ok, bad) => tcp.on('error', bad).listen(0, '127.0.0.1', ok))
	return {port: port = tcp.address().port}
}`

// probe looks for a canary wherever one could be found, and says where it was.
const probe = `
const fs = require('fs'), net = require('net')
const connect = to => new Promise(done => {
	let got = ''
	net.connect(to).on('data', d => got += d).on('error', () => done(got)).on('close', () => done(got)).setTimeout(2000, function () { this.destroy() })
})
const read = f => { try { return fs.readFileSync(f, 'latin1') } catch { return '' } }
const list = d => { try { return fs.readdirSync(d) } catch { return [] } }
module.exports = async ctx => {
	const {canary, port} = ctx.query, found = {}
	const look = (where, text) => { if (String(text).includes(canary)) found[where] = true }
	look('globalThis', globalThis.canary)
	look('process.env', JSON.stringify(process.env))
	const walk = (where, dir, depth) => { for (const name of list(dir)) {
		look(where, name)
		const file = dir + '/' + name
		let st; try { st = fs.lstatSync(file) } catch { continue }
		if (st.isDirectory() && depth < 6) walk(where, file, depth + 1)
		else if (st.isFile() && st.size < 1 << 20) look(where, read(file))
	} }
	walk('/tmp', '/tmp', 0); walk('/dev/shm', '/dev/shm', 0); walk('/fn', '/fn', 0)
	const pids = list('/proc').filter(n => /^\d+$/.test(n))
	for (const pid of pids) {
		look('cmdline', read('/proc/' + pid + '/cmdline')); look('environ', read('/proc/' + pid + '/environ')); look('status', read('/proc/' + pid + '/status'))
		look('cgroup', read('/proc/' + pid + '/cgroup')); look('mountinfo', read('/proc/' + pid + '/mountinfo'))
		for (const dir of ['root', 'cwd']) for (const name of list('/proc/' + pid + '/' + dir + '/tmp')) look('proc ' + dir, name)
	}
	const unix = read('/proc/net/unix')
	look('/proc/net/unix', unix)
	if (read('/proc/net/tcp').toLowerCase().includes(':' + (+port).toString(16).padStart(4, '0') + ' 00000000:0000 0a')) found['/proc/net/tcp'] = true
	look('abstract socket', await connect('\0' + canary))
	look('socket file', await connect('/tmp/' + canary + '.sock'))
	look('tcp', await connect({host: '127.0.0.1', port: +port}))
	return {found: Object.keys(found).sort(), pids: pids.length, unix, fn: list('/fn'), mounts: read('/proc/self/mountinfo')}
}`

// everywhere is where a function of the same container finds the canary: so the probe can see.
var everywhere = []string{"/dev/shm", "/fn", "/proc/net/tcp", "/proc/net/unix", "/tmp", "abstract socket", "cmdline", "environ", "globalThis",
	"proc cwd", "proc root", "process.env", "socket file", "tcp"}

// Two functions of one container share everything; two containers, of one tenant or of two, nothing.
func TestContainersShareNothing(t *testing.T) {
	t.Parallel()
	n := shared(t)
	const canary = "canary-f3a9"
	for _, c := range [][2]string{{"isolated", "one"}, {"isolated", "two"}, {"isolated-too", "one"}} {
		n.Deploy(c[0], c[1], "probe", probe)
	}
	n.DeployBody("isolated", "one", "mark", M{"code": mark, "secrets": M{"KEY": canary}}) // in /fn of its own instance
	a := n.Do(t.Context(), "GET", "/run/isolated/one/mark?canary="+canary, nil)
	port, ok := a.JSON()["port"].(float64)
	if !ok {
		t.Fatalf("mark: %d %s", a.Status, a.Body)
	}
	look := func(tenant, container string) (found []string, answer M) {
		t.Helper()
		a := n.Do(t.Context(), "GET", fmt.Sprintf("/run/%s/%s/probe?canary=%s&port=%d", tenant, container, canary, int(port)), nil)
		var got struct{ Found []string }
		if err := json.Unmarshal(a.Body, &got); err != nil || a.Status != 200 {
			t.Fatalf("probe: %d %v %.500s", a.Status, a.Err, a.Body)
		}
		return got.Found, a.JSON()
	}
	same, answer := look("isolated", "one")
	for _, where := range everywhere {
		if !slices.Contains(same, where) {
			t.Errorf("the other function of the container does not see the canary in %s, only in %v", where, same)
		}
	}
	if fn := fmt.Sprint(answer["fn"]); fn != "[mark probe]" {
		t.Errorf("/fn holds %s", fn)
	}
	for _, c := range [][2]string{{"isolated", "two"}, {"isolated-too", "one"}} {
		found, answer := look(c[0], c[1])
		if len(found) > 0 {
			t.Errorf("%s/%s sees the canary in %v", c[0], c[1], found)
		}
		if fn := fmt.Sprint(answer["fn"]); fn != "[probe]" {
			t.Errorf("%s/%s: /fn holds %s", c[0], c[1], fn)
		}
		if pids := answer["pids"].(float64); pids != 2 { // init and Node.js
			t.Errorf("%s/%s sees %v processes", c[0], c[1], pids)
		}
		// Of the host's names only that of the image shows, as the root of the root mount: the kernel
		// says for every bind mount which folder it is.
		_, mounts, _ := strings.Cut(fmt.Sprint(answer["mounts"]), "\n")
		for where, text := range map[string]string{"/proc/net/unix": fmt.Sprint(answer["unix"]), "mountinfo": mounts} {
			for _, host := range []string{n.DataDir, n.RunDir, "hearth-claims"} {
				if strings.Contains(text, host) {
					t.Errorf("%s/%s sees %q in %s:\n%s", c[0], c[1], host, where, text)
				}
			}
		}
	}
}

// Warm instances of one container never answer for another, whatever dies meanwhile. Each function
// knows its container's canary by its code, config, secret and meta, and keeps what it was asked to
// be in memory, in /tmp and on the prototype of all objects.
const witness = `
const fs = require('fs')
const CODE = 'CODE_CANARY' // and NUMBER makes each version another one
globalThis.owners ??= new Set(); globalThis.born ??= Math.random().toString(36).slice(2)
module.exports = (ctx, cb) => {
	globalThis.owners.add(CODE)
	Object.prototype[Symbol.for('owner ' + CODE)] = 1
	const file = '/tmp/owners'
	let kept = ''; try { kept = fs.readFileSync(file, 'utf8') } catch {}
	if (!kept.split('\n').includes(CODE)) fs.appendFileSync(file, CODE + '\n')
	cb(null, {code: CODE, version: ctx.meta.version, config: ctx.config.canary, secret: ctx.secrets.CANARY, meta: ctx.meta.tenant + '/' + ctx.meta.container + '/' + ctx.meta.function,
		memory: [...globalThis.owners], disk: fs.readFileSync(file, 'utf8').trim().split('\n'), born: globalThis.born,
		prototype: Object.getOwnPropertySymbols(Object.prototype).map(s => s.description).filter(d => d.startsWith('owner ')), fn: fs.readdirSync('/fn').filter(n => !n.startsWith('.'))})
}`

// operations is how many random operations TestInstancesServeOneContainer does.
func operations(t *testing.T) int {
	text := os.Getenv("HEARTH_E2E_OPERATIONS")
	if text == "" {
		return 2000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("HEARTH_E2E_OPERATIONS: %v", err)
	}
	return n
}

// tenancy is a container of the random test. Deploys and deletes hold mu alone, calls share it, so
// that what a call must say is known.
type tenancy struct {
	tenant, name string
	mu           sync.RWMutex
	generation   int
	versions     map[string]int // acknowledged, by function
}

func (c *tenancy) canary() string {
	return fmt.Sprintf("%s/%s#%d", c.tenant, c.name, c.generation)
}

type testimony struct {
	Code, Config, Secret, Meta, Born string
	Version                          int
	Memory, Disk, Prototype, Fn      []string
}

// An instance never serves two containers: thousands of random calls, deploys, kills, deletions.
func TestInstancesServeOneContainer(t *testing.T) {
	n := harness.Start(t, "--pool", "3")
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("HEARTH_E2E_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	total := int64(operations(t))
	t.Logf("HEARTH_E2E_SEED=%d HEARTH_E2E_OPERATIONS=%d", seed, total)
	var all []*tenancy
	for i := range 12 {
		c := &tenancy{tenant: fmt.Sprint("t", i/3), name: fmt.Sprint("c", i%3), versions: map[string]int{}}
		n.Container(c.tenant, c.name, nil)
		all = append(all, c)
	}
	w := &storm{t: t, n: n, born: map[string]string{}}
	var wg, sampler sync.WaitGroup
	stop := make(chan struct{})
	sampler.Go(func() { w.watch(stop) })
	for worker := range 4 {
		rnd := rand.New(rand.NewPCG(seed, uint64(worker)))
		wg.Go(func() {
			for w.done.Add(1) <= total && !t.Failed() {
				w.one(rnd, all[rnd.IntN(len(all))])
			}
		})
	}
	wg.Wait()
	// The dust settles: every container answers as itself.
	for _, c := range all {
		for f := range c.versions {
			harness.WaitFor(t, c.canary()+" to answer", 3*patience, func() bool { return w.call(c, f) == 200 })
		}
	}
	close(stop)
	sampler.Wait()
	t.Logf("calls by status %v, deploys %d, kills %d, recreated %d, instances that answered %d, uids compared %d times",
		w.statuses(), w.deploys.Load(), w.kills.Load(), w.recreated.Load(), len(w.born), w.samples.Load())
	if ok := w.status[200].Load(); ok < total/2 || w.kills.Load() == 0 || w.deploys.Load() == 0 || w.recreated.Load() == 0 {
		t.Errorf("the storm was too mild to say anything")
	}
}

type storm struct {
	t    *testing.T
	n    *harness.Node
	done atomic.Int64

	mu   sync.Mutex
	born map[string]string // whom a process, named by its own random number, has served

	status                             [600]atomic.Int64
	deploys, kills, recreated, samples atomic.Int64
}

func (w *storm) one(rnd *rand.Rand, c *tenancy) {
	f := fmt.Sprintf("%s-%s-%d", c.tenant, c.name, rnd.IntN(2)) // no other container has it
	// A call takes a hundredth of the time that the others take.
	switch p := rnd.IntN(1000); {
	case p < 20:
		w.kill(rnd)
	case p < 28:
		w.recreate(c)
	case p < 50:
		w.deploy(c, f)
	default:
		c.mu.RLock()
		known := c.versions[f] > 0
		if known {
			w.call(c, f)
		}
		c.mu.RUnlock()
		if !known {
			w.deploy(c, f)
		}
	}
}

func (w *storm) kill(rnd *rand.Rand) {
	live := w.n.Instances()
	if len(live) == 0 {
		return
	}
	i := live[rnd.IntN(len(live))]
	unix.Kill([]int{i.Node, i.Init}[rnd.IntN(2)], unix.SIGKILL)
	w.kills.Add(1)
}

func (w *storm) recreate(c *tenancy) {
	c.mu.Lock()
	defer c.mu.Unlock()
	path := "/v1/tenants/" + c.tenant + "/containers/" + c.name
	if a := w.n.API("DELETE", path+"?recursive=true", nil); a.Status != 204 {
		w.t.Errorf("delete %s: %d %v %s", c.canary(), a.Status, a.Err, a.Body)
		return
	}
	for f := range c.versions {
		if a := w.n.Call(c.tenant, c.name, f); a.Status != 404 {
			w.t.Errorf("%s is deleted and answers %d %s", c.canary(), a.Status, a.Body)
		}
	}
	clear(c.versions)
	c.generation++
	if a := w.n.API("PUT", path, M{}); a.Status != 201 {
		w.t.Errorf("make %s: %d %v %s", c.canary(), a.Status, a.Err, a.Body)
	}
	w.recreated.Add(1)
}

func (w *storm) deploy(c *tenancy, f string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	code := strings.NewReplacer("CODE_CANARY", c.canary(), "NUMBER", fmt.Sprint(w.done.Load())).Replace(witness)
	a := w.n.Put(c.tenant, c.name, f, M{"code": code, "config": M{"canary": c.canary()}, "secrets": M{"CANARY": c.canary()}})
	v := a.JSON()
	if failure, _ := v["error"].(M); v["status"] == "failed" && (failure["reason"] == "exit" || failure["reason"] == "platform") {
		return // its trial was among the killed: what was active is so still
	}
	if v["status"] != "ready" {
		w.t.Errorf("deploy %s of %s: %d %v %s", f, c.canary(), a.Status, a.Err, a.Body)
		return
	}
	c.versions[f] = int(v["version"].(float64))
	w.deploys.Add(1)
}

// call calls a function and holds its testimony to what is known; the caller holds c.mu.
func (w *storm) call(c *tenancy, f string) int {
	a := w.n.Do(context.Background(), "GET", "/run/"+c.tenant+"/"+c.name+"/"+f, nil)
	if a.Err != nil {
		w.t.Errorf("call %s: %v", c.canary(), a.Err)
		return 0
	}
	w.status[a.Status].Add(1)
	if a.Status == 502 || a.Status == 503 { // its instance was killed, or has been too often
		return a.Status
	}
	var got testimony
	if err := json.Unmarshal(a.Body, &got); err != nil || a.Status != 200 {
		w.t.Errorf("call %s: %d %s", c.canary(), a.Status, a.Body)
		return a.Status
	}
	want := c.canary()
	wrong := got.Code != want || got.Config != want || got.Secret != want || got.Meta != c.tenant+"/"+c.name+"/"+f || got.Version != c.versions[f] ||
		!slices.Equal(got.Memory, []string{want}) || !slices.Equal(got.Disk, []string{want}) || !slices.Equal(got.Prototype, []string{"owner " + want})
	for _, name := range got.Fn {
		wrong = wrong || !strings.HasPrefix(name, c.tenant+"-"+c.name+"-")
	}
	w.mu.Lock()
	if w.born[got.Born] == "" {
		w.born[got.Born] = want
	}
	wrong = wrong || w.born[got.Born] != want
	w.mu.Unlock()
	if wrong {
		w.t.Errorf("called %s of %s, and got %s", f, want, a.Body)
	}
	return a.Status
}

// watch looks all the time whether two live instances have one uid.
func (w *storm) watch(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(150 * time.Millisecond):
		}
		uids := map[int]harness.Instance{}
		for _, i := range w.n.Instances() {
			if other, taken := uids[i.UID/65536]; taken && other.ID != i.ID && alive(other.Node) && alive(i.Node) {
				w.t.Errorf("instances %v and %v have uids of one range", other, i)
			}
			uids[i.UID/65536] = i
			w.samples.Add(1)
		}
	}
}

func (w *storm) statuses() map[int]int64 {
	m := map[int]int64{}
	for i := range w.status {
		if c := w.status[i].Load(); c > 0 {
			m[i] = c
		}
	}
	return m
}
