package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Platform is what bench asks of the management API.
type Platform interface {
	// Deploy makes tenant, container and function where missing, and returns the path below the
	// URL at which it is called, when the version is ready.
	Deploy(ctx context.Context, tenant, container, function, code string) (path string, err error)
	// Remove removes a tenant and all that it has; that it is absent is no error.
	Remove(ctx context.Context, tenant string) error
	// Pool says how many generic instances are to be kept and how many are ready.
	Pool(ctx context.Context) (size, ready int, err error)
	// Mallocs is how many objects the node process has allocated since its start.
	Mallocs(ctx context.Context) (float64, error)
}

// Options say how much is measured.
type Options struct {
	URL         string        // of hearth; http only
	Node        string        // the Node.js binary of the image, so that both sides run the same
	Nginx       string        // "": looked up in PATH
	Cold        int           // cold calls in each of the two rows
	Pace        time.Duration // between two cold calls while the pool refills, on average
	Round       time.Duration // of the first cold row: a cold call, a warm one and a start of node
	Rounds      int           // of the warm rows
	Duration    time.Duration // of one side in one round
	Connections int           // of the throughput row
	Starts      int           // instances of the refill row
	Idle        int           // instances that are present in the last row; 0 leaves it out
	Progress    func(string)  // talk for the person who waits
}

// Defaults are what make bench runs with: some minutes on two processors.
func Defaults() Options {
	return Options{Cold: 200, Round: 300 * time.Millisecond, Pace: 200 * time.Millisecond, Rounds: 5, Duration: 2 * time.Second,
		Connections: 32, Starts: 16, Idle: 500}
}

// A tenant may have 20 instances by default, and every figure is taken with default limits. One is
// left for the trial of a deploy.
const perTenant = 19

// Bounds of the options: more would only wear the machine out.
const (
	maxCold = 10_000
	maxIdle = 5_000
)

// instanceCost is what one idle instance is counted with before the last row is tried.
const instanceCost = 24 << 20

type bench struct {
	Options
	platform Platform
	report   *Report
	dir      string // temporary
	addr     string
	host     string
	tenants  map[string]bool // that may exist
	node     target
	nginx    *target // nil: not installed
	warm     target
}

// Run measures everything and returns the report, also a partial one beside an error. It leaves
// nothing behind: programs, files and tenants are removed whatever happens.
func Run(ctx context.Context, opt Options, p Platform) (_ *Report, err error) {
	b := &bench{Options: opt, platform: p, tenants: map[string]bool{}, report: newReport()}
	if err := b.check(); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "hearth-bench-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(b.dir) //nolint:errcheck // a temporary folder
	// nginx drops its rights and still has to reach its folders.
	if err := os.Chmod(b.dir, 0o755); err != nil { //nolint:gosec // nothing secret is in it
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "quick.js"), []byte(quick), 0o644); err != nil {
		return nil, err
	}
	defer func() {
		// An interrupted run cleans up as well, with a time of its own.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer cancel()
		b.say("removing what bench deployed")
		for t := range b.tenants {
			err = errors.Join(err, b.platform.Remove(ctx, t))
		}
	}()

	node, t, err := startNode(ctx, b.Node, b.dir)
	if err != nil {
		return nil, err
	}
	defer node.stop()
	b.node = t
	if name := b.Nginx; name != "" {
		nginx, t, err := startNginx(ctx, name, b.dir, b.node)
		if err != nil {
			return nil, err
		}
		defer nginx.stop()
		b.nginx = &t
	}
	for _, step := range []func(context.Context) error{b.prepare, b.memory, b.coldRows, b.warmRows, b.refill, b.crowd} {
		if err := step(ctx); err != nil {
			return b.report, err
		}
	}
	return b.report, nil
}

func (b *bench) check() error {
	u, err := url.Parse(b.URL)
	switch {
	case err != nil || u.Host == "":
		return fmt.Errorf("%q is not a URL", b.URL)
	case u.Scheme != "http":
		return errors.New("bench needs plain HTTP, since TLS would be measured on one side only")
	}
	if b.addr, b.host = u.Host, u.Host; u.Port() == "" {
		b.addr += ":80"
	}
	for name, v := range map[string][3]int{
		"cold": {b.Cold, 10, maxCold}, "rounds": {b.Rounds, 1, 1000}, "connections": {b.Connections, 1, 1024},
		"starts": {b.Starts, 1, perTenant}, "idle-instances": {b.Idle, 0, maxIdle},
		"duration in ms": {int(b.Duration.Milliseconds()), 10, 600_000}, "round in ms": {int(b.Round.Milliseconds()), 3, 60_000}, "pace in ms": {int(b.Pace.Milliseconds()), 1, 60_000},
	} {
		if v[0] < v[1] || v[0] > v[2] {
			return fmt.Errorf("%s is %d; it must be from %d to %d", name, v[0], v[1], v[2])
		}
	}
	if b.Progress == nil {
		b.Progress = func(string) {}
	}
	if b.Nginx == "" {
		b.Nginx, _ = exec.LookPath("nginx")
	}
	out, err := exec.Command(b.Node, "--version").Output()
	if err != nil {
		return fmt.Errorf("run %s: %w", b.Node, err)
	}
	b.report.Node, b.report.CPUs, b.report.Kernel = strings.TrimSpace(string(out)), runtime.NumCPU(), kernel()
	return nil
}

func (b *bench) say(format string, args ...any) { b.Progress(fmt.Sprintf(format, args...)) }

func (b *bench) target(path string) target { return target{addr: b.addr, host: b.host, path: path} }

// deploy makes n containers with one function each in a tenant of their own.
func (b *bench) deploy(ctx context.Context, tenant string, n int) ([]target, error) {
	b.tenants[tenant] = true
	if err := b.platform.Remove(ctx, tenant); err != nil { // left by a run that was killed
		return nil, err
	}
	var list []target
	for i := range n {
		path, err := b.platform.Deploy(ctx, tenant, fmt.Sprintf("bench-%d", i), "hello", hello)
		if err != nil {
			return nil, fmt.Errorf("deploy to tenant %s: %w", tenant, err)
		}
		list = append(list, b.target(path))
	}
	return list, nil
}

func (b *bench) remove(ctx context.Context, tenant string) error {
	err := b.platform.Remove(ctx, tenant)
	if err == nil {
		delete(b.tenants, tenant)
	}
	return err
}

// settle waits until the pool is full: a measurement should begin where no start is under way.
func (b *bench) settle(ctx context.Context) error {
	for until := time.Now().Add(time.Minute); time.Now().Before(until); {
		size, ready, err := b.platform.Pool(ctx)
		if err != nil {
			return fmt.Errorf("ask for the pool: %w", err)
		}
		if ready >= size {
			return nil
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("the pool is not full after a minute")
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// prepare deploys the one function that all warm rows call, and calls it until both sides' code is
// compiled.
func (b *bench) prepare(ctx context.Context) error {
	b.say("deploying the warm function")
	list, err := b.deploy(ctx, "bench", 1)
	if err != nil {
		return err
	}
	b.warm = list[0]
	b.say("warming up both sides")
	sides := []target{b.warm, b.node}
	if b.nginx != nil {
		sides = append(sides, *b.nginx)
	}
	for _, t := range sides {
		if _, err := load(ctx, t, b.Connections, min(b.Duration, 2*time.Second), 0); err != nil {
			return err
		}
	}
	return nil
}
