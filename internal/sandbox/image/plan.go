package image

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"hearth"
)

// layout counts the changes of this code that change images made from the same inputs.
const layout = 1

// plan is all that goes into an image but what stands in packages of npm: the Node.js binary and its
// licence, and for builds npm itself. Nothing has been read yet but the small things.
type plan struct {
	packs   []Package
	entries map[string]entry // by path without the first slash
	build   bool
	arch    string
}

// entry is a folder, a symlink, or a file with its content here or on the host.
type entry struct {
	mode  fs.FileMode // with type bits
	link  string      // target of a symlink
	text  []byte
	host  string // path on the host, instead of text
	stamp string // size and time of the host's file, for the fingerprint
	pyc   bool   // a compiled module of Python's: see bytecode
}

// Modes: nothing in an image can be written, by anybody, and only what must be can be executed.
const (
	modeFolder  = fs.ModeDir | 0o555
	modeFile    = 0o444
	modeProgram = 0o555
)

func (s Spec) plan() (*plan, error) {
	packs, err := s.packages()
	if err != nil {
		return nil, err
	}
	p := &plan{packs: packs, entries: map[string]entry{}, build: s.Build, arch: s.Arch}
	for _, dir := range []string{"bin", "proc", "dev", "tmp", "fn", "packages"} {
		p.entries[dir] = entry{mode: modeFolder}
	}
	// Debian keeps libraries in /lib or in /usr/lib, which newer releases have as one folder.
	p.link("usr/bin", "../bin")
	p.link("usr/lib", "../lib")
	for name, text := range etc {
		p.file("etc/"+name, []byte(text), modeFile)
	}
	p.file("hearth/init", s.Init, modeProgram)
	err = errors.Join(p.shim(s.Shim), p.host(s))
	if s.Build && err == nil {
		p.merge()
		err = p.toolchain(s)
	}
	return p, err
}

// etc is what C libraries and Node.js look for. Whoever has a uid has a passwd entry, since
// os.userInfo() throws without. resolv.conf is a mount point of the network to come.
var etc = map[string]string{
	"passwd":        "root:x:0:0:root:/:/nonexistent\nfn:x:1000:1000::/tmp:/nonexistent\nnobody:x:65534:65534::/:/nonexistent\n",
	"group":         "root:x:0:\nfn:x:1000:\nnogroup:x:65534:\n",
	"hosts":         "127.0.0.1 localhost instance\n::1 localhost ip6-localhost ip6-loopback\n",
	"nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n",
	"resolv.conf":   "",
}

func (p *plan) file(name string, text []byte, mode fs.FileMode) {
	p.parents(name)
	p.entries[name] = entry{mode: mode, text: text}
}

func (p *plan) link(name, target string) {
	p.parents(name)
	p.entries[name] = entry{mode: fs.ModeSymlink | 0o777, link: target}
}

func (p *plan) parents(name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		p.entries[dir] = entry{mode: modeFolder}
	}
}

func (p *plan) shim(files fs.FS) error {
	return fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return fmt.Errorf("read shim: %w", err)
		}
		p.file(path.Join("hearth/shim", name), text, modeFile)
		return nil
	})
}

// libraries are the Debian packages whose libraries an image holds, all of them: prebuilt addons need
// more than Node.js itself (librt, libutil, libresolv, libatomic). The second is a library by which
// a package that is only half installed is told from a whole one.
var libraries = [][2]string{{"libc6", "libc.so.6"}, {"libgcc-s1", "libgcc_s.so.1"}, {"libstdc++6", "libstdc++.so.6"}, {"libatomic1", "libatomic.so.1"}}

const (
	certificates = "etc/ssl/certs/ca-certificates.crt"
	zones        = "usr/share/zoneinfo"
)

