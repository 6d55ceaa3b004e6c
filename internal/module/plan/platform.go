package plan

import "strings"

// Platform is where packages run, in npm's words.
type Platform struct{ OS, CPU, Libc string }

// String returns it as trees name it: linux-x64-glibc.
func (p Platform) String() string { return p.OS + "-" + p.CPU + "-" + p.Libc }

// needs are the fields os, cpu and libc of a package.
type needs struct{ os, cpu, libc []string }

// fits is npm's checkPlatform (npm-install-checks: lib/index.js).
func (p Platform) fits(n needs) bool {
	return listed(p.OS, n.os) && listed(p.CPU, n.cpu) && listed(p.Libc, n.libc)
}

// listed tells whether a list holds the value: none of the negated ones, and one of the others if
// there are others.
func listed(value string, list []string) bool {
	if len(list) == 1 && list[0] == "any" {
		return true
	}
	negated, match := 0, false
	for _, entry := range list {
		if not, ok := strings.CutPrefix(entry, "!"); ok {
			negated++
			if not == value {
				return false
			}
		} else if entry == value {
			match = true
		}
	}
	return match || negated == len(list)
}

func (n needs) String() string {
	var parts []string
	for _, f := range []struct {
		name string
		list []string
	}{{"os", n.os}, {"cpu", n.cpu}, {"libc", n.libc}} {
		if len(f.list) > 0 {
			parts = append(parts, f.name+" "+strings.Join(f.list, ", "))
		}
	}
	return clip(strings.Join(parts, "; "))
}
