package plan

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"hearth"
)

const sum = "sha512-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="

// good is what an entry needs.
const good = `"version":"1.0.0","integrity":"` + sum + `"`

// doc is a lock whose function depends on a, with these further members of "packages".
func doc(entries string) string {
	return `{"lockfileVersion":3,"packages":{"":{"dependencies":{"a":"^1"}},` + entries + `}}`
}

// a is a lock in which a has these fields beside what it needs.
func a(fields string) string { return doc(`"node_modules/a":{` + good + `,` + fields + `}`) }

// at is a lock with one entry at this path.
func at(path string) string { return doc(fmt.Sprintf("%q:{%s}", path, good)) }

func deps(spec string) string {
	return doc(fmt.Sprintf(`"node_modules/a":{%s,"dependencies":{"b":%q}},"node_modules/b":{%s}`, good, spec, good))
}

// hostileLocks are refused by Parse, or by Tree where only a platform or a need can tell.
var hostileLocks = []struct{ name, lock string }{
	// no JSON, or JSON that two readers read differently
	{"nothing", ""},
	{"a list", `[]`},
	{"cut off", doc(`"node_modules/a":{` + good)},
	{"two documents", doc(`"node_modules/a":{`+good+`}`) + `{}`},
	{"a byte order mark", "\ufeff{}"},
	{"a comment", "{/*x*/}"},
	{"a last comma", `{"lockfileVersion":3,}`},
	{"single quotes", `{'lockfileVersion':3}`},
	{"not UTF-8", "{\"a\xff\":1}"},
	{"NUL in a text", "{\"a\x00\":1}"},
	{"half a surrogate pair", `{"\ud800":1}`},
	{"a pair the wrong way round", `{"\udc00\ud800":1}`},
	{"an unknown escape", `{"\x41":1}`},
	{"an escape cut off", `{"\u12`},
	{"a number with a leading zero", `{"lockfileVersion":03}`},
	{"infinity", `{"lockfileVersion":Infinity}`},
	{"a text without an end", `{"lockfileVersion":"3`},
	{"a key twice", `{"lockfileVersion":3,"lockfileVersion":1,"packages":{"":{}}}`},
	{"a key twice, one escaped", `{"lockfileVersion":3,"packages":{"":{}},"p\u0061ckages":{}}`},
	{"a package twice", doc(`"node_modules/a":{` + good + `},"node_modules/a":{` + good + `}`)},
	{"an integrity twice", a(`"integrity":"` + sum + `"`)},
	{"a key twice where nobody reads", a(`"funding":{"x":1,"x":2}`)},
	{"a key twice after many", a(`"funding":{` + numbered(40) + `,"k7":1}`)},
	{"depth 100,000", `{"x":` + strings.Repeat("[", 100_000)},
	{"100,000 members", `{"x":{` + numbered(100_000) + `}}`},
	{"a list of 100,000", `{"x":[` + strings.Repeat("0,", 99_999) + `0]}`},

	// not a lock
	{"a package.json", `{"name":"f","dependencies":{"a":"1"}}`},
	{"version 0", `{"lockfileVersion":0,"packages":{"":{}}}`},
	{"version 4", `{"lockfileVersion":4,"packages":{"":{}}}`},
	{"version 1e9", `{"lockfileVersion":1e9,"packages":{"":{}}}`},
	{"version as text", `{"lockfileVersion":"3","packages":{"":{}}}`},
	{"a negative version", `{"lockfileVersion":-3,"packages":{"":{}}}`},
	{"no packages", `{"lockfileVersion":2,"dependencies":{}}`},
	{"no root", `{"lockfileVersion":3,"packages":{}}`},
	{"packages as list", `{"lockfileVersion":3,"packages":[]}`},
	{"an entry as text", doc(`"node_modules/a":"1.0.0"`)},
	{"an entry as null", doc(`"node_modules/a":null`)},
	{"workspaces", `{"lockfileVersion":3,"packages":{"":{"workspaces":["packages/*"]}}}`},
	{"5,001 packages", many(5001)},
	{"too many dependencies", entangled()},

	// paths
	{"path ..", at("node_modules/..")},
	{"path ../a", at("../a")},
	{"path node_modules/../../etc", at("node_modules/../../etc")},
	{"path node_modules/a/../b", at("node_modules/a/../b")},
	{"path node_modules/./a", at("node_modules/./a")},
	{"path node_modules//a", at("node_modules//a")},
	{"path /etc/passwd", at("/etc/passwd")},
	{"path /node_modules/a", at("/node_modules/a")},
	{"path C:/node_modules/a", at("C:/node_modules/a")},
	{"path with a backslash", at(`node_modules\a`)},
	{"path with a backslash below", at(`node_modules/a\..\b`)},
	{"path with NUL", at("node_modules/a\x00b")},
	{"path with a newline", doc(`"node_modules/a\nb":{}`)},
	{"path with an escape sequence", doc(`"node_modules/\u001b[2Ja":{}`)},
	{"path from right to left", at("node_modules/\u202ea")},
	{"path with a space at its end", at("node_modules/a ")},
	{"path with a slash at its end", at("node_modules/a/")},
	{"path node_modules", at("node_modules")},
	{"path node_modules/", at("node_modules/")},
	{"path node_modules/node_modules", at("node_modules/node_modules")},
	{"path node_modules/node_modules/a", at("node_modules/node_modules/a")},
	{"path node_modules/a/lib", at("node_modules/a/lib")},
	{"path node_modules/a/lib/node_modules/b", at("node_modules/a/lib/node_modules/b")},
	{"path node_modules/.bin", at("node_modules/.bin")},
	{"path node_modules/.hooks", at("node_modules/.hooks")},
	{"path node_modules/@s", at("node_modules/@s")},
	{"path node_modules/@s/", at("node_modules/@s/")},
	{"path node_modules/@/a", at("node_modules/@/a")},
	{"path node_modules/@../a", at("node_modules/@../a")},
	{"path node_modules/@s/..", at("node_modules/@s/..")},
	{"path node_modules/@s/a/b", at("node_modules/@s/a/b")},
	{"path node_modules/@s%2fa", at("node_modules/@s%2fa")},
	{"path node_modules/__proto__", at("node_modules/__proto__")},
	{"path node_modules/@s/__proto__", at("node_modules/@s/__proto__")},
	{"path packages/a", at("packages/a")},
	{"path of 5,000 bytes", at("node_modules/" + strings.Repeat("a", 5000))},
	{"a name of 300 bytes", at("node_modules/" + strings.Repeat("a", 300))},
	{"path of 40 packages", at(strings.Repeat("node_modules/a/", 39) + "node_modules/a")},
	{"no parent", at("node_modules/a/node_modules/b")},

	// what an entry says
	{"no version", doc(`"node_modules/a":{"integrity":"` + sum + `"}`)},
	{"version as number", doc(`"node_modules/a":{"version":1}`)},
	{"version ^1.0.0", version("^1.0.0")},
	{"version latest", version("latest")},
	{"version v1.0.0", version("v1.0.0")},
	{"version 1.0", version("1.0")},
	{"version 01.0.0", version("01.0.0")},
	{"version 1.0.0-", version("1.0.0-")},
	{"version 1.0.0-01", version("1.0.0-01")},
	{"version 1.0.0+", version("1.0.0+")},
	{"version ../1.0.0", version("../1.0.0")},
	{"version with a newline", version("1.0.0\n")},
	{"version beyond counting", version("99999999999999999999.0.0")},
	{"version of 300 bytes", version("1.0.0-" + strings.Repeat("a", 300))},
	{"version git", version("git+ssh://git@example.org/a.git#0123")},
	{"version file", version("file:../a")},
	{"version tarball", version("https://example.org/a.tgz")},
	{"a real name with ..", a(`"name":"../a"`)},
	{"a real name with a slash", a(`"name":"a/b"`)},
	{"a real name of a machine", a(`"name":"a@1"`)},
	{"no integrity", doc(`"node_modules/a":{"version":"1.0.0"}`)},
	{"integrity sha1", integrity("sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=")},
	{"integrity sha256", integrity("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")},
	{"integrity empty", integrity("")},
	{"integrity too short", integrity("sha512-AAAA")},
	{"integrity no base64", integrity(strings.Replace(sum, "A", "!", 1))},
	{"integrity with bits to spare", integrity(strings.Replace(sum, "A==", "B==", 1))},
	{"integrity twice", integrity(sum + " " + strings.Replace(sum, "A", "B", 1))},
	{"integrity with options", integrity(sum + "?x")},
	{"integrity as list", doc(`"node_modules/a":{"version":"1.0.0","integrity":["` + sum + `"]}`)},
	{"bundled by nobody", doc(`"node_modules/a":{"version":"1.0.0","inBundle":true}`)},
	{"link", doc(`"node_modules/a":{"resolved":"../a","link":true}`)},
	{"scripts as text", a(`"hasInstallScript":"no"`)},
	{"dev as number", a(`"dev":0`)},
	{"dependencies as list", a(`"dependencies":["b"]`)},
	{"a dependency as object", a(`"dependencies":{"b":{}}`)},
	{"a dependency named ../b", a(`"dependencies":{"../b":"1"}`)},
	{"a dependency named __proto__", a(`"dependencies":{"__proto__":"1"}`)},
	{"a peer named .", a(`"peerDependencies":{".":"1"}`)},
	{"os as object", a(`"os":{}`)},
	{"os of numbers", a(`"os":[1]`)},
	{"a command with a newline", a(`"bin":{"a\nb":"x"}`)},
	{"a command named ..", a(`"bin":{"..":"x"}`)},
	{"a command's path with NUL", a(`"bin":{"b":"x\u0000"}`)},

	// what it needs
	{"needs a missing one", a(`"dependencies":{"b":"^1"}`)},
	{"needs a missing peer", a(`"peerDependencies":{"b":"^1"}`)},
	{"the function needs a missing one", doc(`"node_modules/b":{` + good + `}`)},
	{"needs one for development", doc(`"node_modules/a":{` + good + `,"dev":true}`)},
	{"spec file:", deps("file:../b")},
	{"spec link:", deps("link:../b")},
	{"spec ../b", deps("../b")},
	{"spec ~/b", deps("~/b")},
	{"spec /b", deps("/b")},
	{"spec b.tgz", deps("b.tgz")},
	{"spec workspace:", deps("workspace:*")},
	{"spec git+ssh", deps("git+ssh://git@example.org/b.git")},
	{"spec git+file", deps("git+file:///etc")},
	{"spec git:", deps("git://example.org/b.git")},
	{"spec GIT+HTTPS", deps("GIT+HTTPS://example.org/b.git")},
	{"spec scp", deps("git@example.org:o/b.git")},
	{"spec github:", deps("github:o/b")},
	{"spec o/b", deps("o/b")},
	{"spec o/b#semver", deps("o/b#semver:^1")},
	{"spec https", deps("https://example.org/b.tgz")},
	{"spec of the metadata service", deps("http://169.254.169.254/b.tgz")},
	{"spec jsr:", deps("jsr:@std/b@1")},
	{"another os", a(`"os":["darwin"]`)},
	{"not this os", a(`"os":["!linux"]`)},
	{"another cpu and libc", a(`"cpu":["arm64","ia32"],"libc":"musl"`)},
	{"needs what is for another os", doc(`"node_modules/a":{` + good + `,"dependencies":{"b":"1"}},"node_modules/b":{` + good + `,"os":["win32"]}`)},
	{"needs another version of itself", doc(`"node_modules/a":{` + good + `,"dependencies":{"a":"0"}},"node_modules/a/node_modules/a":{"version":"0.1.0","integrity":"` + sum + `"}`)},
	{"needs what is only bundled elsewhere", doc(`"node_modules/a":{` + good + `,"dependencies":{"b":"1"}},"node_modules/a/node_modules/b":{` + good + `,"dependencies":{"c":"1"}},"node_modules/a/node_modules/c":{"version":"1.0.0","inBundle":true}`)},
	{"bundles what needs another version", doc(`"node_modules/a":{` + good + `,"dependencies":{"b":"1","c":"1"}},"node_modules/c":{` + good + `},"node_modules/a/node_modules/b":{"version":"1.0.0","inBundle":true,"dependencies":{"c":"2"}},"node_modules/a/node_modules/b/node_modules/c":{"version":"2.0.0","integrity":"` + sum + `"}`)},
}

