package plan

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// world is packages that depend on each other, in circles too, apart from any folder.
type world struct {
	list []thing
	need []string // of the function
}

type thing struct {
	name, real, version, seed string
	scripts                   bool
	bin                       string
	deps                      []string
}

func randomWorld(r *rand.Rand) *world {
	w := &world{}
	n := 2 + r.IntN(30)
	for i := range n {
		p := thing{name: fmt.Sprint("p", i), version: fmt.Sprintf("1.%d.0", i), seed: fmt.Sprint(i), scripts: r.IntN(6) == 0}
		if r.IntN(5) == 0 {
			p.name = "@s/" + p.name
		}
		if r.IntN(5) == 0 {
			p.real = fmt.Sprint("real", i)
		}
		w.list = append(w.list, p)
	}
	for i := range w.list {
		for range r.IntN(4) {
			if j := r.IntN(n); !slices.Contains(w.list[i].deps, w.list[j].name) {
				w.list[i].deps = append(w.list[i].deps, w.list[j].name)
			}
		}
	}
	for range 1 + r.IntN(3) {
		if p := w.list[r.IntN(n)].name; !slices.Contains(w.need, p) {
			w.need = append(w.need, p)
		}
	}
	return w
}

func (w *world) clone() *world {
	c := &world{slices.Clone(w.list), slices.Clone(w.need)}
	for i := range c.list {
		c.list[i].deps = slices.Clone(c.list[i].deps)
	}
	return c
}

func (w *world) find(name string) *thing {
	i := slices.IndexFunc(w.list, func(p thing) bool { return p.name == name })
	return &w.list[i]
}

// above returns the names of what leads to one of these, them too.
func (w *world) above(names ...string) map[string]bool {
	set := make(map[string]bool)
	for _, n := range names {
		set[n] = true
	}
	for grown := true; grown; {
		grown = false
		for _, p := range w.list {
			if !set[p.name] && slices.ContainsFunc(p.deps, func(d string) bool { return set[d] }) {
				set[p.name], grown = true, true
			}
		}
	}
	return set
}

// lock writes a lock in which every package is at the top, and, besides, copies of some in folders of
// others, deeper and deeper, as npm leaves them where it could not hoist.
func (w *world) lock(r *rand.Rand, copies int) []byte {
	entries := make(map[string]any)
	places := make(map[string]*thing)
	put := func(at string, p *thing) {
		sum := sha512.Sum512([]byte(p.seed))
		e := map[string]any{"version": p.version, "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:]), "resolved": at}
		if p.real != "" {
			e["name"] = p.real
		}
		if p.scripts {
			e["hasInstallScript"] = true
		}
		if p.bin != "" {
			e["bin"] = map[string]string{"cmd": p.bin}
		}
		kinds := make(map[string]map[string]string)
		for _, d := range p.deps {
			kind := []string{"dependencies", "optionalDependencies", "peerDependencies"}[r.IntN(3)]
			if kinds[kind] == nil {
				kinds[kind] = make(map[string]string)
			}
			kinds[kind][d] = "*"
		}
		for kind, deps := range kinds {
			e[kind] = deps
		}
		entries[at], places[at] = e, p
	}
	for i := range w.list {
		put("node_modules/"+w.list[i].name, &w.list[i])
	}
	for range copies {
		parents := sorted(places)
		at := parents[r.IntN(len(parents))]
		p := places[at]
		if len(p.deps) == 0 || strings.Count(at, "node_modules/") > 6 {
			continue
		}
		if d := p.deps[r.IntN(len(p.deps))]; d != p.name {
			put(path.Join(at, "node_modules", d), w.find(d))
		}
	}
	need := make(map[string]string)
	for _, n := range w.need {
		need[n] = "*"
	}
	entries[""] = map[string]any{"name": "f", "dependencies": need}
	return shuffled(r, entries)
}

// shuffled writes the entries in random order.
func shuffled(r *rand.Rand, entries map[string]any) []byte {
	names := sorted(entries)
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var b bytes.Buffer
	b.WriteString(`{"name":"f","lockfileVersion":3,"packages":{`)
	for i, name := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		k, _ := json.Marshal(name)
		v, _ := json.Marshal(entries[name])
		b.Write(k)
		b.WriteByte(':')
		b.Write(v)
	}
	b.WriteString("}}")
	return b.Bytes()
}

// named returns the keys by name, for trees without copies that differ.
func named(t *Tree) map[string]string {
	m := make(map[string]string)
	for _, p := range t.Packages {
		m[p.Name] = p.Key
	}
	return m
}

