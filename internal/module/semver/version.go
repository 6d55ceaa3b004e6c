// Package semver compares the versions of npm packages, and says whether one satisfies a range, as
// node-semver does, which npm decides by: its rules for prereleases and for partial versions are its
// own, and a library for another ecosystem would accept a lock that `npm ci` refuses. The test runs
// both on the same pairs.
//
// It is pure: no input is too long for it to end quickly, and none makes it panic.
package semver

import (
	"cmp"
	"strconv"
	"strings"
)

// longest is node-semver's bound of a version's text.
const longest = 256

// Version is an exact version. Its build part does not count and is dropped.
type Version struct {
	Major, Minor, Patch uint64
	Pre                 []string // without empty ones; numbers have no leading zero
}

// Parse reads an exact version. A leading "v" or "=" is passed over, as npm does.
func Parse(text string) (Version, bool) {
	text = strings.TrimSpace(text)
	if len(text) > longest {
		return Version{}, false
	}
	p, ok := parsePartial(strings.TrimSpace(strings.TrimLeft(text, "=")))
	if !ok || p.x < 3 {
		return Version{}, false
	}
	return p.Version, true
}

// Compare orders versions by precedence: negative when v is older than w.
func (v Version) Compare(w Version) int {
	if c := cmp.Or(cmp.Compare(v.Major, w.Major), cmp.Compare(v.Minor, w.Minor), cmp.Compare(v.Patch, w.Patch)); c != 0 {
		return c
	}
	switch {
	case len(v.Pre) == 0 || len(w.Pre) == 0:
		return cmp.Compare(len(w.Pre), len(v.Pre)) // without one is newer
	}
	for i := range min(len(v.Pre), len(w.Pre)) {
		if c := comparePre(v.Pre[i], w.Pre[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(v.Pre), len(w.Pre))
}

// comparePre orders two identifiers: numbers by value and before words, words by their bytes.
func comparePre(a, b string) int {
	x, y := number(a), number(b)
	switch {
	case x && y:
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	case x:
		return -1
	case y:
		return 1
	}
	return strings.Compare(a, b)
}

func number(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// partial is a version of which the last parts may be absent or x.
type partial struct {
	Version
	x     int  // how many of the three numbers are given
	mixed bool // a number stands behind an x; node-semver takes that after ^ and ~ only
}

// most is the largest number of a version: what JavaScript counts exactly.
const most = 1<<53 - 1

func parsePartial(text string) (p partial, ok bool) {
	text = strings.TrimPrefix(text, "v")
	text, build, hasBuild := strings.Cut(text, "+")
	if hasBuild && !identifiers(build, false) {
		return p, false
	}
	core, pre, hasPre := strings.Cut(text, "-")
	fields := strings.Split(core, ".")
	if len(fields) > 3 || core == "" || (hasPre || hasBuild) && len(fields) < 3 {
		return p, false
	}
	into := [...]*uint64{&p.Major, &p.Minor, &p.Patch}
	wild := false
	for i, f := range fields {
		if f == "x" || f == "X" || f == "*" {
			wild = true
			continue
		}
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil || n > most || len(f) > 1 && f[0] == '0' || f[0] == '+' {
			return p, false
		}
		if p.mixed = wild; !wild {
			*into[i] = n
			p.x = i + 1
		}
	}
	if hasPre {
		if !identifiers(pre, true) {
			return p, false
		}
		if p.x == 3 {
			p.Pre = strings.Split(pre, ".")
		}
	}
	return p, true
}

// identifiers checks what follows a - or a +. Of a prerelease, numbers have no leading zero.
func identifiers(text string, prerelease bool) bool {
	for id := range strings.SplitSeq(text, ".") {
		if id == "" || prerelease && len(id) > 1 && id[0] == '0' && number(id) {
			return false
		}
		for i := range len(id) {
			c := id[i]
			if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' {
				return false
			}
		}
	}
	return true
}
