package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"hearth"
)

// What a lock is made of; the rest of a package.json is for people and tools, its devDependencies for
// the developer's machine.
var (
	packageName = regexp.MustCompile(`^(@[a-z0-9~-][a-z0-9._~-]*/)?[a-zA-Z0-9~-][a-zA-Z0-9._~-]*$`)
	packageSpec = regexp.MustCompile(`^[ -.0-9;-~]*$`) // printable ASCII but / and :, which begin places that nobody may be sent to
)

const (
	packageNameMost = 214 // bytes; npm's own bound
	packageSpecMost = 512
)

// dependencies reads what a version depends on into m: the document's dependencies, and what a
// package.json and a package-lock.json among the files say. pkg and lock may be nil.
func (f *fields) dependencies(m *hearth.Manifest, doc, pkg *value, lock []byte) {
	const inPackage = `files["package.json"]`
	m.Dependencies = f.ranges(pkg.member("dependencies"), inPackage+".dependencies")
	m.OptionalDependencies = f.ranges(pkg.member("optionalDependencies"), inPackage+".optionalDependencies")
	m.PeerDependencies = f.ranges(pkg.member("peerDependencies"), inPackage+".peerDependencies")
	own := f.ranges(doc, "dependencies")
	for _, name := range slices.Sorted(maps.Keys(own)) {
		if had, ok := m.Dependencies[name]; ok && had != own[name] {
			f.bad(join("dependencies", name), "is %.80q here and %.80q in the package.json among the files", own[name], had)
		}
		if m.Dependencies == nil {
			m.Dependencies = map[string]string{}
		}
		m.Dependencies[name] = own[name]
	}
	if n := len(m.Dependencies) + len(m.OptionalDependencies) + len(m.PeerDependencies); int64(n) > hearth.LimitDependencies.Value {
		f.over("dependencies", hearth.LimitDependencies)
	}
	if v := pkg.member("overrides"); v != nil && m.HasDependencies() {
		m.Overrides = f.overrides(v, inPackage+".overrides")
	}
	if lock != nil {
		m.Lock = f.lock(lock, `files["package-lock.json"]`)
	}
}

// ranges reads an object of package name → version, range, tag or alias; absent and empty give nil.
func (f *fields) ranges(v *value, at string) map[string]string {
	if v == nil {
		return nil
	}
	if v.kind != kindObject {
		f.wrong(v, at, kindObject)
		return nil
	}
	if int64(len(v.keys)) > hearth.LimitDependencies.Value {
		f.over(at, hearth.LimitDependencies)
		return nil
	}
	var all map[string]string
	for _, name := range v.keys {
		m, where := v.members[name], join(at, name)
		switch {
		case len(name) > packageNameMost || !packageName.MatchString(name):
			f.bad(where, "is not the name of an npm package")
		case m.kind != kindText:
			f.wrong(m, where, kindText)
		case !validSpec(m.text):
			f.bad(where, "is %.80q; it must be a version, a range, a tag, or npm:NAME@RANGE: packages come from the registry only", m.text)
		default:
			if all == nil {
				all = make(map[string]string, len(v.keys))
			}
			all[name] = m.text
		}
	}
	return all
}

func validSpec(spec string) bool {
	if len(spec) > packageSpecMost {
		return false
	}
	if alias, ok := strings.CutPrefix(spec, "npm:"); ok {
		name := alias
		if at := strings.LastIndexByte(alias, '@'); at > 0 {
			name, spec = alias[:at], alias[at+1:]
		} else {
			spec = ""
		}
		if len(name) > packageNameMost || !packageName.MatchString(name) {
			return false
		}
	}
	return packageSpec.MatchString(spec)
}

// overrides reads npm's overrides: what they mean is npm's affair, that they are bounded is ours.
func (f *fields) overrides(v *value, at string) json.RawMessage {
	if v.kind != kindObject {
		f.wrong(v, at, kindObject)
		return nil
	}
	if len(v.keys) == 0 {
		return nil
	}
	var b bytes.Buffer
	_ = json.Compact(&b, v.raw) // the whole document is valid
	if int64(b.Len()) > hearth.LimitOverrides.Value {
		f.over(at, hearth.LimitOverrides)
		return nil
	}
	return b.Bytes()
}

// lock returns the digest of a package-lock.json that has packages in a form that can be used as it is.
// One of npm 6 (lockfileVersion 1) lacks what is needed: then the manifest is resolved anew.
func (f *fields) lock(data []byte, at string) string {
	var doc struct {
		Version  int                        `json:"lockfileVersion"`
		Packages map[string]json.RawMessage `json:"packages"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		f.bad(at, "cannot be read: %.200s", err)
		return ""
	}
	delete(doc.Packages, "")
	if doc.Version < 2 || len(doc.Packages) == 0 {
		return ""
	}
	sum := sha256.Sum256(data)
	return "sha256-" + hex.EncodeToString(sum[:])
}
