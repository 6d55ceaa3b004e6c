package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// unit is an entry that has a content of its own: what a package of the tree is made from.
type unit struct {
	*entry
	links    []link   // sorted by name
	problem  error    // why it can't be installed, found only when somebody needs it
	misfit   *unit    // whose platform keeps it from being installed: itself, or what it requires
	inside   []*entry // what it bundles
	included bool
	node     int // in the graph, once included
}

// link is a dependency and what it resolved to.
type link struct {
	name     string
	to       *unit
	optional bool
}

// Tree plans the lock for a platform: what of it is installed, and under which keys.
func (l *Lock) Tree(o Options) (*Tree, error) {
	s := newSelection(l)
	s.root.resolve(s.units)
	for _, u := range s.list {
		u.resolve(s.units)
	}
	s.leaveOut(o.Platform)
	if err := s.include(); err != nil {
		return nil, err
	}
	g := newGraph(o)
	for _, u := range s.list {
		if u.included {
			u.node = g.add(u)
		}
	}
	for _, u := range s.list {
		if u.included {
			g.connect(u)
		}
	}
	packages, keys, err := g.keys()
	if err != nil {
		return nil, err
	}
	t := &Tree{Runtime: o.Runtime, Platform: o.Platform.String(), Direct: make(map[string]string), Hoisted: make(map[string]string), Packages: packages}
	for _, k := range s.root.links {
		t.Direct[k.name] = keys[k.to.node]
	}
	for _, u := range s.list {
		if u.included && u.lookup.parent == l.root && t.Direct[u.name] == "" {
			t.Hoisted[u.name] = keys[u.node]
		}
	}
	t.Key = t.hash()
	return t, nil
}

// selection is what of a lock is installed on a platform.
type selection struct {
	root  *unit
	list  []*unit
	units map[*entry]*unit
}

func newSelection(l *Lock) *selection {
	s := &selection{root: &unit{entry: l.root}, units: make(map[*entry]*unit, len(l.entries))}
	for _, e := range l.entries {
		if !e.skipped && !e.bundled {
			u := &unit{entry: e}
			s.list = append(s.list, u)
			s.units[e] = u
		}
	}
	for _, e := range l.entries {
		if owner := s.units[e.owner]; owner != nil && e.bundled {
			owner.inside = append(owner.inside, e)
		}
	}
	return s
}

// resolve finds the links of a unit: those of its own dependencies, and those by which what it
// bundles leaves it, since Node.js, in a bundled package, looks beside the outer one too.
func (u *unit) resolve(units map[*entry]*unit) {
	links := make(map[string]link, len(u.deps))
	for _, d := range u.deps {
		switch to := u.entry.resolve(d.name); {
		case to == nil && d.optional:
		case elsewhere(d.spec) != "":
			u.fail("%s: %q %s", u.wants(d.name), clip(d.spec), elsewhere(d.spec))
		case to == nil:
			u.fail("%s, and the lock has no such package: make the lock anew with npm install", u.wants(d.name))
		case to.bundled && to.owner == u.entry: // inside the content
		case units[to] != nil:
			links[d.name] = link{d.name, units[to], d.optional}
		case !d.optional:
			u.fail("%s, which is only there inside %s", u.wants(d.name), clip(to.owner.path))
		}
	}
	for _, e := range u.inside {
		for _, d := range e.deps {
			to := units[e.resolve(d.name)]
			if to == nil || to == units[u.entry] {
				continue // what is bundled and incomplete is so for npm too
			}
			if was, ok := links[d.name]; !ok {
				links[d.name] = link{d.name, to, true}
			} else if was.to != to {
				u.fail("%s, and in another version for what it bundles, which can't both be linked", u.wants(d.name))
			}
		}
	}
	u.links = slices.SortedFunc(maps.Values(links), func(a, b link) int { return cmp.Compare(a.name, b.name) })
}

func (u *unit) wants(name string) string {
	if u.path == "" {
		return fmt.Sprintf("the function depends on %s", name)
	}
	return fmt.Sprintf("%s@%s depends on %s", u.pkg, u.version, name)
}

func (u *unit) fail(format string, args ...any) {
	if u.problem == nil {
		u.problem = refuse(format, args...)
	}
}

// leaveOut marks what does not fit the platform and what requires that. It ends at optional
// dependencies, which lose their links (npm: optional-set.js).
func (s *selection) leaveOut(p Platform) {
	needing := make(map[*unit][]*unit)
	var queue []*unit
	for _, u := range append(slices.Clone(s.list), s.root) {
		if u != s.root && !p.fits(u.needs) {
			u.misfit = u
			queue = append(queue, u)
		}
		for _, k := range u.links {
			if !k.optional {
				needing[k.to] = append(needing[k.to], u)
			}
		}
	}
	for len(queue) > 0 {
		u := queue[0]
		queue = queue[1:]
		for _, by := range needing[u] {
			if by.misfit == nil {
				by.misfit = u.misfit
				queue = append(queue, by)
			}
		}
	}
	for _, u := range append(slices.Clone(s.list), s.root) {
		u.links = slices.DeleteFunc(u.links, func(k link) bool { return k.optional && k.to.misfit != nil })
	}
	if s.root.misfit != nil {
		m := s.root.misfit
		s.root.problem = badPlatform(m, p)
	}
}

func badPlatform(u *unit, p Platform) error {
	e := refuse("%s@%s is for another platform: it wants %s, and functions run on %s (EBADPLATFORM)", u.pkg, u.version, u.needs, p)
	e.Reason = "EBADPLATFORM"
	return e
}

// include takes into the tree what the root leads to. Nothing else of an honest lock is left then, but
// what only packages of other platforms need, and npm installs none of it either.
func (s *selection) include() error {
	queue := []*unit{s.root}
	for len(queue) > 0 {
		u := queue[0]
		queue = queue[1:]
		if u.included {
			continue
		}
		if u.problem != nil {
			return u.problem
		}
		u.included = true
		for _, k := range u.links {
			queue = append(queue, k.to)
		}
	}
	return nil
}

// Matches says whether a user's lock was made for these dependencies, as `npm ci` asks, or what differs.
func (l *Lock) Matches(dependencies map[string]string) error {
	have := make(map[string]string)
	for _, d := range l.root.deps {
		have[d.name] = d.spec
	}
	all := maps.Clone(have)
	maps.Copy(all, dependencies)
	for _, name := range sorted(all) {
		locked, inLock := have[name]
		asked, isAsked := dependencies[name]
		switch {
		case !inLock:
			return refuse("was made without %s, which the function depends on: make it anew with npm install", clip(name))
		case !isAsked:
			return refuse("was made with %s, which the function does not depend on: make it anew with npm install", name)
		case locked != asked:
			return refuse("was made for %s %q, and the function depends on %q: make it anew with npm install", name, clip(locked), clip(asked))
		}
	}
	return nil
}

// Len returns the number of packages in the lock, those for development and other platforms too.
func (l *Lock) Len() int { return len(l.entries) }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
