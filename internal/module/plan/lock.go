package plan

import (
	"errors"
	"path"
	"strings"

	"hearth"
)

// ErrOld is what Parse returns for a lock that has to be resolved again: npm 6 and older wrote
// version 1, which does not say which dependencies are peers, nor who has scripts.
var ErrOld = errors.New("the lock is of version 1")

// Lock is a package-lock.json that was read and checked, and does not change.
type Lock struct {
	root    *entry
	entries []*entry // in the order of the lock, without the root
}

// entry is a folder of a lock.
type entry struct {
	path      string
	name      string // of the folder, with its scope
	pkg       string // the package's real name
	version   string
	integrity string // sha512 only
	scripts   bool
	skipped   bool // only for development: npm ci --omit=dev leaves it out
	bundled   bool // inside the tarball of owner
	deps      []dep
	needs     needs
	bin       map[string]string
	lookup    folder
	owner     *entry // whose content it is in: itself, unless bundled
}

// folder is a place where names are looked up.
type folder struct {
	parent *entry
	below  map[string]*entry
}

// dep is one dependency that an entry declares.
type dep struct {
	name, spec string
	optional   bool
}

// fields are what an entry has in the lock.
type fields struct {
	name, version, integrity          string
	scripts, dev, extraneous          bool
	link, inBundle                    bool
	prod, optional, peer, development map[string]string
	peerOptional                      map[string]bool
	needs                             needs
	bin                               map[string]string
	workspaces                        bool
}

// Parse reads a package-lock.json of version 2 or 3. It returns ErrOld for version 1, and else a
// hearth.Error that says what is wrong in words for whoever wrote the lock.
func Parse(lock []byte) (*Lock, error) {
	if len(lock) > hearth.LimitLockBytes.Int() {
		return nil, hearth.Exceeded(hearth.CodeTooLarge, hearth.LimitLockBytes)
	}
	r := reader{scanner: newScanner(lock), all: make(map[string]*entry)}
	version, packages := 1, false
	r.members(func(key string) {
		switch key {
		case "lockfileVersion":
			version = r.whole()
		case "packages":
			packages = true
			r.members(r.entry)
		default: // "dependencies" too: what npm 6 reads of version 2, and later ones do not
			r.skip()
		}
	})
	if err := r.end(); err != nil {
		if r.refused != nil {
			return nil, r.refused
		}
		return nil, refuse("%v", err)
	}
	switch {
	case version == 1:
		return nil, ErrOld
	case version != 2 && version != 3:
		return nil, refuse("lockfileVersion is %d, and Hearth reads 1, 2 and 3", version)
	case !packages || r.root == nil:
		return nil, refuse(`has no entry "" for the project itself`)
	}
	if err := r.nest(); err != nil {
		return nil, err
	}
	return &Lock{r.root, r.entries}, nil
}

// refuse makes the error of a lock that can't be used.
func refuse(format string, args ...any) *hearth.Error {
	e := hearth.Errorf(hearth.CodeInvalid, "package-lock.json: "+format, args...)
	e.Component, e.Reason = hearth.ComponentRequest, "lock_invalid"
	return e
}

// reader collects the entries of a lock.
type reader struct {
	*scanner
	root    *entry
	entries []*entry
	all     map[string]*entry
	deps    int
	refused error
}

// refuse ends reading with an error that has no line, since it names the entry.
func (r *reader) refuse(err error) {
	if r.refused == nil && r.err == nil {
		r.refused = err
	}
	r.fail("refused")
}

func (r *reader) entry(at string) {
	var f fields
	r.members(func(key string) { r.field(&f, key) })
	if r.err != nil {
		var where *badJSON
		if r.refused == nil && errors.As(r.err, &where) {
			r.refused = refuse("%v, in %q", where, clip(at))
		}
		return
	}
	if at == "" {
		if f.workspaces {
			r.refuse(refuse("has workspaces, which Hearth does not have: deploy each as a function of its own"))
			return
		}
		r.root = &entry{deps: dependencies(&f, true)}
		r.root.owner = r.root
		return
	}
	name, err := nameOf(at)
	if err != nil {
		r.refuse(err)
		return
	}
	e := &entry{path: at, name: name, pkg: name, version: f.version, scripts: f.scripts, skipped: f.dev || f.extraneous,
		bundled: f.inBundle, needs: f.needs, bin: f.bin, deps: dependencies(&f, false)}
	if f.name != "" {
		e.pkg = f.name
	}
	if err := e.check(&f); err != nil {
		r.refuse(err)
		return
	}
	r.entries = append(r.entries, e)
	r.all[at] = e
	if r.deps += len(e.deps); len(r.entries) > hearth.LimitPackages.Int() {
		r.refuse(hearth.Exceeded(hearth.CodeInvalid, hearth.LimitPackages))
	} else if r.deps > maxDeps {
		r.refuse(refuse("has more than %d dependencies in all", maxDeps))
	}
}

