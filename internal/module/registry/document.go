package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"hearth/internal/module/semver"
)

// packument is a document in the form in which we keep it. Keys are compared exactly, and the last of
// two equal ones counts, as in JavaScript; encoding/json's structs would take "Version" for "version".
type packument struct {
	name     string
	tags     map[string]string
	versions map[string]json.RawMessage // reduced manifests
	times    map[string]time.Time       // of publication; nil when the document has none
}

// placeholder stands where the tarballs are, until it is known who reads the document.
const placeholder = "http://placeholder.invalid/"

const (
	mostManifest = 1 << 20
	mostTags     = 4096
)

// kept are the fields of a manifest that npm's resolver reads or puts into a lock.
var kept = []string{"name", "version", "dependencies", "optionalDependencies", "peerDependencies", "peerDependenciesMeta", "acceptDependencies",
	"bundleDependencies", "bundledDependencies", "bin", "directories", "engines", "os", "cpu", "libc", "hasInstallScript", "_hasShrinkwrap", "deprecated", "license", "funding"}

// brokenDocument is a mistake of the registry, not of the way there.
type brokenDocument struct{ err error }

func (b *brokenDocument) Error() string { return b.err.Error() }
func (b *brokenDocument) Unwrap() error { return b.err }

func broken(format string, args ...any) error { return &brokenDocument{fmt.Errorf(format, args...)} }

// readPackument reads the document of name, long or short. One value of it at a time is in memory,
// beside what is kept.
func readPackument(in io.Reader, name string) (*packument, error) {
	p := &packument{name: name, tags: map[string]string{}, versions: map[string]json.RawMessage{}}
	bounded := &valueReader{in: in}
	dec := json.NewDecoder(bounded)
	bounded.dec = dec
	theirs, listed := "", 0
	err := object(dec, func(key string) error {
		switch key {
		case "name":
			return value(dec, &theirs)
		case "dist-tags":
			clear(p.tags)
			return object(dec, func(tag string) error {
				var version any
				if err := value(dec, &version); err != nil {
					return err
				}
				if text, ok := version.(string); ok && validVersion.MatchString(text) && len(p.tags) < mostTags {
					p.tags[tag] = text
				}
				return nil
			})
		case "versions":
			clear(p.versions)
			listed = 0
			return object(dec, func(version string) error {
				var raw json.RawMessage
				if err := value(dec, &raw); err != nil {
					return err
				}
				listed++
				delete(p.versions, version)
				if m, ok := reduce(raw, name, version); ok {
					p.versions[version] = m
				}
				return nil
			})
		case "time":
			p.times = map[string]time.Time{}
			return object(dec, func(version string) error {
				var at any
				if err := value(dec, &at); err != nil {
					return err
				}
				if text, ok := at.(string); ok {
					if t, err := time.Parse(time.RFC3339, text); err == nil {
						p.times[version] = t
					}
				}
				return nil
			})
		}
		var skipped json.RawMessage
		return value(dec, &skipped)
	})
	switch {
	case err != nil:
		return nil, err
	case theirs != name:
		return nil, broken("asked for %q, got the document of %.220q", name, theirs)
	case listed > 0 && len(p.versions) == 0:
		return nil, broken("none of the %d versions is one of %q", listed, name)
	}
	maps.DeleteFunc(p.tags, func(_, version string) bool { return p.versions[version] == nil })
	maps.DeleteFunc(p.times, func(version string, _ time.Time) bool { return p.versions[version] == nil })
	return p, nil
}

// mostValue bounds what of a document the decoder holds at once: far more than the largest README.
const mostValue = 8 << 20

// valueReader ends a document with a value that is too long, before it is in memory.
type valueReader struct {
	in   io.Reader
	dec  *json.Decoder
	done int64
}

func (v *valueReader) Read(p []byte) (int, error) {
	if v.done-v.dec.InputOffset() > mostValue {
		return 0, broken("one value is longer than %d MiB", mostValue>>20)
	}
	n, err := v.in.Read(p[:min(len(p), 64<<10)]) // the decoder's buffer doubles
	v.done += int64(n)
	return n, err
}

// object reads an object, calling field behind each key. null and other values count as empty.
func object(dec *json.Decoder, field func(key string) error) error {
	token, err := dec.Token()
	if err != nil {
		return readError(err)
	}
	if token != json.Delim('{') {
		if d, ok := token.(json.Delim); ok {
			return broken("%v where an object belongs", d)
		}
		return nil
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return readError(err)
		}
		text, ok := key.(string)
		if !ok {
			return broken("%v where a key belongs", key)
		}
		if err := field(text); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return readError(err)
}

func value(dec *json.Decoder, into any) error { return readError(dec.Decode(into)) }

// readError marks the mistakes of the text itself.
func readError(err error) error {
	switch err := err.(type) {
	case *json.SyntaxError, *json.UnmarshalTypeError:
		return &brokenDocument{err}
	}
	if err == io.EOF { // between two values
		return io.ErrUnexpectedEOF
	}
	return err
}

