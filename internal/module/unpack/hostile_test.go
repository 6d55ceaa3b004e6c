package unpack

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// form is one of the three readers.
type form string

const (
	tarball form = "tarball" // gzip, as the registry has it
	plain   form = "tar"     // as a build sandbox answers
	archive form = "archive" // ours, with the right digest: a builder that was broken into
)

// hostile is one archive and what has to become of it.
type hostile struct {
	name string
	form form
	data []byte
	want string   // the reason; "" if it is taken, "*" if it depends on which limit it meets first
	has  []string // of what is taken: the paths of files and symlinks, all of them
}

// small are the limits of the table, so that bombs are small too.
var small = Limits{Total: 64 << 20, File: 48 << 20, Entries: 2000, Memory: 1 << 20, Packed: 8 << 20}

// inTarball puts "package/" before a path, which the reader takes off.
func inTarball(f form, name string) string {
	if f == tarball {
		return "package/" + name
	}
	return name
}

// pack finishes a tar in a form.
func pack(f form, r *raw) []byte {
	switch b := r.end(); f {
	case tarball:
		return gz(b)
	case archive:
		return zst(b)
	default:
		return b
	}
}

// badPaths are paths that no form takes, by themselves or below a folder.
func badPaths() map[string]string {
	m := map[string]string{
		"../canary": ReasonPath, "a/../../canary": ReasonPath, "a/..": ReasonPath, "..": ReasonPath, "a/b/../c": ReasonPath, "./../x": ReasonPath,
		"a\\b": ReasonPath, "..\\canary": ReasonPath, "C:\\x": ReasonPath, "a\nb": ReasonPath, "a\tb": ReasonPath, "a\x1bb": ReasonPath, "a\x7fb": ReasonPath,
		"a\u0085b": ReasonPath, "a\xffb": ReasonPath, "\xc0\xaf": ReasonPath, "\xed\xa0\x80": ReasonPath, "a\rb": ReasonPath, "\x01": ReasonPath,
		strings.Repeat("d/", 65) + "f": ReasonTooDeep,
	}
	return m
}

// longPaths do not fit a plain header.
func longPaths() map[string]string {
	return map[string]string{
		strings.Repeat("n", 256):                                        ReasonPathTooLong,
		strings.Repeat("é", 128):                                        ReasonPathTooLong,
		strings.Repeat("0123456789/", 100) + "f":                        ReasonPathTooLong,
		"ok/" + strings.Repeat("m", 256) + "/f":                         ReasonPathTooLong,
		strings.Repeat("a/", 300) + "f":                                 ReasonTooDeep,
		strings.Repeat("x/", 100) + "../" + "f":                         ReasonPath,
		"../" + strings.Repeat("y/", 60) + "canary":                     ReasonPath,
		strings.Repeat("z/", 60) + strings.Repeat("../", 61) + "canary": ReasonPath,
	}
}

// badTargets are symlinks that lead out, from a/l.
func badTargets() []string {
	return []string{"/etc/passwd", "/", "../..", "../../canary", "../../../canary", "b/../../../canary", "./../../canary", "../../", "..//..//canary",
		"../a/../../canary", "b/c/../../../../canary", "../../dst/a/x", "", "//canary", "../../../../../../../../etc"}
}