// host plans what comes from the host, and reports all packages that it lacks at once.
func (p *plan) host(s Spec) error {
	pf := platforms[s.Arch]
	var missing []string
	for _, l := range libraries {
		err := p.library(s, l[0])
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("plan libraries of %s: %w", l[0], err)
		}
		if _, ok := p.entries[path.Join("lib", pf.libs, l[1])]; !ok || err != nil {
			missing = append(missing, l[0]+":"+pf.dpkg)
		}
	}
	if _, ok := p.entries[pf.loader]; !ok {
		p.link(pf.loader, strings.Repeat("../", strings.Count(pf.loader, "/"))+path.Join("lib", pf.libs, path.Base(pf.loader)))
	}
	if err := p.copy(s.Host, certificates, certificates, modeFile); err != nil {
		missing = append(missing, "ca-certificates")
	}
	if err := p.zones(s.Host); err != nil {
		missing = append(missing, "tzdata")
	}
	return lacks(missing, "instances")
}

// lacks is the error about packages that the host does not have, nil if there are none.
func lacks(missing []string, who string) error {
	if len(missing) == 0 {
		return nil
	}
	return &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "host_packages",
		Message: fmt.Sprintf("this machine lacks %s, which %s need; install with: apt-get install %[1]s", strings.Join(missing, " "), who)}
}

// library plans the libraries that dpkg lists for a package. They all end up in one folder.
func (p *plan) library(s Spec, pack string) error {
	pf := platforms[s.Arch]
	info := filepath.Join(s.Host, "var/lib/dpkg/info")
	list, err := os.ReadFile(filepath.Join(info, pack+":"+pf.dpkg+".list"))
	if errors.Is(err, fs.ErrNotExist) {
		list, err = os.ReadFile(filepath.Join(info, pack+".list")) // not multiarch
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(list)) {
		from := strings.TrimSuffix(line, "\n")
		name := strings.TrimPrefix(from, "/usr")
		if path.Dir(name) != "/lib/"+pf.libs || !strings.Contains(path.Base(name), ".so") {
			continue // documents, and helpers of gconv and gdb
		}
		mode := fs.FileMode(modeFile)
		if strings.HasPrefix(path.Base(name), "ld-") {
			mode = modeProgram // the kernel executes the loader
		}
		if err := p.copy(s.Host, from, name, mode); err != nil {
			return err
		}
	}
	return nil
}

// copy plans a file of the host's. A symlink to a neighbour stays one; any other becomes its target.
func (p *plan) copy(host, from, to string, mode fs.FileMode) error {
	from, to = filepath.Join(host, from), strings.TrimPrefix(to, "/")
	if target, err := os.Readlink(from); err == nil && path.Base(target) == target {
		p.link(to, target)
		return nil
	}
	fi, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", from)
	}
	p.parents(to)
	p.entries[to] = entry{mode: mode, host: from, stamp: fmt.Sprint(fi.Size(), fi.ModTime().UnixNano())}
	return nil
}

// zones plans the time zones, without the two copies of them that nobody names.
func (p *plan) zones(host string) error {
	root := filepath.Join(host, zones)
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(strings.TrimPrefix(name, root), "/")
		switch {
		case err != nil:
			return err
		case rel == "right" || rel == "posix":
			return fs.SkipDir
		case d.IsDir():
			return nil
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(name)
			inside := path.Join(path.Dir(rel), target)
			if err == nil && !path.IsAbs(target) && inside != ".." && !strings.HasPrefix(inside, "../") {
				p.link(path.Join(zones, rel), target)
			}
			return nil // else: localtime, which is the host's own affair
		}
		return p.copy("", name, path.Join(zones, rel), modeFile)
	})
}

// names returns the entries' paths, a folder before what is in it.
func (p *plan) names() []string {
	names := make([]string, 0, len(p.entries))
	for name := range p.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// fingerprint tells inputs apart without reading the host's files.
func (p *plan) fingerprint() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %q\n", layout, p.packs)
	for _, name := range p.names() {
		e := p.entries[name]
		fmt.Fprintf(h, "%q %v %q %x %q %s\n", name, e.mode, e.link, sha256.Sum256(e.text), e.host, e.stamp)
	}
	return hex.EncodeToString(h.Sum(nil))
}
