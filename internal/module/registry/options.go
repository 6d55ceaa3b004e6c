package registry

import "time"

// Options are how a registry is used. Zero fields mean the defaults.
type Options struct {
	Cache  *Cache        // where packuments are kept; nil: nowhere
	Tenant string        // whose the registry is, "" the node's: its entries in the cache are its own
	Fresh  time.Duration // the longest time that a packument counts as fresh; default an hour
	Spool  string        // folder for larger tarballs; default the system's for temporary files
	Header time.Duration // until an answer begins
	Stall  time.Duration // without a byte of a body
	Hooks  Hooks
}

func (o Options) withDefaults() Options {
	if o.Fresh == 0 {
		o.Fresh = time.Hour
	}
	if o.Header == 0 {
		o.Header = headerTime
	}
	if o.Stall == 0 {
		o.Stall = stallTime
	}
	return o
}

// Hooks are told what happens, for metrics. Each may be nil, is called from many goroutines, and must
// not block.
type Hooks struct {
	Request func(kind string, status int) // kind: packument, version, tarball; status 0: no answer
	Cache   func(result string)           // fresh, unchanged, fetched, stale
	Bytes   func(n int64)                 // of bodies, as they came
}

func (h Hooks) request(kind string, status int) {
	if h.Request != nil {
		h.Request(kind, status)
	}
}

func (h Hooks) cache(result string) {
	if h.Cache != nil {
		h.Cache(result)
	}
}

func (h Hooks) bytes(n int64) {
	if h.Bytes != nil {
		h.Bytes(n)
	}
}

// With returns the same registry, used in another way, with connections of its own.
func (r *Registry) With(o Options) (*Registry, error) {
	s := r.site
	s.options = o
	out, err := connect(s)
	if err != nil {
		return nil, err
	}
	out.Source, out.Skipped = r.Source, r.Skipped
	return out, nil
}