var cases = sync.OnceValue(func() []hostile {
	var all []hostile
	add := func(name string, f form, data []byte, want string, has ...string) {
		all = append(all, hostile{fmt.Sprintf("%s: %s", f, name), f, data, want, has})
	}
	forms := []form{tarball, plain, archive}
	for _, f := range forms {
		for p, want := range badPaths() {
			name := inTarball(f, p)
			add(fmt.Sprintf("file %q", short(p)), f, pack(f, new(raw).file(inTarball(f, "a.js"), "a").add(fit(name, field{body: "x"}))), want)
			add(fmt.Sprintf("folder %q", short(p)), f, pack(f, new(raw).file(inTarball(f, "a.js"), "a").add(fit(name+"/", field{kind: '5', mode: 0o755}))), want)
			add(fmt.Sprintf("PAX path %q", short(p)), f, pack(f, new(raw).file(inTarball(f, "a.js"), "a").pax("path", name).file(inTarball(f, "short"), "x")), want)
		}
		for p, want := range longPaths() {
			name := inTarball(f, p)
			add(fmt.Sprintf("PAX path %q", short(p)), f, pack(f, new(raw).file(inTarball(f, "a.js"), "a").pax("path", name).file("short", "x")), want)
			add(fmt.Sprintf("GNU name %q", short(p)), f, pack(f, new(raw).file(inTarball(f, "a.js"), "a").long('L', name).file("short", "x")), want)
		}
		add("absolute", f, pack(f, new(raw).file("/package/canary", "x")), ReasonPath)
		add("absolute after strip", f, pack(f, new(raw).file("//canary", "x")), ReasonPath)
		for kind, what := range map[byte]string{'3': "character device", '4': "block device", '6': "fifo", 'D': "GNU folder dump", 'M': "multi-volume", 'V': "volume", 'Z': "unknown", 'A': "Solaris ACL"} {
			add(what, f, pack(f, new(raw).file(inTarball(f, "a.js"), "a").add(field{name: inTarball(f, "dev"), kind: kind})), ReasonType)
		}
		sparseName := inTarball(f, "holes")
		add("sparse, GNU 0.0", f, pack(f, new(raw).pax("GNU.sparse.size", "1000000", "GNU.sparse.numblocks", "1", "GNU.sparse.offset", "0", "GNU.sparse.numbytes", "1").file(sparseName, "x")), ReasonSparse)
		add("sparse, GNU 0.1", f, pack(f, new(raw).pax("GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.name", sparseName, "GNU.sparse.size", "50000000000", "GNU.sparse.numblocks", "1", "GNU.sparse.map", "0,1").file(sparseName, "x")), ReasonSparse)
		add("sparse, old GNU", f, pack(f, new(raw).add(oldSparse(sparseName))), ReasonSparse)
		add("sparse, broken", f, pack(f, new(raw).pax("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.size", "-1").file(sparseName, "x")), ReasonTruncated)
		for _, size := range []string{"-0000000001", "77777777777", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", "99999999999", "abc"} {
			want := ReasonNotTar
			if size == "77777777777" || size[0] == '\x80' {
				want = ReasonTooLarge
			}
			add(fmt.Sprintf("size %q", size), f, pack(f, new(raw).add(field{name: inTarball(f, "a.js"), body: "x", size: size})), want)
		}
		add("PAX size negative", f, pack(f, new(raw).pax("size", "-1").file(inTarball(f, "a.js"), "x")), ReasonNotTar)
		add("PAX size huge", f, pack(f, new(raw).pax("size", "9223372036854775807").file(inTarball(f, "a.js"), "x")), ReasonTooLarge)
		add("PAX path empty", f, pack(f, new(raw).pax("path", "").file(inTarball(f, "a.js"), "x").file(inTarball(f, "b.js"), "x")), map[form]string{archive: ReasonNotNormal}[f], "a.js", "b.js")
		add("PAX path with NUL", f, pack(f, new(raw).pax("path", "package/a\x00b").file("x", "x")), ReasonNotTar)
		add("PAX record broken", f, pack(f, new(raw).add(field{name: "pax", kind: 'x', body: "99 path=x\n"}).file("package/x", "x")), ReasonNotTar)
		add("wrong checksum", f, pack(f, new(raw).file(inTarball(f, "a.js"), "x").add(field{name: inTarball(f, "b.js"), body: "y", sum: "000001\x00 "})), ReasonNotTar)
		add("not a tar", f, map[form][]byte{tarball: gz(bytes.Repeat([]byte("x"), 4096)), plain: bytes.Repeat([]byte("x"), 4096), archive: zst(bytes.Repeat([]byte("x"), 4096))}[f], ReasonNotTar)
		add("no entry", f, pack(f, new(raw)), ReasonEmpty)
		add("only folders", f, pack(f, new(raw).folder(inTarball(f, "a/"))), ReasonEmpty)
		add("file below a file", f, pack(f, new(raw).file(inTarball(f, "a"), "x").file(inTarball(f, "a/b"), "y")), ReasonConflict)
		add("folder over a file", f, pack(f, new(raw).file(inTarball(f, "a"), "x").folder(inTarball(f, "a/"))), map[form]string{tarball: ReasonConflict, plain: ReasonConflict, archive: ReasonNotNormal}[f])
		add("file over a folder", f, pack(f, new(raw).folder(inTarball(f, "a/")).file(inTarball(f, "a"), "x")), map[form]string{tarball: ReasonConflict, plain: ReasonConflict, archive: ReasonNotNormal}[f])
		add("file over an implied folder", f, pack(f, new(raw).file(inTarball(f, "a/b"), "y").file(inTarball(f, "a"), "x")), map[form]string{tarball: ReasonConflict, plain: ReasonConflict, archive: ReasonNotNormal}[f])
		add("file named as a folder", f, pack(f, new(raw).add(field{name: inTarball(f, "a/"), body: "x"})), map[form]string{tarball: ReasonPath, plain: ReasonPath, archive: ReasonNotNormal}[f])
		many := new(raw)
		for i := range 2100 {
			many.file(inTarball(f, fmt.Sprintf("%04d", i)), "")
		}
		add("too many files", f, pack(f, many), ReasonTooManyFiles)
		folders := new(raw)
		for i := range 60 {
			folders.file(inTarball(f, fmt.Sprintf("%02d/", i)+strings.Repeat("d/", 38)+"f"), "")
		}
		add("too many folders that no entry names", f, pack(f, folders), map[form]string{tarball: ReasonTooManyFiles, plain: ReasonTooManyFiles, archive: ReasonNotNormal}[f])
		heads := new(raw)
		for range 40 {
			heads.pax("comment", strings.Repeat("c", 100_000))
		}
		add("endless PAX headers", f, pack(f, heads.file(inTarball(f, "a.js"), "x")), ReasonHeaders)
		longs := new(raw)
		for range 40 {
			longs.long('L', strings.Repeat("n", 100_000))
		}
		add("endless GNU names", f, pack(f, longs.file(inTarball(f, "a.js"), "x")), ReasonHeaders)
		add("one huge PAX header", f, pack(f, new(raw).pax("comment", strings.Repeat("c", 1<<21)).file(inTarball(f, "a.js"), "x")), ReasonHeaders)
		add("GNU target too long", f, pack(f, new(raw).file(inTarball(f, "a.js"), "a").long('K', strings.Repeat("t/", 600)).symlink(inTarball(f, "l"), "x")), map[form]string{plain: ReasonPathTooLong, archive: ReasonPathTooLong}[f], "a.js")
		add("one file too large", f, pack(f, new(raw).add(field{name: inTarball(f, "a.js"), size: fmt.Sprintf("%011o", 49<<20)})), ReasonTooLarge)
		add("truncated body", f, map[form]func([]byte) []byte{tarball: gz, plain: same, archive: zst}[f](new(raw).file(inTarball(f, "a.js"), strings.Repeat("x", 5000)).Bytes()[:3000]), ReasonTruncated)
		add("truncated header", f, map[form]func([]byte) []byte{tarball: gz, plain: same, archive: zst}[f](new(raw).file(inTarball(f, "a.js"), "x").file(inTarball(f, "b.js"), "y").Bytes()[:1100]), ReasonTruncated)
		add("no end", f, map[form]func([]byte) []byte{tarball: gz, plain: same, archive: zst}[f](new(raw).file(inTarball(f, "a.js"), "x").Bytes()), map[form]string{plain: ReasonTruncated, archive: ReasonTruncated}[f], "a.js")
		add("case twins stay two", f, pack(f, new(raw).file(inTarball(f, "A.js"), "x").file(inTarball(f, "a.js"), "y")), "", "A.js", "a.js")
		add("Unicode twins stay two", f, pack(f, new(raw).file(inTarball(f, "e\u0301"), "x").file(inTarball(f, "\u00e9"), "y")), "", "e\u0301", "\u00e9")
		add("names of other systems", f, pack(f, new(raw).file(inTarball(f, "CON"), "x").file(inTarball(f, "a. "), "y").file(inTarball(f, "con:x"), "z")), "", "CON", "a. ", "con:x")
		add("names of JavaScript", f, pack(f, new(raw).file(inTarball(f, "__proto__"), "x").file(inTarball(f, "constructor"), "y")), "", "__proto__", "constructor")
	}
	hostileLinks(add)
	hostileTarballs(add)
	hostileArchives(add)
	return all
})

