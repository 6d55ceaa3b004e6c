package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// coldRows measures cold calls on a quiet machine, interleaved with warm calls after the same idle
// time and starts of node, and then cold calls while the pool refills all the time. In a round, the
// cold call is at the beginning, the warm one a third later, when the refill is over, and the start
// of node another third later: the warm function has idled for a whole round, and so has, at least,
// the generic instance that the cold call takes.
func (b *bench) coldRows(ctx context.Context) error {
	var cold, warm, start = newSample(), newSample(), newSample()
	b.say("cold calls, one by one")
	err := b.eachCold(ctx, "bench-cold", func(keep *conn, t target) error {
		began := time.Now()
		at := func(part int) error { return sleep(ctx, time.Until(began.Add(b.Round*time.Duration(part)/3))) }
		took, a, err := once(keep, t)
		if err != nil {
			return err
		}
		record(cold.times, took)
		cold.starts[a.start]++
		if err := at(1); err != nil {
			return err
		}
		if took, a, err = once(keep, b.warm); err != nil {
			return err
		}
		record(warm.times, took)
		warm.starts[a.start]++
		if err := at(2); err != nil {
			return err
		}
		if took, err = runNode(ctx, b.Node, b.dir); err != nil {
			return err
		}
		record(start.times, took)
		return at(3)
	})
	if err != nil {
		return err
	}

	b.say("cold calls while the pool refills")
	busy, second := newSample(), false
	err = b.eachCold(ctx, "bench-busy", func(keep *conn, t target) error {
		began := time.Now()
		took, a, err := once(keep, t)
		if err != nil {
			return err
		}
		record(busy.times, took)
		busy.starts[a.start]++
		// They come in pairs: the second of a pair finds the refill of the first under way, and the
		// long gap after it leaves the pool time, so that what is measured is not an empty pool.
		gap := b.Pace / 4
		if second {
			gap = 2*b.Pace - gap
		}
		second = !second
		return sleep(ctx, time.Until(began.Add(gap)))
	})
	if err != nil {
		return err
	}

	p50 := cold.quantile(50)
	b.report.add(Row{What: "cold p50, against warm after the same idle time", Unit: "ms", Hearth: p50, Other: warm.quantile(50), Against: "warm",
		Goal: "≤ warm + 3 ms", Ratio: p50 - warm.quantile(50), RatioUnit: "ms more", Met: p50 <= warm.quantile(50)+3, Starts: cold.starts})
	b.report.add(Row{What: "cold p50, against starting node hello.js", Unit: "ms", Hearth: p50, Other: start.quantile(50), Against: "node start",
		Goal: "≥ 8 × quicker", Ratio: start.quantile(50) / p50, RatioUnit: "× quicker", Met: start.quantile(50) >= 8*p50, Starts: cold.starts})
	p99 := busy.quantile(99)
	b.report.add(Row{What: fmt.Sprintf("cold p99, %d calls, refill going on", busy.times.TotalCount()), Unit: "ms", Hearth: p99, Other: p50, Against: "cold p50",
		Goal: "≤ 4 × cold p50", Ratio: p99 / p50, RatioUnit: "×", Met: p99 <= 4*p50, Starts: busy.starts})
	b.report.histogram("cold", cold)
	b.report.histogram("cold while the pool refills", busy)
	b.report.histogram("warm after the same idle time", warm)
	b.report.histogram("start of node hello.js", start)
	return nil
}

