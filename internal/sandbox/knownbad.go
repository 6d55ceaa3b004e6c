package sandbox

import (
	"strconv"
	"strings"
)

// hole is a published escape of an OCI runtime: versions of the line [from, fixed) have it.
type hole struct {
	runtime     string
	from, fixed [3]int
	id          string
}

// holes are from the runtimes' security advisories. runc: CVE-2025-31133, CVE-2025-52565 and
// CVE-2025-52881 are mended in 1.2.8, 1.3.3 and 1.4.0-rc.3; CVE-2026-41579 in 1.3.6, 1.4.3 and 1.5.0.
// crun: CVE-2026-47766 in 1.28.
var holes = []hole{
	{"runc", [3]int{0, 0, 0}, [3]int{1, 3, 6}, "CVE-2026-41579"},
	{"runc", [3]int{1, 4, 0}, [3]int{1, 4, 3}, "CVE-2026-41579"},
	{"crun", [3]int{0, 0, 0}, [3]int{1, 28, 0}, "CVE-2026-47766"},
}

// KnownHole names a published escape that this version of an OCI runtime has, or returns "". A
// version that cannot be read counts as the oldest.
func KnownHole(runtime, version string) string {
	v := parseVersion(version)
	for _, h := range holes {
		if h.runtime == runtime && !less(v, h.from) && less(v, h.fixed) {
			return h.id
		}
	}
	return ""
}

func parseVersion(s string) (v [3]int) {
	s, _, _ = strings.Cut(strings.TrimPrefix(s, "v"), "-")
	s, _, _ = strings.Cut(s, "+")
	for i, part := range strings.SplitN(s, ".", 3) {
		n, err := strconv.Atoi(part)
		if err != nil {
			return [3]int{}
		}
		v[i] = n
	}
	return v
}

func less(a, b [3]int) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}
