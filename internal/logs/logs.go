package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"hearth"
)

const (
	flushEvery = 50 * time.Millisecond
	retryEvery = time.Second // a refused function tries its disk again, to tell what was lost
	tombTime   = time.Hour   // longer than any request of a removed function lives
	nodeBytes  = 4 << 30
	leastNode  = 64 << 20 // of Config.NodeBytes
)

// Config is what the logs need. Dir and Log are required; a zero number means the default.
type Config struct {
	Dir       string // made if absent; nobody else writes below it
	Log       *slog.Logger
	NodeBytes int64 // on disk for all functions of the node, at least 64 MiB; default 4 GiB

	// Smaller or larger in tests.
	functionBytes, segmentBytes int64
	rate, burst                 int64
}

// Logs keeps the logs of a node's functions. Life: New, Run once; everything else may be called at
// any time by anybody, before Run (then lines wait in memory) and after it (then they are lost).
type Logs struct {
	cfg  Config
	root *os.Root
	boot [16]byte

	streams   sync.Map // function id → *stream: read by every call, written when a function is new
	wake      chan struct{}
	full      chan struct{}
	stopping  atomic.Bool
	draining  sync.WaitGroup // one for each pipe
	queued    atomic.Int64   // bytes that wait for the disk, in steps of chargeStep
	onDisk    atomic.Int64
	followers atomic.Int64

	lines, bytes, droppedLines, droppedBytes, unattributed atomic.Int64

	buffers, reads, readers sync.Pool // a silent instance or function holds none

	mu         sync.Mutex
	dirty      []*stream // have something to write
	instances  map[string]*instance
	containers map[string]*container
	resting    []*container         // without instances, oldest first; forgotten when their bucket is full
	tombs      map[string]time.Time // removed functions, for tombTime
	buried     []string             // the keys of tombs, oldest first

	// The writer's own.
	outputs    []*stream // with an open segment
	failed     []*stream // whose disk refused
	complained time.Time
}

// New opens the logs in cfg.Dir. Their size on disk is read; their content only when it is needed.
func New(cfg Config) (*Logs, error) {
	if cfg.NodeBytes == 0 {
		cfg.NodeBytes = nodeBytes
	}
	if cfg.NodeBytes < leastNode && cfg.functionBytes == 0 {
		return nil, fmt.Errorf("open logs: %d bytes for the node's logs are less than %d", cfg.NodeBytes, int64(leastNode))
	}
	if cfg.functionBytes == 0 {
		cfg.functionBytes = hearth.LimitLogFunction.Value
	}
	if cfg.segmentBytes == 0 {
		cfg.segmentBytes = cfg.functionBytes / segmentsOfFunction
	}
	if cfg.rate == 0 {
		cfg.rate = hearth.LimitLogRate.Value
	}
	if cfg.burst == 0 {
		cfg.burst = 2 * cfg.rate
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open logs: %w", err)
	}
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open logs: %w", err)
	}
	l := &Logs{cfg: cfg, root: root, boot: bootID(),
		wake: make(chan struct{}, 1), full: make(chan struct{}, 1), // one message says it all
		instances: map[string]*instance{}, containers: map[string]*container{}, tombs: map[string]time.Time{}}
	l.buffers.New = func() any { return new(make([]byte, 0, chargeStep)) }
	l.reads.New = func() any { return new([readBytes]byte) }
	l.readers.New = newReader
	if err := l.scanDir(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return l, nil
}

// Run writes until ctx ends, then stops reading pipes (what is in them stays there for the next
// process), flushes, and returns when every goroutine has ended. It never returns an error.
func (l *Logs) Run(ctx context.Context) error {
	var retry <-chan time.Time
	var flushed time.Time
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-retry:
			retry = nil
			for _, s := range l.failed {
				s.failed = false
				s.mu.Lock()
				l.mark(s)
			}
			l.failed = nil
			continue
		case <-l.wake:
		}
		gather := time.NewTimer(time.Until(flushed.Add(flushEvery))) // a first line after silence goes at once
		select {
		case <-ctx.Done():
		case <-l.full:
		case <-gather.C:
		}
		gather.Stop()
		l.flushAll()
		flushed = time.Now()
		if len(l.failed) > 0 && retry == nil {
			retry = time.After(retryEvery)
		}
	}
	l.stop()
	l.draining.Wait()
	l.flushAll()
	l.closeIdle(0)
	return nil
}