// maxDeps bounds what resolving costs. The largest honest locks have about four a package.
const maxDeps = 100_000

func (r *reader) field(f *fields, key string) {
	switch key {
	case "name":
		f.name = r.text()
	case "version":
		f.version = r.text()
	case "integrity":
		f.integrity = r.text()
	case "hasInstallScript", "gypfile":
		f.scripts = r.boolean() || f.scripts
	case "dev":
		f.dev = r.boolean()
	case "extraneous":
		f.extraneous = r.boolean()
	case "link":
		f.link = r.boolean()
	case "inBundle":
		f.inBundle = r.boolean()
	case "dependencies":
		f.prod = r.specs()
	case "optionalDependencies":
		f.optional = r.specs()
	case "peerDependencies":
		f.peer = r.specs()
	case "devDependencies":
		f.development = r.specs()
	case "peerDependenciesMeta":
		f.peerOptional = r.peerMeta()
	case "os":
		f.needs.os = r.list()
	case "cpu":
		f.needs.cpu = r.list()
	case "libc":
		f.needs.libc = r.list()
	case "bin":
		f.bin = r.commands()
	case "workspaces":
		f.workspaces = true
		r.skip()
	default: // resolved is never fetched, and engines only make npm warn
		r.skip()
	}
}

func (r *reader) specs() map[string]string {
	specs := make(map[string]string)
	r.members(func(name string) {
		if why := badName(name); why != "" {
			r.fail("the dependency %q %s", clip(name), why)
			return
		}
		specs[name] = r.text()
	})
	return specs
}

func (r *reader) peerMeta() map[string]bool {
	optional := make(map[string]bool)
	r.members(func(name string) {
		r.members(func(key string) {
			if key == "optional" && (r.peek() == 't' || r.peek() == 'f') {
				optional[name] = r.boolean()
			} else {
				r.skip()
			}
		})
	})
	return optional
}

// list reads what packages write as one text or as a list.
func (r *reader) list() []string {
	if r.peek() == '"' {
		return []string{r.text()}
	}
	var list []string
	r.items(func() { list = append(list, r.text()) })
	return list
}