func same(b []byte) []byte { return b }

func short(s string) string {
	if len(s) > 40 {
		return s[:40] + fmt.Sprint("… ", len(s))
	}
	return s
}

// fit puts a name that is too long for its field into the prefix.
func fit(name string, f field) field {
	f.name = name
	if len(name) > 100 {
		at := strings.LastIndex(name[:len(name)-1], "/")
		for len(name)-at-1 < 60 {
			at = strings.LastIndex(name[:at], "/")
		}
		f.prefix, f.name = name[:at], name[at+1:]
	}
	return f
}

func oldSparse(name string) field {
	f := field{name: name, kind: 'S', magic: "ustar  \x00", body: "x"}
	// Its map lies where other headers have the prefix: one piece of one byte, at 0, of 1,000,000.
	f.prefix = "" // set below, by offset
	b := make([]byte, 155)
	copy(b[386-345:], "00000000000\x0000000000001\x00")
	copy(b[483-345:], "00003641100\x00")
	f.prefix = string(b)
	return f
}

type adder func(name string, f form, data []byte, want string, has ...string)

func hostileLinks(add adder) {
	for _, target := range badTargets() {
		add(fmt.Sprintf("symlink to %q is left out", target), tarball, pack(tarball, new(raw).file("package/a.js", "a").symlink("package/a/l", target)), "", "a.js")
		add(fmt.Sprintf("hard link to %q is left out", target), tarball, pack(tarball, new(raw).file("package/a.js", "a").hard("package/a/l", target)), "", "a.js")
		add(fmt.Sprintf("symlink to %q, then through it", target), tarball, pack(tarball, new(raw).symlink("package/a/l", target).file("package/a/l/canary", "x")), "", "a/l/canary")
		add(fmt.Sprintf("symlink to %q", target), plain, pack(plain, new(raw).file("a.js", "a").symlink("a/l", target)), ReasonLinkEscape)
		add(fmt.Sprintf("symlink to %q", target), archive, pack(archive, new(raw).folder("a/").file("a/b.js", "a").symlink("a/l", target)), ReasonLinkEscape)
		add(fmt.Sprintf("hard link to %q", target), plain, pack(plain, new(raw).file("a.js", "a").hard("a/l", target)), ReasonPath)
		add(fmt.Sprintf("hard link to %q", target), archive, pack(archive, new(raw).file("a.js", "a").hard("l", target)), ReasonType)
	}
	chain := func(names ...string) *raw {
		r := new(raw).file("z.js", "z")
		for i := 0; i+1 < len(names); i += 2 {
			r.symlink(names[i], names[i+1])
		}
		return r
	}
	add("symlinks that lead out together", plain, pack(plain, chain("a/b/up", "..", "a/b/out", "up/../../x")), ReasonLinkEscape)
	add("symlinks that lead out together, the first last", plain, pack(plain, chain("a/b/c/out", "in/../../x", "a/b/c/in", "../../")), ReasonLinkEscape)
	add("symlink chain", plain, pack(plain, chain("one", "d/two", "d/two", "..", "d/e/three", "../../one/../x")), ReasonLinkEscape)
	add("symlink through a link to the root and up", plain, pack(plain, chain("d/root", "..", "d/out", "root/../canary")), ReasonLinkEscape)
	add("dangling, and its rest leads out", plain, pack(plain, chain("l", "z/none/../../../x")), ReasonLinkEscape)
	add("symlink loop", plain, pack(plain, chain("a", "b", "b", "a")), ReasonLinkEscape)
	add("symlink to itself", plain, pack(plain, chain("a", "a")), ReasonLinkEscape)
	add("symlink, then a file below it", plain, pack(plain, chain("a", "d").file("a/x", "x")), ReasonThroughLink)
	add("symlink, then a folder below it", plain, pack(plain, chain("a", "d").folder("a/x/")), ReasonThroughLink)
	add("symlink, then a symlink below it", plain, pack(plain, chain("a", "d", "a/x", "y")), ReasonThroughLink)
	add("symlink, then a hard link below it", plain, pack(plain, chain("a", "d").hard("a/x", "z.js")), ReasonThroughLink)
	add("file below what becomes a symlink", plain, pack(plain, new(raw).file("a/x", "x").symlink("a", "z")), ReasonConflict)
	add("file over a symlink", plain, pack(plain, chain("a", "z.js").file("a", "x")), ReasonConflict)
	add("symlink over a file", plain, pack(plain, new(raw).file("a", "x").symlink("a", "b")), ReasonConflict)
	add("symlink over a symlink", plain, pack(plain, chain("a", "z.js", "a", "b")), ReasonConflict)
	add("symlink as the root", plain, pack(plain, new(raw).symlink(".", "x").file("a", "x")), ReasonPath)
	add("file as the root", plain, pack(plain, new(raw).file("./", "x")), ReasonPath)
	add("hard link to a symlink", plain, pack(plain, chain("l", "z.js").hard("h", "l")), ReasonLinkMissing)
	add("hard link to a folder", plain, pack(plain, new(raw).file("d/x", "x").hard("h", "d")), ReasonLinkMissing)
	add("hard link to what comes later", plain, pack(plain, new(raw).hard("h", "x").file("x", "x")), ReasonLinkMissing)
	add("hard link to nothing", plain, pack(plain, new(raw).file("x", "x").hard("h", "y")), ReasonLinkMissing)
	add("hard link through a symlink", plain, pack(plain, new(raw).file("d/x", "x").symlink("l", "d").hard("h", "l/x")), ReasonLinkMissing)
	add("symlink with a control character", plain, pack(plain, chain("l", "a\x1b[31m")), ReasonPath)
	add("symlink with a backslash", plain, pack(plain, chain("l", "..\\..\\x")), ReasonPath)
	add("symlink that is not UTF-8", plain, pack(plain, chain("l", "\xff")), ReasonPath)
	add("symlink to a name too long", plain, pack(plain, new(raw).file("a", "a").long('K', strings.Repeat("t", 300)).symlink("l", "x")), ReasonPathTooLong)
	add("hard links as a bomb", plain, pack(plain, hardBomb()), ReasonTooLarge)
	add("links that lead inside", plain, pack(plain, chain("d/up", "..", "d/e/l", "../up/z.js", "dangling", "d/none").hard("h.js", "z.js")), "", "z.js", "d/up", "d/e/l", "dangling", "h.js")
	web := new(raw).file("z", "z")
	for i := range 1900 {
		web.symlink(fmt.Sprintf("l%04d", i), strings.Repeat(fmt.Sprintf("l%04d/", i/2), 10)+strings.Repeat("./", 10))
	}
	add("a web of symlinks", plain, pack(plain, web), ReasonLinkEscape)
}

