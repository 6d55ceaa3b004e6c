package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearth"
)

// Manifest is all that decides a lock.
type Manifest struct {
	Dependencies, OptionalDependencies, PeerDependencies map[string]string

	Overrides     []byte // JSON, as in package.json; nil: none
	Lock          []byte // the user's, if there is one
	Runtime       string
	Platform      Platform
	MinReleaseAge time.Duration
}

// Key returns the name under which a lock for this manifest is kept: 64 hex digits. Manifests that
// differ in nothing but order and white space have the same key.
func (m *Manifest) Key() (string, error) {
	d := newDigest("hearth manifest 1").texts(m.Dependencies).texts(m.OptionalDependencies).texts(m.PeerDependencies)
	p := newScanner(m.Overrides)
	if len(m.Overrides) > 0 {
		p.copyInto(d)
		if err := p.end(); err != nil {
			return "", invalid("overrides", err.Error())
		}
	}
	d.text(string(m.Lock)).text(m.Runtime).text(m.Platform.String()).text(m.MinReleaseAge.String())
	return d.hex(), nil
}

// copyInto hashes a value, and for objects the order of their keys too: npm takes the first rule of
// the overrides that fits.
func (p *scanner) copyInto(d *digest) {
	switch p.peek() {
	case '{':
		d.text("{")
		p.members(func(key string) { d.text(key); p.copyInto(d) })
		d.text("}")
	case '"':
		d.text(`"`).text(p.text())
	default:
		start := p.i
		p.skip()
		d.text(p.s[min(start, p.i):p.i])
	}
}

// Check judges the dependencies that a user wrote. The error is a hearth.Error that names every
// mistake, at most maxMistakes of them.
func Check(dependencies map[string]string) error {
	return check("dependencies", dependencies)
}

const maxMistakes = 20

func check(field string, dependencies map[string]string) error {
	if len(dependencies) > hearth.LimitDependencies.Int() {
		return hearth.Exceeded(hearth.CodeInvalid, hearth.LimitDependencies)
	}
	var bad []hearth.FieldError
	for _, name := range sorted(dependencies) {
		why := badName(name)
		if why != "" {
			why = "is no name of a package: it " + why
		} else {
			why = badSpec(dependencies[name])
		}
		if why != "" {
			bad = append(bad, hearth.FieldError{Field: field + member(name), Message: why})
		}
	}
	return mistakes(bad)
}

// CheckOverrides judges the overrides of a user's package.json: objects, in which a key is a name,
// name@range or ".", and a value a spec, a reference such as "$react", or an object again.
func CheckOverrides(overrides []byte) error {
	if len(overrides) > maxOverrides {
		return invalid("overrides", fmt.Sprintf("is larger than %d KiB", maxOverrides>>10))
	}
	p := newScanner(overrides)
	var bad []hearth.FieldError
	var read func(field string)
	read = func(field string) {
		p.members(func(key string) {
			at := field + member(key)
			name, _ := cutName(key)
			if why := badName(name); why != "" && key != "." {
				bad = append(bad, hearth.FieldError{Field: at, Message: "is no name of a package: it " + why})
			}
			if p.peek() == '{' {
				read(at)
			} else if spec := p.text(); !strings.HasPrefix(spec, "$") {
				if why := badSpec(spec); why != "" {
					bad = append(bad, hearth.FieldError{Field: at, Message: why})
				}
			}
		})
	}
	read("overrides")
	if err := p.end(); err != nil {
		return invalid("overrides", err.Error())
	}
	return mistakes(bad)
}

const maxOverrides = 256 << 10

func mistakes(bad []hearth.FieldError) error {
	if len(bad) == 0 {
		return nil
	}
	e := invalid(bad[0].Field, bad[0].Message)
	if e.Fields = bad[:min(len(bad), maxMistakes)]; len(bad) > 1 {
		e.Message += fmt.Sprintf(", and %d more", len(bad)-1)
	}
	e.Fields = slices.Clip(e.Fields)
	return e
}

// invalid is hearth.Invalid for a message that is no format.
func invalid(field, message string) *hearth.Error { return hearth.Invalid(field, "%s", message) }

// member writes a key as the management API's messages do: .lodash, ["@scope/name"].
func member(key string) string {
	plain := key != ""
	for i := range len(key) {
		c := key[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		plain = plain && (letter || i > 0 && c >= '0' && c <= '9')
	}
	if plain {
		return "." + clip(key)
	}
	return "[" + strconv.Quote(clip(key)) + "]"
}