// commands reads a bin as npm-normalize-package-bin does: no command and no path can leave its folder.
// A single path, which npm writes into no lock, has the key "", for the package's own name.
func (r *reader) commands() map[string]string {
	bin := make(map[string]string)
	add := func(command, file string) {
		for i := range len(file) {
			if file[i] < 0x20 || file[i] == 0x7f {
				r.fail("the command %q has a path with a control character", clip(command))
				return
			}
		}
		file = strings.TrimPrefix(path.Join("/", strings.ReplaceAll(file, `\`, "/")), "/")
		if file != "" && len(file) <= 512 {
			bin[command] = file
		}
	}
	if r.peek() == '"' {
		add("", r.text())
		return bin
	}
	r.members(func(command string) {
		base := path.Base(strings.ReplaceAll(command, `\`, "/"))
		if !goodCommand(base) {
			r.fail("%q can't be a command", clip(command))
			return
		}
		add(base, r.text())
	})
	return bin
}

// goodCommand reports whether s can be a file in .bin.
func goodCommand(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '/' || s[i] == '\\' {
			return false
		}
	}
	return s != "" && s != "." && s != ".." && len(s) <= maxName
}

// dependencies puts the kinds together, as Arborist's _loadDeps: a later one wins over an earlier one.
func dependencies(f *fields, root bool) []dep {
	all := make(map[string]dep, len(f.prod)+len(f.optional)+len(f.peer))
	for name, spec := range f.peer {
		all[name] = dep{name, spec, f.peerOptional[name]}
	}
	for name, spec := range f.prod {
		all[name] = dep{name, spec, false}
	}
	for name, spec := range f.optional {
		all[name] = dep{name, spec, true}
	}
	if root {
		for name := range f.development {
			delete(all, name)
		}
	}
	list := make([]dep, 0, len(all))
	for _, name := range sorted(all) {
		list = append(list, all[name])
	}
	return list
}

// nameOf checks the path of an entry and returns the last name in it.
func nameOf(at string) (string, error) {
	parts := strings.Split(at, "node_modules/")
	switch {
	case len(at) > maxPath || len(parts)-1 > maxNesting:
		return "", refuse("the path %q is deeper than %d packages or longer than %d bytes", clip(at), maxNesting, maxPath)
	case parts[0] != "" && !strings.HasPrefix(at, "/") && !strings.Contains(at, ".."):
		return "", refuse("the path %q is outside of node_modules: workspaces and linked folders can't be installed", clip(at))
	case parts[0] != "" || len(parts) < 2:
		return "", refuse("the path %q does not lead to a package below node_modules", clip(at))
	}
	name := ""
	for i, part := range parts[1:] {
		var between bool
		name, between = strings.CutSuffix(part, "/")
		if between != (i < len(parts)-2) {
			return "", refuse("the path %q does not lead to a package below node_modules", clip(at))
		}
		if why := badName(name); why != "" {
			return "", refuse("the path %q has a name that %s", clip(at), why)
		}
	}
	return name, nil
}

const (
	maxNesting = 32 // npm's deepest are about 8; each is a step of every look-up
	maxPath    = 4096
)

// check judges what an entry says of itself.
func (e *entry) check(f *fields) error {
	bad := func(format string, args ...any) error {
		return refuse("%s: "+format, append([]any{clip(e.path)}, args...)...)
	}
	switch {
	case e.skipped: // nothing of it is used
		return nil
	case f.link:
		return bad("is a link to a folder of your machine: publish it to a registry, or put its files into the function's files")
	}
	if why := badName(e.pkg); why != "" {
		return bad("the package's name %q %s", clip(e.pkg), why)
	}
	if !exactVersion(e.version) {
		if why := elsewhere(e.version); why != "" && e.version != "" {
			return bad("%q %s", clip(e.version), why)
		}
		return bad("%q is no exact version", clip(e.version))
	}
	if file, ok := e.bin[""]; ok {
		delete(e.bin, "")
		e.bin[path.Base(e.pkg)] = file
	}
	var why string
	if e.integrity, why = sha512Of(f.integrity); why != "" && !e.bundled {
		return bad("the integrity of %s@%s %s, without which nobody can tell what it is", e.pkg, e.version, why)
	}
	return nil
}

// nest links each entry with the folder that it is in, and finds who bundles whom.
func (r *reader) nest() error {
	for _, e := range r.entries {
		parent := r.root
		if at := strings.TrimSuffix(e.path, "node_modules/"+e.name); at != "" {
			if parent = r.all[at[:len(at)-1]]; parent == nil {
				return refuse("%q is inside a package that the lock does not have", clip(e.path))
			}
		}
		if parent.lookup.below == nil {
			parent.lookup.below = make(map[string]*entry)
		}
		e.lookup.parent, parent.lookup.below[e.name] = parent, e
	}
	for _, e := range r.entries {
		e.owner = e
		for e.owner.bundled && e.owner != r.root {
			e.owner = e.owner.lookup.parent
		}
		// What the project itself bundles is installed as any other package (Arborist's inDepBundle).
		if e.owner == r.root {
			e.owner, e.bundled = e, false
		}
		if !e.bundled && !e.skipped && e.integrity == "" {
			return refuse("%s: the integrity of %s@%s has no sha512, without which nobody can tell what it is", clip(e.path), e.pkg, e.version)
		}
	}
	return nil
}

// resolve finds what a package in this folder gets for a name, as Node.js and npm look it up, or nil.
func (e *entry) resolve(name string) *entry {
	for ; e != nil; e = e.lookup.parent {
		if found := e.lookup.below[name]; found != nil && !found.skipped {
			return found
		}
	}
	return nil
}