func worlds(t *testing.T, f func(t *testing.T, r *rand.Rand, w *world)) {
	t.Helper()
	t.Parallel()
	n := 150
	if testing.Short() {
		n = 50
	}
	for seed := range uint64(n) {
		r := rand.New(rand.NewPCG(seed, 4))
		f(t, r, randomWorld(r))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestOrderOfTheLockDoesNotMatter(t *testing.T) {
	worlds(t, func(t *testing.T, r *rand.Rand, w *world) {
		first := planned(t, w.lock(rand.New(rand.NewPCG(1, 1)), 10), linux)

		var entries struct {
			Packages map[string]any `json:"packages"`
		}
		if err := json.Unmarshal(w.lock(rand.New(rand.NewPCG(1, 1)), 10), &entries); err != nil {
			t.Fatal(err)
		}
		if again := planned(t, shuffled(r, entries.Packages), linux); !reflect.DeepEqual(first, again) {
			t.Errorf("another order made another tree:\n%s\n%s", show(first), show(again))
		}
	})
}

func TestOrderOfRealLocksDoesNotMatter(t *testing.T) {
	t.Parallel()
	lock := read(t, "testdata/locks/cycles/package-lock.json")
	var entries struct {
		Packages map[string]any `json:"packages"`
	}
	if err := json.Unmarshal(lock, &entries); err != nil {
		t.Fatal(err)
	}
	want := planned(t, lock, linux)
	r := rand.New(rand.NewPCG(7, 7))
	for range 10 {
		if got := planned(t, shuffled(r, entries.Packages), linux); !reflect.DeepEqual(got, want) {
			t.Fatal("another order made another tree")
		}
	}
}

// Copies of a package that resolve to the same are the same, wherever they are.
func TestPlacesDoNotMatter(t *testing.T) {
	copied := 0
	worlds(t, func(t *testing.T, r *rand.Rand, w *world) {
		flat := planned(t, w.lock(r, 0), linux)
		l, err := Parse(w.lock(r, 25))
		if err != nil {
			t.Fatal(err)
		}
		deep, err := l.Tree(linux)
		if err != nil {
			t.Fatal(err)
		}
		copied += l.Len() - len(w.list)
		if !reflect.DeepEqual(flat.Packages, deep.Packages) || !reflect.DeepEqual(flat.Direct, deep.Direct) {
			t.Errorf("other places made other packages:\n%s\n%s", show(flat), show(deep))
		}
	})
	if copied == 0 && !t.Failed() {
		t.Error("no lock had a copy")
	}
}

func TestAChangeChangesTheKeysAbove(t *testing.T) {
	worlds(t, func(t *testing.T, r *rand.Rand, w *world) {
		before := named(planned(t, w.lock(r, 10), linux))
		for what, change := range map[string]func(*thing){
			"version":   func(p *thing) { p.version = "9.9.9" },
			"integrity": func(p *thing) { p.seed += "'" },
			"real name": func(p *thing) { p.real += "other" },
			"scripts":   func(p *thing) { p.scripts = !p.scripts },
			"command":   func(p *thing) { p.bin = "cli.js" },
			"edge": func(p *thing) {
				for _, q := range w.list {
					if q.name != p.name && !slices.Contains(p.deps, q.name) && before[q.name] != "" {
						p.deps = append(p.deps, q.name)
						return
					}
				}
			},
			"one edge less": func(p *thing) { p.deps = p.deps[:max(0, len(p.deps)-1)] },
		} {
			other := w.clone()
			p := &other.list[r.IntN(len(other.list))]
			was := len(p.deps)
			lost := ""
			if was > 0 {
				lost = p.deps[was-1]
			}
			change(p)
			if strings.Contains(what, "edge") && (len(p.deps) == was || lost == p.name && len(p.deps) < was) {
				continue // nothing to add or lose, or only a dependency on itself
			}
			after := named(planned(t, other.lock(r, 10), linux))
			above := w.above(p.name)
			for name, key := range after {
				if was, ok := before[name]; ok && (was != key) != above[name] {
					t.Errorf("%s of %s: the key of %s changed: %v, wanted %v", what, p.name, name, was != key, above[name])
				}
			}
		}
	})
}

func TestTreesShareWhatIsEqual(t *testing.T) {
	worlds(t, func(t *testing.T, r *rand.Rand, w *world) {
		one := planned(t, w.lock(r, 5), linux)
		other := w.clone()
		other.need = []string{w.list[r.IntN(len(w.list))].name}
		other.list = append(other.list, thing{name: "new", version: "1.0.0", deps: []string{other.need[0]}})
		other.need = append(other.need, "new")
		two := planned(t, other.lock(r, 5), Options{Runtime: "node26", ABI: linux.ABI, Platform: linux.Platform})
		was := named(one)
		for name, key := range named(two) {
			if was[name] != "" && was[name] != key {
				t.Errorf("%s has another key in another tree", name)
			}
		}
	})
}

// Nodes have one key if and only if no walk tells them apart; here by hashing all walks up to a length,
// which is slow and obvious.
func TestKeysAreWhatWalksCanTell(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 9))
		n := 1 + r.IntN(14)
		kinds := 1 + r.IntN(4)
		g := newGraph(linux)
		byKind := make([][]int, kinds)
		for i := range n {
			k := r.IntN(kinds)
			byKind[k] = append(byKind[k], i)
			g.nodes = append(g.nodes, node{Package: Package{Name: fmt.Sprint("k", k), Package: fmt.Sprint("k", k), Version: "1.0.0", Scripts: k == 0}})
		}
		for i := range g.nodes {
			for k, list := range byKind {
				if len(list) > 0 && g.nodes[i].Name != fmt.Sprint("k", k) && r.IntN(3) > 0 {
					g.nodes[i].out = append(g.nodes[i].out, edge{fmt.Sprint("k", k), list[r.IntN(len(list))]})
				}
			}
		}
		walks := make([]string, n)
		for range n + 1 {
			next := make([]string, n)
			for i, nd := range g.nodes {
				d := newDigest(nd.Name)
				for _, e := range nd.out {
					d.text(e.name).text(walks[e.to])
				}
				next[i] = d.raw()
			}
			walks = next
		}
		packages, keys, err := g.keys()
		if err != nil {
			t.Fatal(err)
		}
		distinct := make(map[string]bool)
		for i := range n {
			distinct[keys[i]] = true
			for j := range i {
				if (keys[i] == keys[j]) != (walks[i] == walks[j]) {
					t.Fatalf("seed %d: nodes %d and %d: same key: %v, same walks: %v", seed, i, j, keys[i] == keys[j], walks[i] == walks[j])
				}
			}
		}
		if len(distinct) != len(packages) {
			t.Fatalf("seed %d: %d keys, %d packages", seed, len(distinct), len(packages))
		}
		// The numbers of the nodes are the order of the lock.
		perm := r.Perm(n)
		h := newGraph(linux)
		h.nodes = make([]node, n)
		for i, nd := range g.nodes {
			out := slices.Clone(nd.out)
			for k := range out {
				out[k].to = perm[out[k].to]
			}
			nd.out = out
			h.nodes[perm[i]] = nd
		}
		_, again, err := h.keys()
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if keys[i] != again[perm[i]] {
				t.Fatalf("seed %d: node %d has another key after renumbering", seed, i)
			}
		}
	}
}