func version(v string) string {
	return doc(fmt.Sprintf(`"node_modules/a":{"version":%q,"integrity":%q}`, v, sum))
}

func integrity(s string) string {
	return doc(fmt.Sprintf(`"node_modules/a":{"version":"1.0.0","integrity":%q}`, s))
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":1`, i)
	}
	return b.String()[1:]
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"node_modules/p%d":{%s}`, i, good)
	}
	return doc(b.String()[1:])
}

func entangled() string {
	var all, b strings.Builder
	for i := range 400 {
		fmt.Fprintf(&all, `,"p%d":"1"`, i)
	}
	for i := range 400 {
		fmt.Fprintf(&b, `,"node_modules/p%d":{%s,"dependencies":{%s}}`, i, good, all.String()[1:])
	}
	return doc(b.String()[1:])
}

// hostileSpecs are refused by Check: what a user wrote for the package "a", or for the name before "=".
var hostileSpecs = []string{
	"file:../a", "file:a.tgz", "link:../a", "portal:../a", "./a", "../a", "..", ".", "/etc", "~/a", `C:\a`, `\\host\a`, "a.tgz", "a.TAR.GZ",
	"workspace:*", "workspace:^1.0.0", "git+ssh://git@example.org/a.git", "git+https://example.org/a.git#v1", "git+file:///etc", "git://example.org/a",
	"git@example.org:o/a.git", "ssh://git@example.org/a", "GIT://example.org/a", "github:o/a", "gitlab:o/a", "bitbucket:o/a", "gist:0123", "o/a", "o/a#main",
	"http://169.254.169.254/a.tgz", "https://example.org/a.tgz", "HTTP://example.org/a", "ftp://example.org/a", "data:x", "javascript:x", "jsr:@std/a", "catalog:", "patch:a@1#b",
	"npm:", "npm:../a@1", "npm:@s@1", "npm:a@npm:b@1", "npm:a@file:../b", "npm:a@git://example.org/b", "npm:.a", "npm:a@1 2 $(x)",
	"$(id)", "`id`", "1.0.0; id", "--registry=x", "-1", "1.0.0 --x", "!1", "1.0.0\n2", "1\x00", "\u202e1", "é", "latest beta", "<script>", "1.0.0 - ", "^^1", "1..2", ".1", "@1", strings.Repeat("1", 300),
	"../x=1", "@a/..=1", "@a/..%2fb=1", ".=1", "..=1", ".hidden=1", "_x=1", "-x=1", "__proto__=1", "@s/__proto__=1", "node_modules=1", "@s/node_modules=1", "favicon.ico=1", "=1", " =1", "a b=1",
	"a/b=1", "@s=1", "@/a=1", "@s/=1", "@s/a/b=1", `a\b=1`, "a\nb=1", "a\x00=1", "\u202ea=1", "ﬁ=1", "a@1=1", "a:b=1", "a?b=1", "a#b=1", "a%00=1", "$x=1", "a;b=1", "~a=1", "a*=1", strings.Repeat("n", 215) + "=1",
}

// TestHostileManifests holds every refusal to its exact words: testdata/refused.txt.
func TestHostileManifests(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	count := 0
	line := func(name string, err error) {
		count++
		if err == nil {
			t.Errorf("%s: was taken", name)
			return
		}
		var e *hearth.Error
		if !errors.As(err, &e) && !errors.Is(err, ErrOld) {
			t.Errorf("%s: %T is no error for a person", name, err)
		}
		words := err.Error()
		if strings.ContainsFunc(words, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e }) || len(words) > 1000 {
			t.Errorf("%s: the words hold what a terminal would act on: %q", name, words)
		}
		fmt.Fprintf(&got, "%s\n\t%s\n", name, words)
	}
	for _, c := range hostileLocks {
		l, err := Parse([]byte(c.lock))
		if err == nil {
			_, err = l.Tree(linux)
		}
		line("lock: "+c.name, err)
	}
	for _, spec := range hostileSpecs {
		name := "a"
		if before, after, ok := strings.Cut(spec, "=1"); ok && after == "" {
			name, spec = before, "1"
		}
		shown := fmt.Sprintf("%.40q: %.60q", name, spec)
		line("dependency: "+shown, Check(map[string]string{name: spec}))
	}
	line("dependency: 501 of them", Check(numberedDeps(501)))
	line("dependency: three mistakes", Check(map[string]string{"a": "./a", "@s/b": "o/b", "ok": "^1", ".c": "1"}))
	line("lock: 17 MiB", func() error { _, err := Parse(make([]byte, 17<<20)); return err }())
	for _, o := range []string{`[]`, `{"a":1}`, `{"a":"file:../x"}`, `{"a":{"b":{"c":"git://example.org/c"}}}`, `{"../x":"1"}`, `{"a@1":{"..":"1"}}`, `{"a":"1","a":"2"}`, `{"a":null}`, `{"__proto__":"1"}`, `{`} {
		line("overrides: "+o, CheckOverrides([]byte(o)))
	}
	if *update {
		if err := os.WriteFile("testdata/refused.txt", []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(read(t, "testdata/refused.txt")); got.String() != want {
		t.Errorf("other words than testdata/refused.txt has:\n%s", firstDifference(got.String(), want))
	}
	if count < 100 {
		t.Errorf("only %d cases", count)
	}
}

func numberedDeps(n int) map[string]string {
	m := make(map[string]string)
	for i := range n {
		m[fmt.Sprint("p", i)] = "1"
	}
	return m
}

func TestUsersSpecs(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{
		"", "*", "x", "X", "1", "1.x", "1.2", "1.2.x", "1.2.3", "v1.2.3", "=1.2.3", " 1.2.3 ", "^1.2.3", "~1.2.3", "~> 1.2", ">=1", ">= 1.2.3 <2", ">1.0.0-rc.1", "1.2.3 - 2.3.4", "1 - 2",
		"^1 || ^2", "1||2", "||", "0.1.x || >=0.3.0 <1.0.0-0", "1.2.3-beta.1+build.5", "latest", "next", "next-14", "beta_1", "release.2", "npm:b", "npm:b@^1", "npm:@s/b@latest", "npm:b@1.2.3 - 2", "NPM:b@1",
	} {
		if err := Check(map[string]string{"a": spec}); err != nil {
			t.Errorf("Check(%q): %v", spec, err)
		}
	}
	for _, name := range []string{"a", "A", "JSONStream", "a.b", "a-b", "a_b", "@s/a", "@-x/a", "@_x/a", "@s/_a", "constructor", "hasOwnProperty", "package.json", "events", "3d", "CON", strings.Repeat("n", 214)} {
		if err := Check(map[string]string{name: "1"}); err != nil {
			t.Errorf("Check name %q: %v", name, err)
		}
	}
	for _, o := range []string{`{}`, `{"a":"1"}`, `{"a":{".":"1","b":"$c"}}`, `{"a@^1":{"@s/b@2":"npm:c@3"}}`, `{"a":""}`} {
		if err := CheckOverrides([]byte(o)); err != nil {
			t.Errorf("CheckOverrides(%s): %v", o, err)
		}
	}
}

func TestEveryMistakeIsNamed(t *testing.T) {
	t.Parallel()
	var e *hearth.Error
	err := Check(map[string]string{"a": "./a", "@s/b": "o/b", "ok": "^1", ".c": "1"})
	if !errors.As(err, &e) || len(e.Fields) != 3 || e.Code != hearth.CodeInvalid {
		t.Fatalf("Check: %#v", err)
	}
	for i, want := range []string{`dependencies[".c"]`, `dependencies["@s/b"]`, "dependencies.a"} {
		if e.Fields[i].Field != want {
			t.Errorf("field %d is %s, want %s", i, e.Fields[i].Field, want)
		}
	}
}

func TestOldLocks(t *testing.T) {
	t.Parallel()
	for _, lock := range []string{`{"lockfileVersion":1,"dependencies":{"a":{"version":"1.0.0"}}}`, `{"dependencies":{}}`, `{}`} {
		if _, err := Parse([]byte(lock)); !errors.Is(err, ErrOld) {
			t.Errorf("Parse(%s): %v, want ErrOld", lock, err)
		}
	}
}
