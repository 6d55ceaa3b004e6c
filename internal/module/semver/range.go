package semver

import (
	"regexp"
	"slices"
	"strings"
)

// mostRange bounds a range's text, and so the work it makes.
const mostRange = 4096

// Range is a set of versions: one of the sets must hold in all of its bounds.
type Range struct{ sets [][]bound }

type bound struct {
	op string // >= > < <= =
	v  Version
}

var (
	hyphenForm = regexp.MustCompile(`^\s*(\S+)\s+-\s+(\S+)\s*$`)
	spacedOps  = regexp.MustCompile(`(~>|[<>]=?|=|~|\^)\s+`) // as in ">= 1.2"
	opForm     = regexp.MustCompile(`^(~>?|\^|[<>]?=?)(.*)$`)
)

// ParseRange reads what node-semver takes for a range. Anything else is a dist-tag, a URL or a mistake.
func ParseRange(text string) (Range, bool) {
	var r Range
	if len(text) > mostRange {
		return r, false
	}
	for part := range strings.SplitSeq(text, "||") {
		set, ok := parseSet(part)
		if !ok {
			return Range{}, false
		}
		r.sets = append(r.sets, set)
	}
	return r, true
}

func parseSet(text string) ([]bound, bool) {
	if m := hyphenForm.FindStringSubmatch(text); m != nil {
		return hyphen(m[1], m[2])
	}
	set := []bound{}
	for field := range strings.FieldsSeq(spacedOps.ReplaceAllString(text, "$1")) {
		more, ok := parseSimple(field)
		if !ok {
			return nil, false
		}
		set = append(set, more...)
	}
	return set, true
}

func hyphen(from, to string) (set []bound, ok bool) {
	low, ok1 := parsePartial(from)
	high, ok2 := parsePartial(to)
	if !ok1 || !ok2 {
		return nil, false
	}
	if low.x > 0 {
		set = append(set, bound{">=", low.Version})
	}
	switch high.x {
	case 0:
	case 3:
		set = append(set, bound{"<=", high.Version})
	default:
		set = append(set, bound{"<", high.next(high.x)})
	}
	return set, true
}

// parseSimple reads one field: an operator and a version that may be partial.
func parseSimple(field string) ([]bound, bool) {
	m := opForm.FindStringSubmatch(field)
	op, rest := m[1], m[2]
	p, ok := parsePartial(rest)
	if !ok {
		return nil, false
	}
	switch op {
	case "^":
		return p.caret(), true
	case "~", "~>":
		return p.within(min(p.x, 2)), true
	}
	return p.compared(op), !p.mixed
}

// nothing is a bound that no version meets.
var nothing = bound{"<", Version{Pre: []string{"0"}}}

// caret keeps the leftmost number that is not zero.
func (p partial) caret() []bound {
	switch {
	case p.Major > 0 || p.x <= 1:
		return p.within(min(p.x, 1))
	case p.Minor > 0 || p.x == 2:
		return p.within(2)
	}
	return p.within(3)
}

// within is everything from p on that has its first n numbers.
func (p partial) within(n int) []bound {
	if n == 0 {
		return nil
	}
	return []bound{{">=", p.Version}, {"<", p.next(n)}}
}

// compared is p behind one of the operators of comparison, or none.
func (p partial) compared(op string) []bound {
	switch {
	case p.x == 3:
		if op == "" {
			op = "="
		}
		return []bound{{op, p.Version}}
	case p.x == 0 && (op == ">" || op == "<"):
		return []bound{nothing}
	case p.x == 0:
		return nil
	}
	switch op {
	case ">":
		next := p.next(p.x)
		next.Pre = nil
		return []bound{{">=", next}}
	case ">=":
		return []bound{{">=", p.Version}}
	case "<":
		low := p.Version
		low.Pre = []string{"0"}
		return []bound{{"<", low}}
	case "<=":
		return []bound{{"<", p.next(p.x)}}
	}
	return p.within(p.x)
}

// next is below every release and prerelease that comes after those with p's first n numbers.
func (p partial) next(n int) Version {
	v := Version{Major: p.Major, Minor: p.Minor, Patch: p.Patch, Pre: []string{"0"}}
	switch n {
	case 1:
		v.Major, v.Minor, v.Patch = v.Major+1, 0, 0
	case 2:
		v.Minor, v.Patch = v.Minor+1, 0
	case 3:
		v.Patch++
	}
	return v
}

// Has says whether v is in the range. A prerelease is only in one that names a prerelease of the same
// three numbers: who asks for ^1.2.0 does not want 1.3.0-alpha.
func (r Range) Has(v Version) bool {
	return slices.ContainsFunc(r.sets, func(set []bound) bool {
		for _, b := range set {
			if !b.has(v) {
				return false
			}
		}
		return len(v.Pre) == 0 || slices.ContainsFunc(set, func(b bound) bool {
			return len(b.v.Pre) > 0 && b.v.Major == v.Major && b.v.Minor == v.Minor && b.v.Patch == v.Patch
		})
	})
}

func (b bound) has(v Version) bool {
	switch c := v.Compare(b.v); b.op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	default:
		return c == 0
	}
}
