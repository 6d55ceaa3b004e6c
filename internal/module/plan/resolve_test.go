package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// edges writes a tree as name@version>name@version for each link, "." for the function, "^" for what is hoisted.
func edges(t *Tree) string {
	var list []string
	to := func(key string) string { p := t.Find(key); return p.Name + "@" + p.Version[:1] }
	for _, key := range t.Direct {
		list = append(list, ".>"+to(key))
	}
	for _, key := range t.Hoisted {
		list = append(list, "^"+to(key))
	}
	for _, p := range t.Packages {
		for _, key := range p.Deps {
			list = append(list, to(p.Key)+">"+to(key))
		}
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), " ")
}

func TestResolvesAsNpm(t *testing.T) {
	t.Parallel()
	entry := func(at, version, more string) string {
		if more != "" {
			more = "," + more
		}
		return fmt.Sprintf(`%q:{"version":"%s.0.0","integrity":%q%s}`, at, version, sum, more)
	}
	for _, c := range []struct{ name, root, want, entries string }{
		{
			"the nearest folder wins", `"dependencies":{"a":"1","b":"1"}`,
			".>a@1 .>b@1 a@1>b@2 b@2>c@1 ^c@1",
			entry("node_modules/a", "1", `"dependencies":{"b":"2"}`) + "," + entry("node_modules/b", "1", "") + "," +
				entry("node_modules/a/node_modules/b", "2", `"dependencies":{"c":"1"}`) + "," + entry("node_modules/c", "1", ""),
		},
		{
			"optional and optional peers may be missing, and are linked where they are", `"dependencies":{"a":"1"},"optionalDependencies":{"gone":"1"}`,
			".>a@1 ^b@1 ^d@1 a@1>b@1 a@1>d@1",
			entry("node_modules/a", "1", `"optionalDependencies":{"b":"1","c":"1"},"peerDependencies":{"d":"*","e":"*"},"peerDependenciesMeta":{"d":{"optional":true},"e":{"optional":true},"f":{"optional":true}}`) + "," +
				entry("node_modules/b", "1", "") + "," + entry("node_modules/d", "1", "") + "," + entry("node_modules/f", "1", ""),
		},
		{
			"optional wins over dependencies, they over peers", `"dependencies":{"a":"1"}`,
			".>a@1",
			entry("node_modules/a", "1", `"dependencies":{"b":"1","c":"1"},"optionalDependencies":{"b":"1","c":"1"},"peerDependencies":{"b":"1"}`),
		},
		{
			"the function's peers are installed", `"peerDependencies":{"a":"1"}`, ".>a@1", entry("node_modules/a", "1", ""),
		},
		{
			"what is for development is not there", `"dependencies":{"a":"1"},"devDependencies":{"b":"1"}`,
			".>a@1 ^d@1 a@1>d@1",
			entry("node_modules/a", "1", `"optionalDependencies":{"b":"1","d":"1"}`) + "," + entry("node_modules/b", "1", `"dev":true`) + "," +
				entry("node_modules/c", "1", `"extraneous":true`) + "," + entry("node_modules/d", "1", `"devOptional":true`),
		},
		{
			"links for development are skipped", `"dependencies":{"a":"1"}`, ".>a@1",
			entry("node_modules/a", "1", "") + `,"node_modules/w":{"resolved":"w","link":true,"dev":true}`,
		},
		{
			"what is for another platform goes, with what it alone needs and what needs it", `"dependencies":{"a":"1"}`,
			".>a@1 ^d@1 a@1>d@1",
			entry("node_modules/a", "1", `"optionalDependencies":{"b":"1","d":"1"}`) + "," + entry("node_modules/b", "1", `"dependencies":{"c":"1"}`) + "," +
				entry("node_modules/c", "1", `"os":["win32"],"optional":true,"dependencies":{"e":"1","gone":"1"}`) + "," + entry("node_modules/d", "1", `"cpu":["!arm64"],"libc":["glibc"]`) + "," +
				entry("node_modules/e", "1", ""),
		},
		{
			"a circle through an optional link", `"dependencies":{"a":"1"}`,
			".>a@1 ^b@1 a@1>b@1 b@1>a@1",
			entry("node_modules/a", "1", `"optionalDependencies":{"b":"1"}`) + "," + entry("node_modules/b", "1", `"peerDependencies":{"a":"1"}`),
		},
		{
			"a bundle is inside; what it needs from outside is linked beside it", `"dependencies":{"a":"1"}`,
			".>a@1 ^d@1 a@1>d@1 a@1>e@1",
			entry("node_modules/a", "1", `"dependencies":{"b":"1"},"bundleDependencies":["b"]`) + `,"node_modules/a/node_modules/b":{"version":"1.0.0","inBundle":true,"dependencies":{"c":"1","d":"1","e":"1"}},` +
				`"node_modules/a/node_modules/c":{"version":"1.0.0","inBundle":true},` + entry("node_modules/d", "1", "") + "," + entry("node_modules/a/node_modules/e", "1", ""),
		},
		{
			"what the function itself bundles is a package as any", `"dependencies":{"a":"1"},"bundleDependencies":["a"]`,
			".>a@1 ^b@1 a@1>b@1",
			entry("node_modules/a", "1", `"inBundle":true,"dependencies":{"b":"1"}`) + "," + entry("node_modules/b", "1", `"inBundle":true`),
		},
		{
			"a package that asks for itself has itself", `"dependencies":{"a":"1"}`, ".>a@1", entry("node_modules/a", "1", `"dependencies":{"a":"*"}`),
		},
		{
			"a copy of itself inside is itself", `"dependencies":{"a":"1"}`, ".>a@1",
			entry("node_modules/a", "1", `"dependencies":{"a":"*"}`) + "," + entry("node_modules/a/node_modules/a", "1", `"dependencies":{"a":"*"}`),
		},
		{
			"nobody leads there", `"dependencies":{"a":"1"}`, ".>a@1", entry("node_modules/a", "1", "") + "," + entry("node_modules/b", "1", `"dependencies":{"gone":"1"}`),
		},
		{
			"a bad range where nothing is and nothing has to be", `"dependencies":{"a":"1"}`, ".>a@1", entry("node_modules/a", "1", `"optionalDependencies":{"b":"git://example.org/b"}`),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tree := planned(t, []byte(fmt.Sprintf(`{"lockfileVersion":3,"packages":{"":{%s},%s}}`, c.root, c.entries)), linux)
			want := strings.Split(c.want, " ")
			slices.Sort(want)
			if got := edges(tree); got != strings.Join(want, " ") {
				t.Errorf("got  %s\nwant %s", got, strings.Join(want, " "))
			}
		})
	}
}

