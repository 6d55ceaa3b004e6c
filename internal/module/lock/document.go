package lock

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hearth/internal/module/registry"
	"hearth/internal/module/semver"
)

// entry is one package of a lock. Its keys are compared exactly: encoding/json's structs would take
// "Version" for "version".
type entry = map[string]json.RawMessage

// mostMistakes are named; a lock of another program can have thousands.
const mostMistakes = 10

var errForm = errors.New("it is not the JSON of a package-lock.json")

// readLock returns the packages of a lock and its version. Of two equal keys the last counts, as in
// JavaScript.
func readLock(raw []byte) (version int, packages map[string]entry, err error) {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(raw, &doc); err != nil || doc == nil {
		return 0, nil, errForm
	}
	if err := json.Unmarshal(doc["lockfileVersion"], &version); err != nil {
		return 0, nil, errors.New("it has no lockfileVersion")
	}
	if version != 2 && version != 3 {
		return version, nil, nil
	}
	if err := json.Unmarshal(doc["packages"], &packages); err != nil || packages == nil {
		return 0, nil, errors.New(`it has no "packages"`)
	}
	for at, e := range packages {
		if e == nil {
			return 0, nil, fmt.Errorf("%.300q in it is no object", at)
		}
	}
	return version, packages, nil
}

// encode writes a lock that has one meaning. What stands in "" is the manifest's: a reader that begins
// there finds what was asked for, and nothing else.
func encode(packages map[string]entry, req Request) ([]byte, error) {
	root := entry{}
	for key, v := range req.manifest() {
		field, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encode manifest: %w", err)
		}
		root[key] = field
	}
	packages[""] = root
	out, err := json.Marshal(map[string]any{"lockfileVersion": 3, "requires": true, "packages": packages})
	if err != nil {
		return nil, fmt.Errorf("encode lock: %w", err)
	}
	return out, nil
}

// settle makes the lock that is kept out of what the sandbox answered.
func settle(raw []byte, req Request) ([]byte, error) {
	version, packages, err := readLock(raw)
	if err == nil && packages == nil {
		err = fmt.Errorf("it has lockfileVersion %d", version)
	}
	if err != nil {
		return nil, fmt.Errorf("read the lock that npm made: %w", err)
	}
	origin := registry.SandboxOrigin + "/"
	for _, e := range packages {
		if strings.HasPrefix(text(e["resolved"]), origin) {
			delete(e, "resolved") // it leads nowhere, and names no registry
		}
	}
	if wrong := misfits(packages, req); len(wrong) > 0 {
		return nil, fmt.Errorf("the lock that npm made does not fit its manifest: %s", strings.Join(wrong, "; "))
	}
	return encode(packages, req)
}

// readUserLock checks that a user's lock fits the manifest. old is one whose version npm must renew.
func readUserLock(req Request) (lock []byte, old bool, err error) {
	if len(req.Lock) > mostLock {
		return nil, false, failed("ETOOLARGE", "package-lock.json is larger than %d MiB", mostLock>>20)
	}
	version, packages, err := readLock(req.Lock)
	switch {
	case err != nil:
		return nil, false, failed("EJSONPARSE", "package-lock.json cannot be used: %v", err)
	case version == 1:
		return nil, true, nil
	case packages == nil:
		return nil, false, failed("ELOCKVERSION", "package-lock.json has lockfileVersion %d; 1, 2 and 3 can be used", version)
	}
	if wrong := misfits(packages, req); len(wrong) > 0 {
		return nil, false, failed("EUSAGE", "package-lock.json does not fit the dependencies; run npm install where you develop, and send both again.\n%s", strings.Join(wrong, "\n"))
	}
	lock, err = encode(packages, req)
	return lock, false, err
}

// misfits says, in the words of npm ci, what of the manifest a lock does not have. Of a range it
// decides as npm does; a tag was once where the lock says, and is not asked for again.
func misfits(packages map[string]entry, req Request) (wrong []string) {
	var optional map[string]struct {
		Optional bool `json:"optional"`
	}
	_ = json.Unmarshal(req.PeerDependenciesMeta, &optional) // others judge its form
	seen := map[string]bool{}
	for _, kind := range []string{"optionalDependencies", "dependencies", "peerDependencies"} {
		specs := req.specs()[kind]
		for _, name := range slices.Sorted(maps.Keys(specs)) {
			if seen[name] {
				continue // npm takes the first of these for one name
			}
			seen[name] = true
			e := packages["node_modules/"+name]
			if e == nil {
				if kind == "dependencies" || kind == "peerDependencies" && !optional[name].Optional {
					wrong = append(wrong, fmt.Sprintf("Missing: %s@%.100s from lock file", name, specs[name]))
				}
				continue
			}
			if !fits(name, specs[name], e) {
				wrong = append(wrong, fmt.Sprintf("Invalid: lock file's %s@%.100s does not satisfy %s@%.100s", installed(name, e), text(e["version"]), name, specs[name]))
			}
		}
	}
	if more := len(wrong) - mostMistakes; more > 0 {
		wrong = append(wrong[:mostMistakes], fmt.Sprintf("and %d more", more))
	}
	return wrong
}

func fits(name, spec string, e entry) bool {
	if alias, ok := cutAlias(spec); ok {
		name, spec = cutName(alias)
	}
	if own := text(e["name"]); own != "" && own != name {
		return false
	}
	if string(e["link"]) == "true" {
		return false // a folder of the user's machine
	}
	r, isRange := semver.ParseRange(spec)
	v, isVersion := semver.Parse(text(e["version"]))
	return isVersion && (!isRange || r.Has(v))
}

func installed(name string, e entry) string {
	if own := text(e["name"]); own != "" {
		return fmt.Sprintf("%.220s", own)
	}
	return name
}

// text is a JSON string's, "" for anything else.
func text(raw json.RawMessage) (s string) {
	if raw == nil || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}
