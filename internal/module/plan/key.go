package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
)

// What is hashed begins with one of these, so that no two kinds can be taken for each other. Whoever
// changes what follows one of them gives it a new number: keys are names for ever.
const (
	domainContent  = "hearth content 1"
	domainIdentity = "hearth identity 1"
	domainPackage  = "hearth package 1"
	domainCycle    = "hearth cycle 1"
	domainMember   = "hearth member 1"
	domainTree     = "hearth tree 1"
)

// digest collects fields and hashes them so that their borders count: each one after its length.
type digest struct{ buf []byte }

func newDigest(domain string) *digest {
	d := &digest{make([]byte, 0, 1024)}
	return d.text(domain)
}

func (d *digest) text(s string) *digest {
	d.buf = binary.BigEndian.AppendUint64(d.buf, uint64(len(s)))
	d.buf = append(d.buf, s...)
	return d
}

func (d *digest) number(n int) *digest {
	d.buf = binary.BigEndian.AppendUint64(d.buf, 8)
	d.buf = binary.BigEndian.AppendUint64(d.buf, uint64(n))
	return d
}

func (d *digest) texts(m map[string]string) *digest {
	d.number(len(m))
	for _, name := range sorted(m) {
		d.text(name).text(m[name])
	}
	return d
}

func (d *digest) raw() string {
	sum := sha256.Sum256(d.buf)
	return string(sum[:])
}

func (d *digest) hex() string { return hex.EncodeToString([]byte(d.raw())) }

// content returns the name of what is unpacked for a package that nothing is built of.
func (p *Package) content() string {
	return newDigest(domainContent).text(p.Package).text(p.Version).text(p.Integrity).text(p.Tenant).hex()
}

func (t *Tree) hash() string {
	return newDigest(domainTree).text(t.Runtime).text(t.Platform).texts(t.Direct).texts(t.Hoisted).hex()
}

// graph is what is installed, with nothing left of where it stands in the lock.
type graph struct {
	o     Options
	nodes []node
	class []int // node → class: nodes of one class are one package
}

// node is one package of the lock, or, once merged, of the tree.
type node struct {
	Package
	identity string // hash of all but the edges
	out      []edge // sorted by name
}

type edge struct {
	name string
	to   int
}

func newGraph(o Options) *graph { return &graph{o: o} }

func (g *graph) add(u *unit) int {
	n := node{Package: Package{Name: u.name, Package: u.pkg, Version: u.version, Integrity: u.integrity, Scripts: u.scripts, Bin: u.bin}}
	if len(n.Bin) == 0 {
		n.Bin = nil
	}
	if g.o.Private != nil {
		n.Tenant = g.o.Private(u.pkg)
	}
	g.nodes = append(g.nodes, n)
	return len(g.nodes) - 1
}

func (g *graph) connect(u *unit) {
	n := &g.nodes[u.node]
	for _, k := range u.links {
		n.out = append(n.out, edge{k.name, k.to.node})
	}
}

// keys gives every node its key, and returns the packages of which no two are one.
func (g *graph) keys() ([]Package, []string, error) {
	g.closeTenants()
	for i := range g.nodes {
		g.nodes[i].identity = g.identify(&g.nodes[i])
	}
	if err := g.classify(); err != nil {
		return nil, nil, err
	}
	m, err := g.merged()
	if err != nil {
		return nil, nil, err
	}
	if err := m.name(); err != nil {
		return nil, nil, err
	}
	keys := make([]string, len(g.nodes))
	for i := range keys {
		keys[i] = m.nodes[g.class[i]].Key
	}
	packages := make([]Package, len(m.nodes))
	for i := range m.nodes {
		packages[i] = m.nodes[i].Package
	}
	slices.SortFunc(packages, func(a, b Package) int { return cmp.Compare(a.Key, b.Key) })
	return packages, keys, nil
}