func TestPrivatePackagesAreSalted(t *testing.T) {
	t.Parallel()
	w := &world{need: []string{"top", "beside"}, list: []thing{
		{name: "top", version: "1.0.0", deps: []string{"built"}},
		{name: "built", version: "1.0.0", scripts: true, deps: []string{"mine", "base"}},
		{name: "mine", real: "@corp/mine", version: "1.0.0", deps: []string{"base"}},
		{name: "base", version: "1.0.0"},
		{name: "beside", version: "1.0.0", scripts: true, deps: []string{"base"}},
	}}
	plan := func(tenant string) map[string]Package {
		o := linux
		o.Private = func(name string) string {
			if strings.HasPrefix(name, "@corp/") {
				return tenant
			}
			return ""
		}
		m := make(map[string]Package)
		for _, p := range planned(t, w.lock(rand.New(rand.NewPCG(1, 2)), 0), o).Packages {
			m[p.Name] = p
		}
		return m
	}
	one, two, none := plan("t1"), plan("t2"), plan("")
	for _, name := range []string{"top", "built", "mine"} {
		if one[name].Key == two[name].Key || one[name].Key == none[name].Key {
			t.Errorf("%s has one key for two tenants", name)
		}
	}
	for _, name := range []string{"base", "beside"} {
		if one[name].Key != two[name].Key || one[name].Tenant != "" {
			t.Errorf("%s is not shared", name)
		}
	}
	if one["mine"].Content == two["mine"].Content || one["mine"].Tenant != "t1" {
		t.Errorf("the content of a private package is shared: %+v", one["mine"])
	}
	if one["built"].Tenant != "t1" || one["top"].Tenant != "" || one["top"].Content != two["top"].Content {
		t.Error("what is built beside a private package must be the tenant's, what is only linked to it need not")
	}
}

func TestPlatformAndABIReachWhatIsBuilt(t *testing.T) {
	t.Parallel()
	w := &world{need: []string{"top", "plain"}, list: []thing{
		{name: "top", version: "1.0.0", deps: []string{"built"}},
		{name: "built", version: "1.0.0", scripts: true, deps: []string{"plain"}},
		{name: "plain", version: "1.0.0"},
	}}
	lock := w.lock(rand.New(rand.NewPCG(1, 2)), 0)
	base := planned(t, lock, linux)
	for what, o := range map[string]Options{
		"ABI":      {linux.Runtime, "141", linux.Platform, nil},
		"platform": {linux.Runtime, linux.ABI, Platform{"linux", "arm64", "glibc"}, nil},
		"libc":     {linux.Runtime, linux.ABI, Platform{"linux", "x64", "musl"}, nil},
	} {
		other := planned(t, lock, o)
		was, is := named(base), named(other)
		for name, same := range map[string]bool{"top": false, "built": false, "plain": true} {
			if (was[name] == is[name]) != same {
				t.Errorf("%s: %s has the same key: %v, want %v", what, name, !same, same)
			}
		}
		if base.Key == other.Key {
			t.Errorf("%s: the trees have one key", what)
		}
	}
	if o := planned(t, lock, Options{Runtime: "node26", ABI: linux.ABI, Platform: linux.Platform}); o.Key == base.Key || !maps.Equal(named(o), named(base)) {
		t.Error("another runtime of the same ABI is another tree of the same packages")
	}
}