// eachCold deploys containers in batches of one tenant each, lets the pool fill, and hands each
// container over once, with a connection that is open. A batch is removed before the next, so the
// machine never holds more than one.
func (b *bench) eachCold(ctx context.Context, name string, call func(*conn, target) error) error {
	for done := 0; done < b.Cold; {
		tenant := fmt.Sprintf("%s-%d", name, done/perTenant)
		list, err := b.deploy(ctx, tenant, min(perTenant, b.Cold-done))
		if err != nil {
			return err
		}
		if err := b.settle(ctx); err != nil {
			return err
		}
		if err := b.callAll(ctx, list, call); err != nil {
			return err
		}
		done += len(list)
		b.say("%d of %d", done, b.Cold)
		if err := b.remove(ctx, tenant); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) callAll(ctx context.Context, list []target, call func(*conn, target) error) error {
	keep, err := dial(ctx, b.addr)
	if err != nil {
		return err
	}
	defer keep.Close() //nolint:errcheck // nothing is lost
	if _, _, err := once(keep, b.warm); err != nil {
		return err
	}
	if err := sleep(ctx, b.Round); err != nil {
		return err
	}
	for _, t := range list {
		if err := call(keep, t); err != nil {
			return err
		}
	}
	return nil
}

// warmRows measures throughput and latency of all sides in rounds, each beginning with another.
func (b *bench) warmRows(ctx context.Context) error {
	type side struct {
		name        string
		t           target
		connections int
		rates, p50s []float64
		all         *sample
	}
	sides := []*side{
		{name: "hearth", t: b.warm, connections: b.Connections}, {name: "node", t: b.node, connections: b.Connections},
		{name: "hearth alone", t: b.warm, connections: 1}, {name: "node alone", t: b.node, connections: 1},
	}
	if b.nginx != nil {
		sides = append(sides, &side{name: "nginx", t: *b.nginx, connections: b.Connections}, &side{name: "nginx alone", t: *b.nginx, connections: 1})
	}
	by := map[string]*side{}
	for _, s := range sides {
		s.all, by[s.name] = newSample(), s
	}
	var mallocs, calls float64
	for i := range b.Rounds {
		b.say("warm calls, round %d of %d", i+1, b.Rounds)
		for j := range sides {
			s := sides[(i+j)%len(sides)]
			before, beforeErr := b.platform.Mallocs(ctx)
			got, err := load(ctx, s.t, s.connections, b.Duration, 0)
			if err != nil {
				return fmt.Errorf("load %s: %w", s.name, err)
			}
			if after, err := b.platform.Mallocs(ctx); s.name == "hearth" && err == nil && beforeErr == nil {
				mallocs += after - before
				calls += float64(got.times.TotalCount())
			}
			s.rates, s.p50s = append(s.rates, got.rate()), append(s.p50s, got.quantile(50))
			s.all.merge(got)
		}
	}
	ours, bare := by["hearth"], by["node"]
	rate := Row{What: fmt.Sprintf("warm requests/s, %d connections", b.Connections), Unit: "/s", Hearth: median(ours.rates), Starts: ours.all.starts, Goal: "≥ 0.55 × nginx"}
	if n := by["nginx"]; n != nil {
		rate.Other, rate.Against, rate.Ratio, rate.RatioUnit = median(n.rates), "nginx → node", median(ours.rates)/median(n.rates), "×"
		rate.Met = rate.Ratio >= 0.55
	} else {
		rate.Missing = "nginx is not installed: apt-get install -y nginx"
	}
	b.report.add(rate)
	b.report.add(Row{What: fmt.Sprintf("warm requests/s, %d connections", b.Connections), Unit: "/s", Hearth: median(ours.rates), Other: median(bare.rates), Against: "bare node",
		Ratio: median(ours.rates) / median(bare.rates), RatioUnit: "×", Starts: ours.all.starts})
	alone, bareAlone := by["hearth alone"], by["node alone"]
	ratio := median(alone.p50s) / median(bareAlone.p50s)
	b.report.add(Row{What: "warm p50, 1 connection", Unit: "ms", Hearth: median(alone.p50s), Other: median(bareAlone.p50s), Against: "bare node",
		Goal: "≤ 2.5 ×", Ratio: ratio, RatioUnit: "×", Met: ratio <= 2.5, Starts: alone.all.starts})
	if n := by["nginx alone"]; n != nil {
		b.report.add(Row{What: "warm p50, 1 connection", Unit: "ms", Hearth: median(alone.p50s), Other: median(n.p50s), Against: "nginx → node",
			Ratio: median(alone.p50s) / median(n.p50s), RatioUnit: "×", Starts: alone.all.starts})
	}
	allocations := Row{What: "allocations of a warm request", Unit: "", Goal: "bounded (tested)"}
	if calls > 0 {
		allocations.Hearth, allocations.Met = mallocs/calls, true
	} else {
		allocations.Missing = "/metrics has no go_memstats_mallocs_total"
	}
	b.report.add(allocations)
	b.report.histogram(fmt.Sprintf("warm, %d connections", b.Connections), ours.all)
	b.report.histogram("warm, 1 connection", alone.all)
	b.report.histogram("bare node, 1 connection", bareAlone.all)
	return nil
}

// refill measures how quickly instances are started when the pool is drained at once, against
// starts of node on all processors, and what that does to warm calls.
func (b *bench) refill(ctx context.Context) error {
	const tenant = "bench-refill"
	const pace = 4 * time.Millisecond // of the warm calls beside: enough for a p99 within a second
	var rates, bareRates, quiet99, busy99 []float64
	starts := counts{}
	for i := range b.Rounds {
		b.say("refill, round %d of %d", i+1, b.Rounds)
		list, err := b.deploy(ctx, tenant, b.Starts)
		if err != nil {
			return err
		}
		if err := b.settle(ctx); err != nil {
			return err
		}
		quiet, err := load(ctx, b.warm, 1, b.Duration/2, pace)
		if err != nil {
			return err
		}
		quiet99 = append(quiet99, quiet.quantile(99))

		// The warm calls go on as long as the refill.
		beside, stop := context.WithCancel(ctx)
		var busy *sample
		var wg sync.WaitGroup
		wg.Go(func() { busy, _ = load(beside, b.warm, 1, time.Minute, pace) })
		took, got, err := b.drain(ctx, list)
		stop()
		wg.Wait()
		if err != nil {
			return err
		}
		starts.add(got)
		rates = append(rates, float64(b.Starts)/took.Seconds())
		if busy != nil {
			busy99 = append(busy99, busy.quantile(99))
		}
		if err := b.remove(ctx, tenant); err != nil {
			return err
		}
		if err := b.settle(ctx); err != nil {
			return err
		}
		bare, err := b.nodeStarts(ctx, b.Starts)
		if err != nil {
			return err
		}
		bareRates = append(bareRates, bare)
	}
	ratio := median(rates) / median(bareRates)
	b.report.add(Row{What: fmt.Sprintf("pool refill, %d instances at once", b.Starts), Unit: "/s", Hearth: median(rates), Other: median(bareRates), Against: "node starts",
		Goal: "≥ 0.4 ×", Ratio: ratio, RatioUnit: "×", Met: ratio >= 0.4, Starts: starts})
	slow := median(busy99) / median(quiet99)
	b.report.add(Row{What: "warm p99 meanwhile", Unit: "ms", Hearth: median(busy99), Other: median(quiet99), Against: "warm p99, quiet",
		Goal: "≤ 2 ×", Ratio: slow, RatioUnit: "×", Met: slow <= 2})
	return nil
}

// drain calls all containers at once and waits until the pool is full again: for that, as many
// instances as there are containers have to be started.
func (b *bench) drain(ctx context.Context, list []target) (time.Duration, counts, error) {
	var (
		wg     sync.WaitGroup
		errs   = make([]error, len(list))
		starts = make([]string, len(list))
		began  = time.Now()
	)
	for i, t := range list {
		wg.Go(func() {
			c, err := dial(ctx, t.addr)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.Close() //nolint:errcheck // nothing is lost
			var a answer
			_, a, errs[i] = once(c, t)
			starts[i] = a.start
		})
	}
	wg.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return 0, nil, errs[i]
	}
	if err := b.settle(ctx); err != nil {
		return 0, nil, err
	}
	took, got := time.Since(began), counts{}
	for _, s := range starts {
		got[s]++
	}
	return took, got, nil
}

