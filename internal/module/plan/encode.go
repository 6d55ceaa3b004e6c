package plan

import (
	"bytes"
	"encoding/json"
	"path"
	"strings"

	"hearth"
)

// maxTree bounds an encoded tree. The largest that a lock can make is below it: each text of it is in
// the lock, but for the keys.
const maxTree = 64 << 20

// The encoded form. Its fields are never renamed, since databases hold it; another form gets another number.
const treeFormat = 1

type treeJSON struct {
	Format   int               `json:"format"`
	Key      string            `json:"key"`
	Runtime  string            `json:"runtime"`
	Platform string            `json:"platform"`
	Direct   map[string]string `json:"direct"`
	Hoisted  map[string]string `json:"hoisted"`
	Packages []packageJSON     `json:"packages"`
}

type packageJSON struct {
	Key       string            `json:"key"`
	Name      string            `json:"name"`
	Package   string            `json:"package,omitempty"` // where it is another one than name
	Version   string            `json:"version"`
	Integrity string            `json:"integrity"`
	Scripts   bool              `json:"scripts,omitempty"`
	Tenant    string            `json:"tenant,omitempty"`
	Deps      map[string]string `json:"deps,omitempty"`
	Bin       map[string]string `json:"bin,omitempty"`
}

// Encode writes a tree for the database: equal trees make equal bytes.
func (t *Tree) Encode() []byte {
	doc := treeJSON{treeFormat, t.Key, t.Runtime, t.Platform, t.Direct, t.Hoisted, make([]packageJSON, len(t.Packages))}
	for i, p := range t.Packages {
		doc.Packages[i] = packageJSON{p.Key, p.Name, p.Package, p.Version, p.Integrity, p.Scripts, p.Tenant, p.Deps, p.Bin}
		if p.Package == p.Name {
			doc.Packages[i].Package = ""
		}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		panic(err) // no field of it can fail to encode
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// Decode reads what Encode wrote and checks that it is whole: a tree's texts become paths.
func Decode(data []byte) (*Tree, error) {
	if len(data) > maxTree {
		return nil, damaged("is larger than %d MiB", maxTree>>20)
	}
	d := decoder{newScanner(data)}
	t, format := &Tree{}, 0
	d.members(func(key string) {
		switch key {
		case "format":
			format = d.whole()
		case "key":
			t.Key = d.key()
		case "runtime":
			t.Runtime = d.text()
		case "platform":
			t.Platform = d.text()
		case "direct":
			t.Direct = d.links()
		case "hoisted":
			t.Hoisted = d.links()
		case "packages":
			d.items(func() { t.Packages = append(t.Packages, d.one()) })
		default:
			d.fail("an unknown field %q", clip(key))
		}
	})
	if err := d.end(); err != nil {
		return nil, damaged("%v", err)
	}
	if format != treeFormat {
		return nil, damaged("has format %d", format)
	}
	if err := t.whole(); err != nil {
		return nil, err
	}
	return t, nil
}

func damaged(format string, args ...any) *hearth.Error {
	return hearth.Errorf(hearth.CodeInternal, "stored tree "+format, args...)
}

type decoder struct{ *scanner }

func (d decoder) key() string {
	s := d.text()
	if !isKey(s) {
		d.fail("%q is no key", clip(s))
	}
	return s
}

func isKey(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == 64
}

func (d decoder) links() map[string]string {
	m := make(map[string]string)
	d.members(func(name string) {
		if badName(name) != "" {
			d.fail("%q is no name", clip(name))
			return
		}
		m[name] = d.key()
	})
	return m
}

func (d decoder) one() Package {
	p := Package{Deps: map[string]string{}}
	d.members(func(key string) {
		switch key {
		case "key":
			p.Key = d.key()
		case "name":
			p.Name = d.text()
		case "package":
			p.Package = d.text()
		case "version":
			p.Version = d.text()
		case "integrity":
			p.Integrity = d.text()
		case "scripts":
			p.Scripts = d.boolean()
		case "tenant":
			p.Tenant = d.text()
		case "deps":
			p.Deps = d.links()
		case "bin":
			p.Bin = d.bin()
		default:
			d.fail("an unknown field %q", clip(key))
		}
	})
	if p.Package == "" {
		p.Package = p.Name
	}
	sum, _ := sha512Of(p.Integrity)
	if badName(p.Name) != "" || badName(p.Package) != "" || !exactVersion(p.Version) || sum == "" || sum != p.Integrity {
		d.fail("%q is no package", clip(p.Name))
	}
	if p.Content = p.Key; !p.Scripts {
		p.Content = p.content()
	}
	return p
}

func (d decoder) bin() map[string]string {
	m := make(map[string]string)
	d.members(func(command string) {
		file := d.text()
		if !goodCommand(command) || file == "" || strings.TrimPrefix(path.Join("/", file), "/") != file {
			d.fail("%q is no command", clip(command))
			return
		}
		m[command] = file
	})
	return m
}

// whole checks that the parts of a tree fit: sorted, no key twice, no link to what is not there.
func (t *Tree) whole() error {
	if len(t.Packages) > hearth.LimitPackages.Int() {
		return damaged("has more than %d packages", hearth.LimitPackages.Int())
	}
	for i := range t.Packages {
		if i > 0 && t.Packages[i-1].Key >= t.Packages[i].Key {
			return damaged("has packages out of order")
		}
	}
	check := func(links map[string]string) error {
		for name, key := range links {
			if p := t.Find(key); p == nil {
				return damaged("has a link %q to a package that it has not", name)
			} else if p.Name != name {
				return damaged("has a link %q to the package %q", name, p.Name)
			}
		}
		return nil
	}
	for i := range t.Packages {
		if err := check(t.Packages[i].Deps); err != nil {
			return err
		}
	}
	if t.Direct == nil || t.Hoisted == nil || t.Key != t.hash() {
		return damaged("is not what its key says")
	}
	if err := check(t.Direct); err != nil {
		return err
	}
	return check(t.Hoisted)
}