func hardBomb() *raw {
	r := new(raw).file("big", strings.Repeat("x", 1<<20))
	for i := range 100 {
		r.hard(fmt.Sprint("h", i), "big")
	}
	return r
}

func hostileTarballs(add adder) {
	whole := pack(tarball, new(raw).file("package/a.js", "hello"))
	add("empty", tarball, nil, ReasonEmpty)
	add("not gzip", tarball, []byte("<html>not found</html>"), ReasonPacking)
	add("plain tar", tarball, new(raw).file("package/a.js", "x").end(), ReasonPacking)
	for n := 1; n < len(whole); n += len(whole)/12 + 1 {
		add(fmt.Sprintf("cut after %d bytes", n), tarball, whole[:n], ReasonTruncated)
	}
	flip := func(at int) []byte {
		b := bytes.Clone(whole)
		b[at] ^= 0x55
		return b
	}
	add("flipped magic", tarball, flip(0), ReasonPacking)
	add("flipped method", tarball, flip(2), ReasonPacking)
	add("flipped checksum", tarball, flip(len(whole)-8), ReasonPacking)
	add("flipped length", tarball, flip(len(whole)-2), ReasonPacking)
	add("garbage after the end", tarball, append(bytes.Clone(whole), "garbage"...), ReasonTrailing)
	add("garbage after zeros", tarball, append(append(bytes.Clone(whole), make([]byte, 600)...), 1), ReasonTrailing)
	add("a broken second member", tarball, append(bytes.Clone(whole), 0x1f, 0x8b, 9, 9, 9, 9, 9, 9, 9, 9), ReasonPacking)
	add("half a second member", tarball, append(bytes.Clone(whole), whole[:20]...), ReasonTruncated)
	add("zeros after the end", tarball, append(bytes.Clone(whole), make([]byte, 5000)...), "", "a.js")
	body := new(raw).file("package/a.js", "hello").end()
	add("two members", tarball, append(gz(body[:700]), gz(body[700:])...), "", "a.js")
	add("a second tar after the end", tarball, gz(append(bytes.Clone(body), new(raw).file("package/evil.js", "x").end()...)), "", "a.js")
	add("garbage in the tar after its end", tarball, gz(append(bytes.Clone(body), "garbage"...)), "", "a.js")
	members := bytes.Clone(whole)
	for range 10_100 {
		members = append(members, emptyMember...)
	}
	add("empty members without end", tarball, members, ReasonBomb)
	var zeros bytes.Buffer
	zw, _ := gzip.NewWriterLevel(&zeros, gzip.BestCompression)
	zw.Write(new(raw).add(field{name: "package/zeros", size: fmt.Sprintf("%011o", 47<<20)}).Bytes()[:512])
	io.CopyN(zw, zero{}, 47<<20)
	zw.Write(make([]byte, 1024))
	zw.Close()
	add("a bomb of zeros", tarball, zeros.Bytes(), ReasonBomb)
	var after bytes.Buffer
	zw = gzip.NewWriter(&after)
	zw.Write(body)
	io.CopyN(zw, zero{}, 60<<20)
	zw.Close()
	add("a bomb after the end", tarball, after.Bytes(), ReasonBomb)
	var skipped bytes.Buffer
	zw = gzip.NewWriter(&skipped)
	zw.Write(new(raw).add(field{name: "short", size: fmt.Sprintf("%011o", 47<<20)}).Bytes()[:512])
	io.CopyN(zw, zero{}, 47<<20)
	zw.Close()
	add("a bomb in what is left out", tarball, skipped.Bytes(), ReasonBomb)
	twice := new(raw)
	for range 80 {
		twice.file("package/same", strings.Repeat("abcdefgh", 1<<17))
	}
	add("one name again and again", tarball, pack(tarball, twice), ReasonBomb)
	add("larger than its limit", tarball, bytes.Repeat(gz(bytes.Repeat([]byte{0}, 10)), 9<<20/30), "*")
	add("duplicate: the last counts", tarball, pack(tarball, new(raw).file("package/a.js", "first").file("other/a.js", "second")), "", "a.js")
	add("set-uid is taken off", tarball, pack(tarball, new(raw).add(field{name: "package/a", mode: 0o6755, body: "x"})), "", "a")
	add("any first part", tarball, pack(tarball, new(raw).file("x y/a.js", "x").file("./b.js", "y")), "", "a.js", "b.js")
	add("files without a folder are left out", tarball, pack(tarball, new(raw).file("top.js", "x").file("package/a.js", "x")), "", "a.js")
	add("global PAX header", tarball, pack(tarball, new(raw).add(field{name: "pax_global_header", kind: 'g', body: paxBody("comment", "0123", "path", "../evil")}).file("package/a.js", "x")), "", "a.js")
	add("contiguous file", tarball, pack(tarball, new(raw).add(field{name: "package/a.js", kind: '7', body: "x"})), "", "a.js")
	add("dots and doubled slashes", tarball, pack(tarball, new(raw).file("package/./a//b.js", "x")), "", "a/b.js")
}

