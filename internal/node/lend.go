package node

import (
	"context"
	"time"

	"hearth"
	"hearth/internal/api"
	"hearth/internal/handler"
	"hearth/internal/logs"
	"hearth/internal/pool/upstream"
	"hearth/internal/proxy"
)

// lender shows the handler to the proxy: their words for the same things differ in type only.
type lender struct{ h *handler.Handler }

func (l lender) Route(tenant, container, function string) *hearth.Route {
	return l.h.Route(tenant, container, function)
}

func (l lender) Acquire(ctx context.Context, r *hearth.Route) (proxy.Grant, error) {
	g, err := l.h.Acquire(ctx, r)
	if err != nil {
		return nil, err
	}
	return grant{g}, nil
}

type grant struct{ g handler.Grant }

func (g grant) Conns() *upstream.Pool     { return g.g.Instance.Conns() }
func (g grant) Start() hearth.Start       { return g.g.Start }
func (g grant) Waited() proxy.Waits       { return proxy.Waits(g.g.Waits) }
func (g grant) Instance() (string, int64) { return g.g.Instance.ID(), g.g.MemoryBytes() }
func (g grant) Gone() <-chan struct{}     { return g.g.Instance.Gone() }
func (g grant) Route() *hearth.Route      { return g.g.Route }

func (g grant) Ended() string {
	if exit, known := g.g.Instance.Exit(); known && exit.OOM {
		return "oom"
	}
	return "died"
}

func (g grant) Release(o proxy.Outcome) {
	switch o {
	case proxy.Done:
		g.g.Release(handler.OK)
	case proxy.Timeout, proxy.Panicked: // retired; after a panic its state is unknown
		g.g.Release(handler.Timeout)
	case proxy.Leaving:
		g.g.Release(handler.Leaving)
	default:
		g.g.Release(handler.Died)
	}
}

// deployer waits for versions: for their packages first, then for their trial.
type deployer struct{ n *Node }

func (d deployer) Settled(ctx context.Context, tenant, container, function string, version int) error {
	if err := d.n.packs.module.Settled(ctx, tenant, container, function, version); err != nil {
		return err
	}
	return d.n.handler.Settled(ctx, tenant, container, function, version)
}

// Progress says how far the packages of a version are, in the API's words.
func (d deployer) Progress(v hearth.Version) (api.Progress, <-chan struct{}) {
	p, changed := d.n.packs.module.Progress(v)
	return api.Progress{Stage: string(p.Stage), Total: p.Build.Total, Known: p.Build.Known, Fetched: p.Build.Fetched, Built: p.Build.Built,
		Waiting: p.Waiting}, changed
}

// record turns what the proxy saw of a call into metrics and a line of the function's log.
func (n *Node) record(route *hearth.Route, requestID string, c proxy.Call) {
	n.metrics.Call(c.Status, c.Start, c.Total)
	if route == nil {
		return
	}
	n.logs.Record(route.FunctionID, route.Tenant, route.Container, route.Function, requestID, logs.Call{
		Status: c.Status, Start: c.Start, Version: c.Version,
		QueueMS: ms(c.Queue), FetchMS: ms(c.Fetch), LinkMS: ms(c.Link), AssignMS: ms(c.Assign), LoadMS: ms(c.Load), RunMS: ms(c.Run), TotalMS: ms(c.Total),
		Instance: c.Instance, MemoryBytes: c.MemoryBytes, Error: c.Error, Component: string(c.Component), Reason: c.Reason,
	})
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
