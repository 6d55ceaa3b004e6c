package unpack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"hearth"
)

func mustTarball(t testing.TB, r *raw, l Limits) *Content {
	t.Helper()
	c, err := FromTarball(context.Background(), bytes.NewReader(gz(r.end())), l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func mustWrite(t testing.TB, c *Content) (string, []byte) {
	t.Helper()
	var buf bytes.Buffer
	digest, s, err := Write(context.Background(), &buf, c)
	if err != nil {
		t.Fatal(err)
	}
	if digest != digestOf(buf.Bytes()) || s.Packed != int64(buf.Len()) {
		t.Fatalf("Write says %s and %d, wrote %s and %d", digest, s.Packed, digestOf(buf.Bytes()), buf.Len())
	}
	return digest, buf.Bytes()
}

// describe is a content as lines.
func describe(t testing.TB, c *Content) (lines []string) {
	t.Helper()
	for i := range c.Entries {
		e := &c.Entries[i]
		line := fmt.Sprintf("%c %s", e.Kind, e.Path)
		switch e.Kind {
		case File:
			b, err := io.ReadAll(c.Open(e))
			if err != nil {
				t.Fatal(err)
			}
			if e.Exec {
				line += " x"
			}
			line += fmt.Sprintf(" %.40q %s", b, digestOf(b)[:8])
		case Link:
			line += " -> " + e.Target
		}
		lines = append(lines, line)
	}
	return lines
}

// The same content is the same archive, whatever the order, the folders, the owners and the times of the
// tarball, and whether it lay in memory or in a file.
func TestArchivesAreDeterministic(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("0123456789abcdef", 10_000)
	one := new(raw).file("package/a.js", "a").file("package/lib/b.js", "b").file("package/big", big).file("package/a-b/c", "")
	two := new(raw).add(field{name: "other/a-b/c", uid: "0001750", uname: "root"}).folder("other/lib/").file("other/lib/b.js", "b").
		file("other/big", big).add(field{name: "other/a.js", body: "wrong"}).add(field{name: "other/a.js", body: "a", mode: 0o600, mtime: "14000000000"})
	a, b := mustTarball(t, one, Limits{}), mustTarball(t, two, Limits{Memory: 1, Spool: t.TempDir()})
	if b.spool == nil {
		t.Error("nothing was spooled")
	}
	d1, raw1 := mustWrite(t, a)
	d2, raw2 := mustWrite(t, b)
	if d1 != d2 || !bytes.Equal(raw1, raw2) {
		t.Errorf("two archives: %s, %s\n%q\n%q", d1, d2, describe(t, a), describe(t, b))
	}
	c, err := Load(t.Context(), bytes.NewReader(raw1), d1, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if d3, _ := mustWrite(t, c); d3 != d1 {
		t.Errorf("read and written again: %s, want %s", d3, d1)
	}
}

// Whatever FromTar takes comes back as it was, by Load and by Read.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long/", 40) + strings.Repeat("n", 200)
	r := new(raw).file("index.js", "x").folder("empty/").add(field{name: "bin/cli", mode: 0o700, body: "#!"}).symlink("l", "bin/cli").
		hard("hard", "index.js").pax("path", long).file("x", "deep").pax("path", "ünï/ç").file("x", "").pax("linkpath", long).symlink("far", "x").
		file("big", strings.Repeat("spooled ", 50_000))
	c, err := FromTar(t.Context(), bytes.NewReader(r.end()), Limits{Memory: 1 << 10, Spool: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	digest, b := mustWrite(t, c)
	for _, memory := range []int64{1, 1 << 20} {
		again, err := Load(t.Context(), iotest.OneByteReader(bytes.NewReader(b)), digest, Limits{Memory: memory, Spool: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := describe(t, again), describe(t, c); !slices.Equal(got, want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
		if again.Stats.Files != c.Stats.Files || again.Stats.Bytes != c.Stats.Bytes || again.Stats.Links != 2 {
			t.Errorf("%+v, want %+v", again.Stats, c.Stats)
		}
		again.Close()
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	s, err := Read(t.Context(), bytes.NewReader(b), digest, root, Limits{})
	if err != nil || s.Files != c.Stats.Files {
		t.Fatalf("%+v, %v", s, err)
	}
	for name, want := range map[string]string{"index.js": "x", "hard": "x", "l": "#!", "far": "deep", long: "deep", "ünï/ç": ""} {
		if got, err := root.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]os.FileMode{"index.js": 0o444, "bin/cli": 0o555, "empty": os.ModeDir | 0o755, "bin": os.ModeDir | 0o755} {
		if fi, err := root.Lstat(name); err != nil || fi.Mode() != want {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
	}
}

// A byte that is wrong anywhere is the wrong archive, and nothing of it is written.
func TestDigestIsCheckedBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	digest, good := mustWrite(t, mustTarball(t, new(raw).file("package/a.js", "hello").file("package/b/c", strings.Repeat("y", 3000)), Limits{}))
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for at := range good {
		bad := bytes.Clone(good)
		bad[at] ^= 1 << (at % 8)
		_, err := Read(t.Context(), bytes.NewReader(bad), digest, root, Limits{})
		if Refused(err) != ReasonDigest {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	for n := range good {
		if _, err := Read(t.Context(), bytes.NewReader(good[:n]), digest, root, Limits{}); Refused(err) != ReasonDigest {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	if _, err := Read(t.Context(), bytes.NewReader(append(bytes.Clone(good), 0)), digest, root, Limits{}); Refused(err) != ReasonDigest {
		t.Errorf("one byte more: %v", err)
	}
	if names, _ := os.ReadDir(dir); len(names) > 0 {
		t.Errorf("written: %v", names)
	}
}

func TestBinsAreExecutable(t *testing.T) {
	t.Parallel()
	for manifest, want := range map[string][]string{
		`{"bin":"./cli.js"}`:                                   {"cli.js"},
		`{"bin":{"a":"bin/a","b":"./bin//b"}}`:                 {"bin/a", "bin/b"},
		`{"bin":{"a":"../../cli.js","b":7,"c":"/bin/b"}}`:      {"bin/b", "cli.js"},
		`{"directories":{"bin":"./bin"}}`:                      {"bin/a", "bin/b"},
		`{"directories":{"bin":"."}}`:                          nil,
		`{"directories":{"bin":"./bin"},"bin":{"x":"cli.js"}}`: {"cli.js"},
		`{"bin":["cli.js"]}`:                                   nil,
		`{"bin":"cli.js"`:                                      nil,
		`{"bin":` + strings.Repeat("[", 100_000):               nil,
	} {
		c := mustTarball(t, new(raw).file("package/package.json", manifest).file("package/cli.js", "").file("package/bin/a", "").file("package/bin/b", "").file("package/x", ""), Limits{})
		var got []string
		for _, e := range c.Entries {
			if e.Exec {
				got = append(got, e.Path)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%.60s: %q, want %q", manifest, got, want)
		}
	}
}

func TestLinksOfTarballsAreCounted(t *testing.T) {
	t.Parallel()
	c := mustTarball(t, new(raw).file("package/a", "a").symlink("package/l", "a").hard("package/h", "package/a"), Limits{})
	if c.Stats.Dropped != 2 || c.Stats.Files != 1 || len(c.Entries) != 1 {
		t.Errorf("%+v", c.Stats)
	}
	last := mustTarball(t, new(raw).file("package/a", "first").file("package/a", "last"), Limits{})
	if b, _ := io.ReadAll(last.Open(&last.Entries[0])); string(b) != "last" {
		t.Errorf("of two files of one name, %q counts", b)
	}
}

// Trouble with the source is no fault of the archive: it can be tried again.
func TestTroubleOfTheSourceIsNoRefusal(t *testing.T) {
	t.Parallel()
	away := errors.New("the network is away")
	whole := gz(new(raw).file("package/a", strings.Repeat("a", 1000)).end())
	digest, packed := mustWrite(t, mustTarball(t, new(raw).file("package/a", strings.Repeat("a", 1000)), Limits{}))
	for n := range len(whole) {
		_, err := FromTarball(t.Context(), io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(away)), Limits{})
		if !errors.Is(err, away) || Refused(err) != "" {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	for n := range len(packed) {
		_, err := Load(t.Context(), io.MultiReader(bytes.NewReader(packed[:n]), iotest.ErrReader(away)), digest, Limits{})
		if !errors.Is(err, away) || Refused(err) != "" {
			t.Errorf("archive, after %d bytes: %v", n, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := FromTarball(ctx, bytes.NewReader(whole), Limits{}); !errors.Is(err, context.Canceled) || Refused(err) != "" {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Load(ctx, bytes.NewReader(packed), digest, Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, _, err := Write(t.Context(), &fullWriter{}, mustTarball(t, new(raw).file("package/a", "a"), Limits{})); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("write: %v", err)
	}
}

type fullWriter struct{}

func (*fullWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestFullDiskIsNoRefusal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("hearth-test", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs root to mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	var big bytes.Buffer
	io.CopyN(&big, &noise{1}, 1<<20)
	b := new(raw).file("package/big", big.String()).end()
	_, err := FromTarball(t.Context(), bytes.NewReader(gz(b)), Limits{Memory: 1, Spool: dir})
	if hearth.CodeOf(err) != hearth.CodeNoSpace || Refused(err) != "" {
		t.Errorf("spool on a full disk: %v", err)
	}
	if names, _ := os.ReadDir(dir); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	err = mustTarball(t, new(raw).file("package/big", big.String()), Limits{}).WriteTo(t.Context(), root)
	if hearth.CodeOf(err) != hearth.CodeNoSpace {
		t.Errorf("files on a full disk: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "big")); err != nil {
		t.Errorf("what is there is the caller's to remove: %v", err)
	}
}

// Many readers at once share nothing but the pools.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	whole := gz(new(raw).file("package/a", strings.Repeat("a", 1000)).file("package/b/c", "x").end())
	want, _ := mustWrite(t, mustTarball(t, new(raw).file("package/a", strings.Repeat("a", 1000)).file("package/b/c", "x"), Limits{}))
	t.Run("", func(t *testing.T) {
		for i := range 16 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for range 20 {
					c, err := FromTarball(t.Context(), bytes.NewReader(whole), Limits{})
					if err != nil {
						t.Fatal(err)
					}
					digest, b := mustWrite(t, c)
					if digest != want {
						t.Fatalf("goroutine %d: %s, want %s", i, digest, want)
					}
					if i%2 == 0 { // and broken ones, which must not spoil the decoder for the next
						b[len(b)/2] ^= 1
					}
					if _, err := Load(t.Context(), bytes.NewReader(b), digest, Limits{}); (err != nil) != (i%2 == 0) {
						t.Fatalf("goroutine %d: %v", i, err)
					}
				}
			})
		}
	})
}