var emptyMember = gz(nil)

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func hostileArchives(add adder) {
	good := func() *raw { return new(raw).folder("a/").file("a/b.js", "x") }
	whole := pack(archive, good())
	add("empty", archive, nil, ReasonTruncated)
	add("not zstd", archive, []byte("garbage"), ReasonPacking)
	add("gzip", archive, gz(good().end()), ReasonPacking)
	for n := 5; n < len(whole); n += len(whole)/8 + 1 {
		add(fmt.Sprintf("cut after %d bytes", n), archive, whole[:n], ReasonTruncated)
	}
	add("garbage after the end", archive, append(bytes.Clone(whole), "garbage"...), "*")
	add("something in the tar after its end", archive, zst(append(good().end(), "garbage"...)), ReasonTrailing)
	add("a second tar after its end", archive, zst(append(good().end(), good().end()...)), ReasonTrailing)
	normal := func(name string, r *raw) { add(name, archive, pack(archive, r), ReasonNotNormal) }
	normal("out of order", new(raw).file("b", "x").file("a", "x"))
	normal("duplicate", new(raw).file("a", "x").file("a", "y"))
	normal("no parent", new(raw).file("a/b", "x"))
	normal("set-uid", new(raw).add(field{name: "a", mode: 0o4755, body: "x"}))
	normal("sticky", new(raw).add(field{name: "a", mode: 0o1644, body: "x"}))
	normal("writable by all", new(raw).add(field{name: "a", mode: 0o666, body: "x"}))
	normal("folder 0777", new(raw).add(field{name: "a/", kind: '5', mode: 0o777}).file("a/b", "x"))
	normal("owner", new(raw).add(field{name: "a", uid: "0001750", body: "x"}))
	normal("owner's name", new(raw).add(field{name: "a", uname: "root", body: "x"}))
	normal("time", new(raw).add(field{name: "a", mtime: "14000000000", body: "x"}))
	normal("dot", new(raw).file("./a", "x"))
	normal("doubled slash", new(raw).folder("a/").file("a//b", "x"))
	normal("root", new(raw).folder("./").file("a", "x"))
	normal("PAX time", new(raw).pax("mtime", "1.5").file("a", "x"))
	normal("PAX attributes", new(raw).pax("SCHILY.xattr.security.capability", "x").file("a", "x"))
	add("contiguous", archive, pack(archive, new(raw).add(field{name: "a", kind: '7', body: "x"})), ReasonType)
	add("global PAX header", archive, pack(archive, new(raw).add(field{name: "g", kind: 'g', body: paxBody("comment", "x")}).file("a", "x")), ReasonType)
	add("symlinks that lead out together", archive, pack(archive, new(raw).folder("a/").folder("a/b/").symlink("a/b/out", "up/../../x").symlink("a/b/up", "..").file("z", "z")), ReasonLinkEscape)
	add("below a symlink", archive, pack(archive, new(raw).symlink("a", "z").file("a/b", "x").file("z", "z")), ReasonThroughLink)
	var big bytes.Buffer
	e, _ := zstd.NewWriter(&big, zstd.WithWindowSize(64<<20), zstd.WithEncoderConcurrency(1))
	io.CopyN(e, &noise{1}, 9<<20)
	e.Close()
	add("larger than its limit", archive, big.Bytes(), "*")
	var wide bytes.Buffer
	e, _ = zstd.NewWriter(&wide, zstd.WithWindowSize(64<<20), zstd.WithEncoderConcurrency(1))
	e.Write(new(raw).add(field{name: "a", size: fmt.Sprintf("%011o", 40<<20)}).Bytes()[:512])
	io.CopyN(e, zero{}, 40<<20)
	e.Write(make([]byte, 1024))
	e.Close()
	add("a window of 64 MiB", archive, wide.Bytes(), ReasonPacking)
	var zeros bytes.Buffer
	e, _ = zstd.NewWriter(&zeros, zstd.WithWindowSize(1<<20), zstd.WithEncoderConcurrency(1))
	for _, name := range []string{"a", "b"} {
		e.Write(new(raw).add(field{name: name, size: fmt.Sprintf("%011o", 40<<20)}).Bytes()[:512])
		io.CopyN(e, zero{}, 40<<20)
	}
	e.Close()
	add("a bomb of zeros", archive, zeros.Bytes(), ReasonTooLarge)
}

