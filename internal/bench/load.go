package bench

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histograms hold microseconds from 1 µs to a minute with three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, time.Minute.Microseconds(), 3)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	// RecordValue fails only above its range; a longer time is shown as the longest.
	_ = h.RecordValue(min(max(d.Microseconds(), 1), h.HighestTrackableValue()))
}

// counts says how many answers had which hearth-start.
type counts map[string]int

func (c counts) add(other counts) {
	for k, n := range other {
		c[k] += n
	}
}

func (c counts) String() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(c)) {
		if k != "" {
			parts = append(parts, fmt.Sprintf("%d %s", c[k], k))
		}
	}
	return strings.Join(parts, ", ")
}

// sample is what one measurement gave.
type sample struct {
	times  *hdrhistogram.Histogram
	starts counts
	took   time.Duration
}

func newSample() *sample { return &sample{times: newHistogram(), starts: counts{}} }

func (s *sample) rate() float64 { return float64(s.times.TotalCount()) / s.took.Seconds() }

func (s *sample) quantile(percent float64) float64 {
	return float64(s.times.ValueAtPercentile(percent)) / 1000
}

func (s *sample) merge(other *sample) {
	s.times.Merge(other.times)
	s.starts.add(other.starts)
	s.took += other.took
}

// load keeps the given number of connections busy for a time, each with one request after the
// other; with a pace, each waits so long between two requests. Every answer must be a 200: an error
// page is quicker than an answer.
func load(ctx context.Context, t target, connections int, duration, pace time.Duration) (*sample, error) {
	conns := make([]*conn, connections)
	for i := range conns {
		c, err := dial(ctx, t.addr)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", t.addr, err)
		}
		defer c.Close() //nolint:errcheck // nothing is lost
		conns[i] = c
	}
	var (
		wg      sync.WaitGroup
		parts   = make([]*sample, connections)
		errs    = make([]error, connections)
		request = t.request()
		began   = time.Now()
		end     = began.Add(duration)
	)
	for i, c := range conns {
		wg.Go(func() {
			parts[i] = newSample()
			for last := time.Now(); last.Before(end) && ctx.Err() == nil; {
				a, err := c.call(request)
				now := time.Now()
				if err == nil && a.status != 200 {
					err = fmt.Errorf("%s answered %d", t.path, a.status)
				}
				if err != nil {
					errs[i] = err
					return
				}
				record(parts[i].times, now.Sub(last))
				parts[i].starts[a.start]++
				last = now
				if pace > 0 {
					time.Sleep(pace)
					last = time.Now()
				}
			}
		})
	}
	wg.Wait()
	all := newSample()
	for i, p := range parts {
		if errs[i] != nil {
			return nil, errs[i]
		}
		all.merge(p)
	}
	all.took = time.Since(began)
	return all, ctx.Err()
}

// once makes one call on a connection that is open already, so that the time is the answer's alone.
func once(c *conn, t target) (time.Duration, answer, error) {
	request := t.request()
	began := time.Now()
	a, err := c.call(request)
	took := time.Since(began)
	if err == nil && a.status != 200 {
		err = fmt.Errorf("%s answered %d", t.path, a.status)
	}
	return took, a, err
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(list))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}