// reduce keeps of a manifest what is needed. It refuses one that is another's, or has no tarball.
func reduce(raw json.RawMessage, name, version string) (json.RawMessage, bool) {
	var m, dist map[string]json.RawMessage
	if len(raw) > mostManifest || !validVersion.MatchString(version) || json.Unmarshal(raw, &m) != nil || json.Unmarshal(m["dist"], &dist) != nil {
		return nil, false
	}
	if text(m["name"]) != name || text(m["version"]) != version || text(dist["tarball"]) == "" {
		return nil, false
	}
	out := map[string]any{}
	for _, key := range kept {
		if v := m[key]; v != nil && string(v) != "null" {
			out[key] = v
		}
	}
	// Only the short document says it in a word.
	var scripts map[string]json.RawMessage
	if json.Unmarshal(m["scripts"], &scripts) == nil {
		for _, script := range []string{"preinstall", "install", "postinstall"} {
			if text(scripts[script]) != "" {
				out["hasInstallScript"] = true
			}
		}
	}
	d := map[string]any{"tarball": placeholder + tarballPath(name, version)}
	for _, key := range []string{"integrity", "shasum"} {
		if v := text(dist[key]); v != "" {
			d[key] = v
		}
	}
	out["dist"] = d
	reduced, err := json.Marshal(out)
	return reduced, err == nil
}

// text is a JSON string's, "" for anything else.
func text(raw json.RawMessage) (s string) {
	if raw == nil || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// tarballPath is where npm's registry and nearly all others have a tarball, below their URL.
func tarballPath(name, version string) string {
	return name + "/-/" + name[strings.IndexByte(name, '/')+1:] + "-" + version + ".tgz"
}

func (p *packument) encode() []byte {
	doc := map[string]any{"name": p.name, "dist-tags": p.tags, "versions": p.versions}
	if p.times != nil {
		doc["time"] = p.times
	}
	text, err := json.Marshal(doc)
	if err != nil { // every part was made by Marshal before
		panic(fmt.Sprintf("encode packument: %v", err))
	}
	return text
}

// decode reads what encode wrote.
func (d Document) decode() (*packument, error) {
	var doc struct {
		Name     string                     `json:"name"`
		Tags     map[string]string          `json:"dist-tags"`
		Versions map[string]json.RawMessage `json:"versions"`
		Times    map[string]time.Time       `json:"time"`
	}
	if err := json.Unmarshal(d.body, &doc); err != nil {
		return nil, fmt.Errorf("decode packument: %w", err)
	}
	return &packument{name: doc.Name, tags: doc.Tags, versions: doc.Versions, times: doc.Times}, nil
}

// At returns the document with its tarballs below origin, a URL that ends in a slash.
func (d Document) At(origin string) []byte {
	return bytes.ReplaceAll(d.body, []byte(`"tarball":"`+placeholder), []byte(`"tarball":"`+origin))
}

// Integrity returns the integrity text of a version, and whether there is such a version.
func (d Document) Integrity(version string) (string, bool) {
	p, err := d.decode()
	if err != nil || p.versions[version] == nil {
		return "", false
	}
	return p.integrity(version), true
}

func (p *packument) integrity(version string) string {
	var m struct {
		Dist struct {
			Integrity string `json:"integrity"`
		} `json:"dist"`
	}
	_ = json.Unmarshal(p.versions[version], &m) // of reduce
	return m.Dist.Integrity
}

// age takes away what was published after before, except what exact keeps, points the tags that lost
// their version to the newest one that is left below, and returns how many versions went. A version
// without a time counts as new, since nobody says that it is old, unless keep has it stay.
func (p *packument) age(before time.Time, keep bool, exact func(version string) bool) (gone int) {
	for version := range p.versions {
		at, known := p.times[version]
		if known && !at.After(before) || !known && keep || exact(version) {
			continue
		}
		delete(p.versions, version)
		delete(p.times, version)
		gone++
	}
	for tag, version := range p.tags {
		if p.versions[version] != nil {
			continue
		}
		delete(p.tags, tag)
		if older := p.below(version); older != "" {
			p.tags[tag] = older
		}
	}
	return gone
}

// below is the newest version that is not newer than version. For a release it is a release, and where
// there is one, it is not deprecated: what npm does with --before.
func (p *packument) below(version string) string {
	limit, ok := semver.Parse(version)
	if !ok {
		return ""
	}
	type candidate struct {
		text       string
		v          semver.Version
		deprecated bool
	}
	var all []candidate
	for text, raw := range p.versions {
		v, ok := semver.Parse(text)
		if !ok || v.Compare(limit) > 0 || len(v.Pre) > 0 && len(limit.Pre) == 0 {
			continue
		}
		var m struct {
			Deprecated any `json:"deprecated"`
		}
		_ = json.Unmarshal(raw, &m)
		words, isText := m.Deprecated.(string)
		all = append(all, candidate{text, v, isText && words != "" || m.Deprecated == true})
	}
	if len(all) == 0 {
		return ""
	}
	return slices.MaxFunc(all, func(a, b candidate) int {
		if a.deprecated != b.deprecated {
			if a.deprecated {
				return -1
			}
			return 1
		}
		if c := a.v.Compare(b.v); c != 0 {
			return c
		}
		return strings.Compare(a.text, b.text)
	}).text
}