// closeTenants makes what is built beside a tenant's own package that tenant's too: its scripts
// could read the one and put it into the other.
func (g *graph) closeTenants() {
	into := make([][]int, len(g.nodes))
	var queue []int
	for i, n := range g.nodes {
		for _, e := range n.out {
			into[e.to] = append(into[e.to], i)
		}
		if n.Tenant != "" {
			queue = append(queue, i)
		}
	}
	reached := make([]bool, len(g.nodes))
	tenant := ""
	for len(queue) > 0 {
		i := queue[0]
		queue = queue[1:]
		if reached[i] {
			continue
		}
		reached[i] = true
		if n := &g.nodes[i]; n.Tenant != "" {
			tenant = n.Tenant
		} else if n.Scripts {
			n.Tenant = tenant
		}
		queue = append(queue, into[i]...)
	}
}

func (g *graph) identify(n *node) string {
	d := newDigest(domainIdentity).text(n.Name).text(n.Package.Package).text(n.Version).text(n.Integrity).text(n.Tenant).texts(n.Bin)
	if n.Scripts {
		d.text("scripts").text(g.o.Platform.String()).text(g.o.ABI)
	}
	return d.raw()
}

// classify finds which nodes nothing tells apart: equal identities, equal names of edges, and edges
// that lead to classes that are equal again. It begins with the coarsest partition that might be and
// splits until nothing differs. In an honest lock almost every class has one member from the start.
func (g *graph) classify() error {
	g.class = make([]int, len(g.nodes))
	first := make(map[string][]int)
	var sign []byte
	for i, n := range g.nodes {
		sign = append(sign[:0], n.identity...)
		for _, e := range n.out {
			sign = append(append(sign, e.name...), 0)
		}
		first[string(sign)] = append(first[string(sign)], i)
	}
	classes := 0
	var open [][]int
	split := func(groups map[string][]int, keep int) {
		for _, members := range groups {
			if keep < 0 {
				keep = classes
				classes++
			}
			for _, i := range members {
				g.class[i] = keep
			}
			if keep = -1; len(members) > 1 {
				open = append(open, members)
			}
		}
	}
	split(first, -1)
	for work, changed := 0, true; changed; {
		changed = false
		now := open
		open = nil
		for _, members := range now {
			groups := make(map[string][]int)
			for _, i := range members {
				sign = sign[:0]
				for _, e := range g.nodes[i].out {
					sign = binary.BigEndian.AppendUint32(sign, uint32(g.class[e.to]))
				}
				groups[string(sign)] = append(groups[string(sign)], i)
				if work += 1 + len(g.nodes[i].out); work > maxWork {
					return refuse("its packages are too entangled to be told apart")
				}
			}
			changed = changed || len(groups) > 1
			split(groups, g.class[members[0]])
		}
	}
	return nil
}

// maxWork bounds, in edges looked at, what a lock made to be slow can cost: about a second. Honest
// ones need fewer than they have edges.
const maxWork = 10_000_000

// merged returns the graph of the classes.
func (g *graph) merged() (*graph, error) {
	classes := 0
	for _, c := range g.class {
		classes = max(classes, c+1)
	}
	m := &graph{o: g.o, nodes: make([]node, classes)}
	for i, n := range g.nodes {
		c := g.class[i]
		if m.nodes[c].identity != "" {
			continue
		}
		out := make([]edge, 0, len(n.out))
		for _, e := range n.out {
			// A package that asks for itself finds itself in its own folder's name.
			if e.to = g.class[e.to]; e.to == c {
				continue
			}
			if e.name == n.Name { // its link would have to be where its own folder is
				return nil, refuse("%s@%s depends on another version of itself, which can't be linked", n.Package.Package, n.Version)
			}
			out = append(out, e)
		}
		n.out = out
		m.nodes[c] = n
	}
	return m, nil
}

// name gives the nodes of a merged graph their keys, components that others lead to first.
func (g *graph) name() error {
	work := 0
	for _, members := range g.components() {
		if len(members) == 1 {
			g.alone(&g.nodes[members[0]])
		} else if err := g.cycle(members, &work); err != nil {
			return err
		}
	}
	for i := range g.nodes {
		n := &g.nodes[i]
		n.Deps = make(map[string]string, len(n.out))
		for _, e := range n.out {
			n.Deps[e.name] = g.nodes[e.to].Key
		}
		if n.Content = n.Key; !n.Scripts {
			n.Content = n.content()
		}
	}
	return nil
}

