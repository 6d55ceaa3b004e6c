package logs

import (
	"cmp"
	"maps"
	"slices"
)

// trim brings the node below its cap: what is over comes from the tenants that hold the most, from
// each its oldest segments first. A tenth is freed beyond the need, so that this is rare.
func (l *Logs) trim() {
	if l.onDisk.Load() <= l.cfg.NodeBytes {
		return
	}
	type held struct {
		s *stream
		segment
	}
	byTenant, sum := map[string][]held{}, map[string]int64{}
	for _, v := range l.streams.Range {
		s := v.(*stream)
		tenant := l.tenantOf(s)
		segs, _ := s.readable()
		for _, g := range segs {
			byTenant[tenant] = append(byTenant[tenant], held{s, g})
			sum[tenant] += g.size
		}
	}
	level := share(slices.Collect(maps.Values(sum)), l.cfg.NodeBytes*9/10)
	for tenant, all := range byTenant {
		slices.SortFunc(all, func(a, b held) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.first, b.first)) })
		for _, h := range all {
			if sum[tenant] <= level {
				break
			}
			h.s.disk.Lock()
			if segs, _ := h.s.readable(); len(segs) > 0 && segs[0].first == h.first {
				if err := l.removeOldest(h.s); err != nil {
					l.complain(h.s, err)
				}
			}
			h.s.disk.Unlock()
			sum[tenant] -= h.size
		}
	}
}

// share returns how much everyone may hold so that all together hold at most sum, when those who
// hold less leave the rest to the others.
func share(held []int64, sum int64) int64 {
	slices.Sort(held)
	for i, n := range held {
		level := sum / int64(len(held)-i)
		if n > level {
			return level
		}
		sum -= n
	}
	return sum
}

// tenantOf reads a log's tenant from its newest segment if nobody has said it since the start.
func (l *Logs) tenantOf(s *stream) string {
	s.disk.Lock()
	err := l.load(s)
	s.disk.Unlock()
	if n := s.names.Load(); err == nil && n != nil {
		return n.tenant
	}
	return ""
}