type noise struct{ x uint64 }

func (n *noise) Read(p []byte) (int, error) {
	for i := range p {
		n.x = n.x*6364136223846793005 + 1442695040888963407
		p[i] = byte(n.x >> 56)
	}
	return len(p), nil
}

// unpackHostile reads one archive and writes what was taken below dst.
func unpackHostile(ctx context.Context, h hostile, dst *os.Root, l Limits) error {
	var c *Content
	var err error
	switch h.form {
	case tarball:
		c, err = FromTarball(ctx, bytes.NewReader(h.data), l)
	case plain:
		c, err = FromTar(ctx, bytes.NewReader(h.data), l)
	case archive:
		_, err = Read(ctx, bytes.NewReader(h.data), digestOf(h.data), dst, l)
		return err
	}
	if err != nil {
		return err
	}
	defer c.Close()
	return c.WriteTo(ctx, dst)
}

// listing describes everything below a folder, so that any change shows.
func listing(t testing.TB, root string) (lines []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, name)
		line := fmt.Sprintf("%s %v", rel, fi.Mode())
		switch {
		case fi.Mode().IsRegular():
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %s", len(text), digestOf(text))
		case fi.Mode().Type() == fs.ModeSymlink:
			target, _ := os.Readlink(name)
			line += " -> " + target
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// Each hostile archive is refused for its reason or taken without what is hostile in it; either way
// nothing outside the target folder changes, nothing is written before all was read, and nothing hangs.
func TestHostileArchives(t *testing.T) {
	all := cases()
	counts := map[form]int{}
	seen := map[string]bool{}
	for _, h := range all {
		if seen[h.name] {
			t.Errorf("two cases are named %s", h.name)
		}
		seen[h.name] = true
		counts[h.form]++
	}
	t.Logf("%d archives: %v", len(all), counts)
	if len(all) < 200 {
		t.Errorf("only %d archives", len(all))
	}
	base := t.TempDir()
	spool := filepath.Join(base, "spool")
	outer := filepath.Join(base, "outer")
	for _, dir := range []string{spool, outer, filepath.Join(outer, "canary"), filepath.Join(outer, "x")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"canary/canary", "passwd", "evil"} {
		if err := os.WriteFile(filepath.Join(outer, name), []byte("canary"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := listing(t, outer)
	for _, h := range all {
		l := small
		l.Spool = spool
		target := filepath.Join(outer, "dst")
		if err := os.Mkdir(target, 0o755); err != nil {
			t.Fatal(err)
		}
		dst, err := os.OpenRoot(target)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err = unpackHostile(t.Context(), h, dst, l)
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s takes %v", h.name, d)
		}
		dst.Close()
		got := Refused(err)
		if err != nil && got == "" {
			t.Errorf("%s: %v, which is no refusal", h.name, err)
		}
		if got != h.want && !(h.want == "*" && got != "") {
			t.Errorf("%s: refused for %q, want %q (%v)", h.name, got, h.want, err)
		}
		if err != nil && (strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) || len(err.Error()) > 1000) {
			t.Errorf("%s: the error is not fit to print: %.300q", h.name, err)
		}
		inside := listing(t, target)
		if err != nil && len(inside) != 1 {
			t.Errorf("%s: refused, and wrote %q", h.name, inside)
		}
		if err == nil {
			var has []string
			for _, line := range inside {
				name, rest, _ := strings.Cut(line, " ")
				if i := strings.Index(line, " -r"); i >= 0 {
					name, rest = line[:i], line[i+1:]
				}
				if strings.ContainsAny(rest, "Lr") && !strings.HasPrefix(rest, "d") {
					has = append(has, name)
				}
				if strings.HasPrefix(rest, "-") && !strings.HasPrefix(rest, "-r--r--r--") && !strings.HasPrefix(rest, "-r-xr-xr-x") {
					t.Errorf("%s: mode: %s", h.name, line)
				}
			}
			slices.Sort(has)
			want := slices.Sorted(slices.Values(h.has))
			if !slices.Equal(has, want) {
				t.Errorf("%s: has %q, want %q", h.name, has, want)
			}
		}
		if err := os.RemoveAll(target); err != nil {
			t.Fatal(err)
		}
		if after := listing(t, outer); !slices.Equal(after, before) {
			t.Fatalf("%s changed what is beside the folder:\n%q\n%q", h.name, before, after)
		}
		if left, _ := os.ReadDir(spool); len(left) > 0 {
			t.Fatalf("%s left %v", h.name, left)
		}
	}
}
