package image

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// npmFolder is where npm is in a build image.
const npmFolder = "usr/lib/node_modules/npm"

// tools are what install scripts and npm's node-gyp call, each with the Debian package that brings it.
// With what dpkg says that these need, they are the toolchain.
var tools = [][2]string{
	{"g++", "g++"}, {"gcc", "gcc"}, {"as", "binutils"}, {"ld", "binutils"}, {"ar", "binutils"}, {"make", "make"},
	{"python3", "python3"}, {"pkgconf", "pkgconf"}, {"dash", "dash"}, {"bash", "bash"}, {"env", "coreutils"}, {"sed", "sed"},
	{"grep", "grep"}, {"find", "findutils"}, {"xargs", "findutils"}, {"tar", "tar"}, {"gzip", "gzip"}, {"cmp", "diffutils"},
	{"which.debianutils", "debianutils"}, {"mawk", "mawk"},
}

// alternatives are the names that Debian gives by hand, in scripts that we do not run.
var alternatives = map[string]string{
	"cc": "gcc", "c++": "g++", "sh": "dash", "awk": "mawk", "which": "which.debianutils", "pkg-config": "pkgconf",
	"npm": "../lib/node_modules/npm/bin/npm-cli.js", "npx": "../lib/node_modules/npm/bin/npx-cli.js",
	"node-gyp": "../lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js",
}

// notNeeded are packages that the others need to be installed, not to run.
var notNeeded = []string{"dpkg", "debconf", "debconf-2.0", "perl-base", "perl", "base-files", "install-info", "init-system-helpers",
	"tzdata", "ca-certificates", "media-types", "mailcap", "libc-bin"}

// under is where a path of the root is in a build image, whose /bin and /lib are links into /usr: gcc
// finds its headers from the folder that it is in, and Debian's is built for /usr.
func (p *plan) under(name string) string {
	if p.build {
		return "usr/" + name
	}
	return name
}

// merge moves what is planned for /bin and /lib to /usr, and links those there.
func (p *plan) merge() {
	delete(p.entries, "usr/bin")
	delete(p.entries, "usr/lib")
	for name, e := range p.entries {
		if merged(name) {
			delete(p.entries, name)
			p.parents("usr/" + name)
			p.entries["usr/"+name] = e
		}
	}
	for _, dir := range []string{"bin", "lib", "lib64"} {
		p.link(dir, "usr/"+dir)
		p.entries["usr/"+dir] = entry{mode: modeFolder}
	}
	p.entries["work"] = entry{mode: modeFolder}
}

func merged(name string) bool {
	top, _, _ := strings.Cut(name, "/")
	return top == "bin" || top == "lib" || top == "lib64"
}

// toolchain plans the files of the tools' packages and of all packages that these depend on, and reports
// all tools that the host lacks at once.
func (p *plan) toolchain(s Spec) error {
	known, err := readStatus(filepath.Join(s.Host, "var/lib/dpkg/status"), platforms[s.Arch].dpkg)
	if err != nil {
		return err
	}
	var roots []string
	for _, tool := range tools {
		roots = append(roots, tool[1])
	}
	for _, name := range known.closure(roots) {
		if err := p.debian(s, name); err != nil {
			return fmt.Errorf("plan package %s: %w", name, err)
		}
	}
	var missing []string
	for _, tool := range tools {
		if _, ok := p.entries["usr/bin/"+tool[0]]; !ok && !slices.Contains(missing, tool[1]) {
			missing = append(missing, tool[1])
		}
	}
	for _, header := range [][2]string{{"stdlib.h", "libc6-dev"}, {"linux/errno.h", "linux-libc-dev"}} {
		if _, ok := p.entries["usr/include/"+header[0]]; !ok {
			missing = append(missing, header[1])
		}
	}
	if err := lacks(missing, "builds of packages"); err != nil {
		return err
	}
	for name, target := range alternatives {
		p.link("usr/bin/"+name, target)
	}
	return nil
}

// debian plans the files of one installed package that a build may want.
func (p *plan) debian(s Spec, name string) error {
	info := filepath.Join(s.Host, "var/lib/dpkg/info")
	list, err := os.ReadFile(filepath.Join(info, name+":"+platforms[s.Arch].dpkg+".list"))
	if errors.Is(err, fs.ErrNotExist) {
		list, err = os.ReadFile(filepath.Join(info, name+".list")) // not multiarch
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(list)) {
		from := strings.TrimSuffix(line, "\n")
		to := strings.TrimPrefix(from, "/")
		if merged(to) {
			to = "usr/" + to
		}
		if !wanted(to) {
			continue
		}
		if err := p.take(s.Host, from, to); err != nil {
			return err
		}
	}
	return nil
}