func TestWhatALockClaimsIsInItsKeys(t *testing.T) {
	t.Parallel()
	key := func(fields string) string {
		return planned(t, []byte(a(fields)), linux).Direct["a"]
	}
	seen := make(map[string]string)
	for _, fields := range []string{`"x":1`, `"name":"b"`, `"hasInstallScript":true`, `"bin":{"c":"c.js"}`, `"bin":{"c":"d.js"}`, `"bin":"c.js"`} {
		k := key(fields)
		if seen[k] != "" {
			t.Errorf("%s and %s have one key", seen[k], fields)
		}
		seen[k] = fields
	}
	for _, same := range [][2]string{{`"bin":{"c":"./c.js"}`, `"bin":{"c":"c.js"}`}, {`"bin":{"c":"../../c.js"}`, `"bin":{"c":"c.js"}`}, {`"bin":{"@s/c":"c.js"}`, `"bin":{"c":"c.js"}`}, {`"engines":{"node":"1"}`, `"x":1`}, {`"resolved":"https://example.org/a.tgz"`, `"x":1`}} {
		if key(same[0]) != key(same[1]) {
			t.Errorf("%s and %s have two keys", same[0], same[1])
		}
	}
}

// The largest lock that is taken; how long it takes is printed, and not judged.
func TestLargestLock(t *testing.T) {
	t.Parallel()
	var b, root strings.Builder
	for i := range 4995 {
		fmt.Fprintf(&root, `,"p%d":"1"`, i)
		fmt.Fprintf(&b, `,"node_modules/p%d":{%s,"hasInstallScript":true,"dependencies":{`, i, good)
		for k := range 19 {
			if k > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `"p%d":"1"`, (i*7+k*k*31+1)%4995)
		}
		b.WriteString("}}")
	}
	lock := fmt.Sprintf(`{"lockfileVersion":3,"packages":{"":{"dependencies":{%s}}%s}}`, root.String()[1:], b.String())
	start := time.Now()
	tree, err := func() (*Tree, error) {
		l, err := Parse([]byte(lock))
		if err != nil {
			return nil, err
		}
		return l.Tree(linux)
	}()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d packages, %d bytes: %v", len(tree.Packages), len(lock), time.Since(start))
}
