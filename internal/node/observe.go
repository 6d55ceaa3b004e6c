package node

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"time"

	"hearth/internal/auth"
	"hearth/internal/metrics"
	"hearth/internal/problem"
)

// missing is what keeps the node from being ready.
func (n *Node) missing() []string {
	var out []string
	if why := n.images.missing(); why != "" {
		out = append(out, why)
	}
	if !n.pool.Ready() {
		out = append(out, "the pool is not warm")
	}
	select {
	case <-n.draining:
		out = append(out, "the node is stopping")
	default:
	}
	return out
}

func (n *Node) readyInstances() map[string]int { return n.pool.Stats().Ready }

func (n *Node) watchMetrics() {
	n.metrics.Watch(metrics.Sources{
		PoolInstances: n.readyInstances,
		Instances: func() map[string]int {
			s := n.handler.Stats()
			return map[string]int{"serving": s.Serving, "retired": s.Retired}
		},
		InstanceMemory: func() (sum, most int64) { s := n.handler.Stats(); return s.MemoryBytes, s.MostMem },
		QueueWaiting:   func() int { return n.handler.Stats().Waiting },
		LogLines:       func() int64 { return n.logs.Stats().Lines },
		LogBytes:       func() int64 { return n.logs.Stats().Bytes },
		LogDropped:     func() int64 { return n.logs.Stats().DroppedLines },
		LogLost:        func() int64 { return n.logs.Stats().DroppedBytes },
		LogDisk:        func() int64 { return n.logs.Stats().DiskBytes },
		PackageStates:  n.packageStates,
		PackageDisk:    func() (bytes, limit int64) { u := n.packs.host.Usage(); return u.Bytes, u.Limit },
		PackageEntries: func() map[string]int {
			u := n.packs.host.Usage()
			return map[string]int{"contents": u.Contents, "packages": u.Packages, "trees": u.Trees, "held": u.Held}
		},
		PackageEvicted: func() int64 { return n.packs.host.Usage().Evicted },
		Preloaded:      func() int { return n.pool.Stats().Preloaded },
	})
}

// scrapeTime bounds what a scrape asks of the database, which counts by small indexes.
const scrapeTime = 2 * time.Second

// packageStates counts what is not ready. A database that is busy leaves the series out for once.
func (n *Node) packageStates() map[string]int {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime) // a collector is given none
	defer cancel()
	queued, building, failed, err := n.store.ContentStates(ctx)
	if err != nil {
		n.log.Warn("cannot count packages for metrics", "err", err)
		return nil
	}
	return map[string]int{"queued": int(queued), "building": int(building), "failed": int(failed)}
}

// metricsHandler asks for the admin token unless the management side has an address of its own.
func (n *Node) metricsHandler(admin *auth.Admin) http.Handler {
	h := n.metrics.Handler()
	if n.cfg.AdminListen != "" {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := admin.Check(r); err != nil {
			problem.Write(w, rand.Text(), err)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// url is where whoever sent this request reaches a function.
func (n *Node) url(r *http.Request, tenant, container, function string) string {
	scheme := "http"
	if n.cert != nil {
		scheme = "https"
	}
	if n.cfg.RunDomain != "" {
		host := container + "." + tenant + "." + n.cfg.RunDomain
		if _, port, err := net.SplitHostPort(n.cfg.Listen); err == nil && port != "80" && port != "443" {
			host = net.JoinHostPort(host, port)
		}
		return scheme + "://" + host + "/" + function
	}
	host := r.Host
	if n.cfg.AdminListen != "" { // that address does not serve functions
		host = n.cfg.Listen
	}
	return scheme + "://" + host + "/run/" + tenant + "/" + container + "/" + function
}

// hostCheck guards a management side on loopback against names that a page made point here.
func (n *Node) hostCheck() func(*http.Request) error {
	address := n.cfg.AdminListen
	if address == "" {
		address = n.cfg.Listen
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil
	}
	return auth.Hosts("localhost", "127.0.0.1", "::1", host)
}