// wanted says which files of the toolchain's packages an image holds: programs, libraries and headers.
func wanted(to string) bool {
	for _, skip := range []string{"usr/lib/debug/", "usr/lib/systemd/", "usr/lib/udev/", "usr/lib/mime/", "usr/lib/python3/",
		"usr/lib/valgrind/", "usr/lib/locale/"} {
		if strings.HasPrefix(to, skip) {
			return false
		}
	}
	switch {
	case strings.HasSuffix(to, "-dwp"), strings.Contains(to, "-lto-dump-"), strings.Contains(to, "gprofng"):
		return false
	case strings.Contains(to, "/gconv/"), strings.Contains(to, "/ensurepip/"), strings.Contains(to, "/lib2to3/"), strings.Contains(to, "/pydoc_data/"):
		return false
	case strings.HasPrefix(to, "usr/lib/") && slices.ContainsFunc([]string{"libasan", "libtsan", "liblsan", "libubsan", "libhwasan"},
		func(s string) bool { return strings.HasPrefix(path.Base(to), s) }):
		return false // sanitizers: 60 MB that no release build links
	}
	for _, keep := range []string{"usr/bin/", "usr/lib/", "usr/lib64/", "usr/libexec/", "usr/include/", "usr/share/pkgconfig/"} {
		if strings.HasPrefix(to, keep) {
			return true
		}
	}
	return false
}

// take plans one file or symlink of the host's. A folder comes with what is in it; what an installation
// without documents lacks is passed over, and so is a link that leads through /etc.
func (p *plan) take(host, from, to string) error {
	full := filepath.Join(host, from)
	fi, err := os.Lstat(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, ok := p.entries[to]; ok { // the runtime's own libraries
		return nil
	}
	switch {
	case fi.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(full)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(target, "/etc/") {
			p.link(to, target)
		}
	case fi.Mode().IsRegular():
		mode := fs.FileMode(modeFile)
		if fi.Mode()&0o111 != 0 {
			mode = modeProgram
		}
		p.parents(to)
		p.entries[to] = entry{mode: mode, host: full, stamp: fmt.Sprint(fi.Size(), fi.ModTime().UnixNano())}
		return p.compiled(full, to)
	}
	return nil
}

// compiled plans what Python compiled of a module when it was installed, which dpkg does not list.
// Without it every build would compile sixty modules first.
func (p *plan) compiled(full, to string) error {
	base, ok := strings.CutSuffix(path.Base(to), ".py")
	if !ok {
		return nil
	}
	found, err := filepath.Glob(filepath.Join(filepath.Dir(full), "__pycache__", base+".cpython-*.pyc"))
	if err != nil {
		return nil // a name that is no pattern: it stays uncompiled
	}
	for _, name := range found {
		if strings.Contains(path.Base(name), ".opt-") {
			continue
		}
		fi, err := os.Lstat(name)
		if err != nil || !fi.Mode().IsRegular() {
			continue
		}
		at := path.Join(path.Dir(to), "__pycache__", path.Base(name))
		p.parents(at)
		p.entries[at] = entry{mode: modeFile, host: name, pyc: true, stamp: fmt.Sprint(fi.Size(), fi.ModTime().UnixNano())}
	}
	return nil
}

// bytecode returns a compiled module that Python takes whatever its source's time is, which an image
// sets anew: one that is said to go by its source's hash, unchecked (PEP 552).
func bytecode(r io.Reader) (io.Reader, error) {
	var header [16]byte // magic, flags, time, size
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, fmt.Errorf("read compiled module: %w", err)
	}
	binary.LittleEndian.PutUint32(header[4:], 1)
	clear(header[8:])
	return io.MultiReader(bytes.NewReader(header[:]), r), nil
}

// installed is what dpkg knows of the packages of one architecture.
type installed struct {
	needs    map[string][][]string // by package: of each list one must be there
	provides map[string]string     // virtual package → one that is installed
}

// readStatus reads dpkg's status file.
func readStatus(file, arch string) (*installed, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read which packages are installed: %w", err)
	}
	defer f.Close()
	k := &installed{map[string][][]string{}, map[string]string{}}
	fields := map[string]string{}
	done := func() {
		if fields["Status"] == "install ok installed" && (fields["Architecture"] == arch || fields["Architecture"] == "all") {
			name := fields["Package"]
			k.needs[name] = append(relations(fields["Depends"]), relations(fields["Pre-Depends"])...)
			for _, p := range relations(fields["Provides"]) {
				k.provides[p[0]] = name
			}
		}
		clear(fields)
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		switch line := lines.Text(); {
		case line == "":
			done()
		case line[0] != ' ' && line[0] != '\t':
			name, value, _ := strings.Cut(line, ":")
			fields[name] = strings.TrimSpace(value)
		}
	}
	done()
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read which packages are installed: %w", err)
	}
	return k, nil
}

// relations reads "a (>= 1) | b, c:any" as [[a b] [c]].
func relations(text string) (all [][]string) {
	for list := range strings.SplitSeq(text, ",") {
		var names []string
		for one := range strings.SplitSeq(list, "|") {
			name, _, _ := strings.Cut(strings.TrimSpace(one), " ")
			if name, _, _ = strings.Cut(name, ":"); name != "" {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			all = append(all, names)
		}
	}
	return all
}

// closure returns the roots that are installed and all that they need, sorted. What is not there shows
// when the tools are looked for.
func (k *installed) closure(roots []string) []string {
	seen := map[string]bool{}
	for todo := slices.Clone(roots); len(todo) > 0; {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		needs, ok := k.needs[name]
		if !ok || seen[name] || slices.Contains(notNeeded, name) {
			continue
		}
		seen[name] = true
		for _, any := range needs {
			for _, one := range any {
				if _, ok := k.needs[one]; !ok {
					one = k.provides[one]
				}
				if one != "" {
					todo = append(todo, one)
					break
				}
			}
		}
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