// flushAll writes what waits, and keeps files and disk within their bounds.
func (l *Logs) flushAll() {
	l.mu.Lock()
	dirty := l.dirty
	l.dirty = nil
	l.mu.Unlock()
	for _, s := range dirty {
		if !l.flush(s) && !s.failed {
			s.failed = true
			l.failed = append(l.failed, s)
		}
		l.closeIdle(maxOutputs)
	}
	l.trim()
}

// stop makes every pipe's goroutine end.
func (l *Logs) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopping.Store(true)
	for _, i := range l.instances {
		for _, p := range i.pipes {
			_ = p.file.SetReadDeadline(time.Unix(1, 0)) // an error means that it is closed
		}
	}
}

// Record keeps the record of one call. It never blocks; what does not fit is counted.
func (l *Logs) Record(functionID, tenant, container, function string, request string, c Call) {
	s := l.find(functionID, names{tenant, container, function})
	if s == nil {
		return
	}
	var scratch [512]byte // longer only with an error
	now := time.Now()
	record := appendCall(scratch[:0], now, request, &c)
	l.add(s, &s.calls, now, record, len(record))
}

// Remove deletes a function's log for ever: what still comes for this id is thrown away, and its
// followers end.
func (l *Logs) Remove(functionID string) error {
	if !validID(functionID) {
		return fmt.Errorf("remove log of function %q: bad id", functionID)
	}
	now := time.Now()
	l.mu.Lock()
	if _, ok := l.tombs[functionID]; !ok {
		l.tombs[functionID] = now
		l.buried = append(l.buried, functionID)
	}
	for len(l.buried) > 0 && now.Sub(l.tombs[l.buried[0]]) > tombTime {
		delete(l.tombs, l.buried[0])
		l.buried = l.buried[1:]
	}
	v, ok := l.streams.LoadAndDelete(functionID)
	l.mu.Unlock()
	if ok {
		s := v.(*stream)
		s.disk.Lock()
		defer s.disk.Unlock()
		s.mu.Lock()
		s.removed = true
		l.queued.Add(-s.charged)
		s.pending, s.charged = nil, 0
		s.tell()
		s.mu.Unlock()
		l.closeOutput(s)
		l.setSegments(s, nil)
	}
	if err := l.root.RemoveAll(functionID); err != nil {
		return fmt.Errorf("remove log of function %s: %w", functionID, err)
	}
	return nil
}

// Retain removes the logs of functions that no longer exist; for the start, since the process may
// have been killed between a function's end and its log's.
func (l *Logs) Retain(exists func(functionID string) bool) error {
	var errs []error
	for k := range l.streams.Range {
		if id := k.(string); !exists(id) {
			errs = append(errs, l.Remove(id))
		}
	}
	return errors.Join(errs...)
}

// Stats are counts since the start.
type Stats struct {
	Lines, Bytes               int64 // written to disk, of all streams
	DroppedLines, DroppedBytes int64 // of lines and call records
	Unattributed               int64 // of DroppedLines: no function was known for them
	DiskBytes                  int64 // kept on disk now
}

// Stats returns the counts.
func (l *Logs) Stats() Stats {
	return Stats{Lines: l.lines.Load(), Bytes: l.bytes.Load(), DroppedLines: l.droppedLines.Load(),
		DroppedBytes: l.droppedBytes.Load(), Unattributed: l.unattributed.Load(), DiskBytes: l.onDisk.Load()}
}

// retainContainer finds or makes what a container's instances share; l.mu is held.
func (l *Logs) retainContainer(id string) *container {
	c := l.containers[id]
	if c == nil {
		c = &container{id: id, bucket: newBucket(l.cfg.rate, l.cfg.burst, time.Now())}
		l.containers[id] = c
	}
	c.refs++
	return c
}

// releaseContainer forgets containers whose instances are gone, but not before their bucket is full,
// so that a crash doesn't buy a new one; l.mu is held.
func (l *Logs) releaseContainer(c *container, now time.Time) {
	if c.refs--; c.refs == 0 {
		l.resting = append(l.resting, c)
	}
	for len(l.resting) > 0 {
		c := l.resting[0]
		if c.refs == 0 && !c.rested(now) {
			return
		}
		if c.refs == 0 && l.containers[c.id] == c {
			delete(l.containers, c.id)
		}
		l.resting = l.resting[1:]
	}
}