func (g *graph) alone(n *node) {
	d := newDigest(domainPackage).text(n.identity).number(len(n.out))
	for _, e := range n.out {
		d.text(e.name).text(g.nodes[e.to].Key)
	}
	n.Key = d.hex()
}

// cycle names the members of a component: by the hash of the whole, and by their place in an order
// that depends on nothing but what they are. That order comes from colours: at first what a member is
// and what it leads to outside, then, round by round, the colours of what it leads to inside. No two
// members of a merged graph stay equal, so the rounds end, mostly before the first.
func (g *graph) cycle(members []int, work *int) error {
	colour := make(map[int]string, len(members))
	for _, i := range members {
		colour[i] = ""
	}
	inside := func(i int) bool { _, ok := colour[i]; return ok }
	for _, i := range members {
		n := &g.nodes[i]
		d := newDigest(domainCycle).text("colour").text(n.identity).number(len(n.out))
		for _, e := range n.out {
			d.text(e.name)
			if !inside(e.to) {
				d.text(g.nodes[e.to].Key)
			}
		}
		colour[i] = d.raw()
	}
	order := slices.Clone(members)
	for !g.inOrder(order, colour) {
		next := make(map[int]string, len(members))
		for _, i := range members {
			d := newDigest(domainCycle).text("round").text(colour[i])
			for _, e := range g.nodes[i].out {
				if inside(e.to) {
					d.text(e.name).text(colour[e.to])
				}
			}
			next[i] = d.raw()
			if *work += 20 * (1 + len(g.nodes[i].out)); *work > maxWork {
				return refuse("its packages are too entangled to be told apart")
			}
		}
		for i, c := range next {
			colour[i] = c
		}
	}
	place := make(map[int]int, len(order))
	for at, i := range order {
		place[i] = at
	}
	whole := newDigest(domainCycle).text("whole").number(len(order))
	for _, i := range order {
		n := &g.nodes[i]
		whole.text(n.identity).number(len(n.out))
		for _, e := range n.out {
			whole.text(e.name)
			if at, ok := place[e.to]; ok {
				whole.text("inside").number(at)
			} else {
				whole.text("outside").text(g.nodes[e.to].Key)
			}
		}
	}
	sum := whole.hex()
	for at, i := range order {
		g.nodes[i].Key = newDigest(domainMember).text(sum).number(at).text(g.nodes[i].identity).hex()
	}
	return nil
}

// inOrder sorts by colour, and reports whether no two are equal.
func (g *graph) inOrder(order []int, colour map[int]string) bool {
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(colour[a], colour[b]) })
	for at := 1; at < len(order); at++ {
		if colour[order[at-1]] == colour[order[at]] {
			return false
		}
	}
	return true
}

// components returns the strongly connected components (Tarjan), each after those that it leads to.
// The recursion is as deep as there are packages, which the limit bounds.
func (g *graph) components() [][]int {
	var (
		list  [][]int
		stack []int
		index = make([]int, len(g.nodes)) // 0: not visited
		low   = make([]int, len(g.nodes))
		on    = make([]bool, len(g.nodes))
		count int
		visit func(int)
	)
	visit = func(v int) {
		count++
		index[v], low[v], on[v] = count, count, true
		stack = append(stack, v)
		for _, e := range g.nodes[v].out {
			if index[e.to] == 0 {
				visit(e.to)
				low[v] = min(low[v], low[e.to])
			} else if on[e.to] {
				low[v] = min(low[v], index[e.to])
			}
		}
		if low[v] != index[v] {
			return
		}
		at := slices.Index(stack, v)
		members := slices.Clone(stack[at:])
		stack = stack[:at]
		for _, m := range members {
			on[m] = false
		}
		list = append(list, members)
	}
	for v := range g.nodes {
		if index[v] == 0 {
			visit(v)
		}
	}
	return list
}