// nodeStarts is the rate of bare starts with one under way on each processor.
func (b *bench) nodeStarts(ctx context.Context, n int) (float64, error) {
	var (
		wg    sync.WaitGroup
		work  = make(chan struct{}, n)
		errs  = make([]error, runtime.NumCPU())
		began = time.Now()
	)
	for range n {
		work <- struct{}{}
	}
	close(work)
	for i := range errs {
		wg.Go(func() {
			for range work {
				if _, err := runNode(ctx, b.Node, b.dir); err != nil {
					errs[i] = err
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// memory compares idle instances with the idle bare server, before either has had load.
func (b *bench) memory(ctx context.Context) (err error) {
	row := Row{What: "private memory of an idle instance", Unit: "MiB", Against: "idle bare node", Goal: "≤ 1.3 ×", RatioUnit: "×"}
	defer func() {
		if err != nil {
			row.Missing = "it failed"
		}
		b.report.add(row)
	}()
	if os.Geteuid() != 0 {
		row.Missing = "it needs root on the machine of hearth"
		return nil
	}
	b.say("memory of idle instances")
	p, t, err := startNode(ctx, b.Node, filepath.Clean(b.dir))
	if err != nil {
		return err
	}
	defer p.stop()
	c, err := dial(ctx, t.addr)
	if err != nil {
		return err
	}
	_, _, err = once(c, t)
	if cerr := c.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := sleep(ctx, 10*b.Round); err != nil {
		return err
	}
	bare, err := privateMemory(p.cmd.Process.Pid)
	if err != nil {
		row.Missing = err.Error()
		return nil
	}
	list, err := instanceMemory()
	switch {
	case err != nil:
		row.Missing = err.Error()
	case len(list) == 0:
		row.Missing = "no instance runs on this machine"
	default:
		row.Hearth, row.Other = median(list)/(1<<20), float64(bare)/(1<<20)
		row.Ratio = row.Hearth / row.Other
		row.Met = row.Ratio <= 1.3
		row.Starts = counts{"instances": len(list)}
	}
	return nil
}

// crowd measures a warm call with many idle instances present against one without them.
func (b *bench) crowd(ctx context.Context) (err error) {
	if b.Idle == 0 {
		return nil
	}
	row := Row{What: fmt.Sprintf("warm p50, %d idle instances present", b.Idle), Unit: "ms", Against: "without them", Goal: "≤ 1.3 ×", RatioUnit: "×"}
	defer func() {
		if err != nil {
			row.Missing = "it failed"
		}
		b.report.add(row)
	}()
	if need := int64(b.Idle) * instanceCost; available() < need {
		row.Missing = fmt.Sprintf("%d MiB of memory are needed; ask for fewer with --idle-instances", need>>20)
		return nil
	}
	quiet := func() (float64, counts, error) {
		var list []float64
		starts := counts{}
		for range b.Rounds {
			s, err := load(ctx, b.warm, 1, b.Duration/2, 0)
			if err != nil {
				return 0, nil, err
			}
			list = append(list, s.quantile(50))
			starts.add(s.starts)
		}
		return median(list), starts, nil
	}
	before, _, err := quiet()
	if err != nil {
		return err
	}
	present := counts{}
	for done := 0; done < b.Idle; {
		list, err := b.deploy(ctx, fmt.Sprintf("bench-crowd-%d", done/perTenant), min(perTenant, b.Idle-done))
		if err != nil {
			return err
		}
		for _, t := range list {
			c, err := dial(ctx, t.addr)
			if err != nil {
				return err
			}
			_, a, err := once(c, t)
			if cerr := c.Close(); err == nil {
				err = cerr
			}
			if err != nil {
				return err
			}
			present[a.start]++
		}
		done += len(list)
		b.say("%d of %d idle instances", done, b.Idle)
	}
	if err := b.settle(ctx); err != nil {
		return err
	}
	with, starts, err := quiet()
	if err != nil {
		return err
	}
	row.Hearth, row.Other, row.Ratio, row.Starts = with, before, with/before, starts
	row.Met = row.Ratio <= 1.3
	return nil
}

func kernel() string {
	var u syscall.Utsname
	if syscall.Uname(&u) != nil {
		return ""
	}
	var b []byte
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	return string(b)
}
