package plan

import (
	"crypto/sha512"
	"encoding/base64"
	"strings"
)

// maxText bounds names, versions and ranges: npm has 214 for a name, semver 256 for a version.
const (
	maxName    = 214
	maxVersion = 256
)

// badName says why s can't be the name of a package, or "". The rules are npm's for old packages
// (validate-npm-package-name), since the registry still has those, but for its special characters
// ("~'!()*"), which no package that is used has and which a shell reads.
func badName(s string) string {
	scope, name := "", s
	if strings.HasPrefix(s, "@") {
		var ok bool
		if scope, name, ok = strings.Cut(s[1:], "/"); !ok || scope == "" {
			return "has a scope and no name: @scope/name"
		}
	}
	switch {
	case name == "":
		return "is empty"
	case len(s) > maxName:
		return "is longer than 214 bytes"
	case strings.HasPrefix(name, ".") || strings.HasPrefix(scope, "."):
		return "begins with a dot"
	case scope == "" && (name[0] == '_' || name[0] == '-'):
		return `begins with "_" or "-"`
	}
	for _, part := range []string{scope, name} {
		for i := range len(part) {
			c := part[i]
			if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
				return "has characters other than letters, digits, -, _ and ."
			}
		}
		switch strings.ToLower(part) {
		case "node_modules", "favicon.ico", "__proto__":
			return "is reserved"
		}
	}
	return ""
}

// exactVersion reports whether s is a version of Semantic Versioning 2.0.0, whole and without a prefix.
func exactVersion(s string) bool {
	if len(s) > maxVersion {
		return false
	}
	core, build, hasBuild := strings.Cut(s, "+")
	core, pre, hasPre := strings.Cut(core, "-")
	numbers := strings.Split(core, ".")
	if len(numbers) != 3 || hasBuild && !identifiers(build, false) || hasPre && !identifiers(pre, true) {
		return false
	}
	for _, n := range numbers {
		if !number(n) {
			return false
		}
	}
	return true
}

// number reports whether s is a number of a version: no leading zero, and not beyond what
// JavaScript counts exactly.
func number(s string) bool {
	if s == "" || len(s) > 16 || len(s) > 1 && s[0] == '0' || len(s) == 16 && s > "9007199254740991" {
		return false
	}
	return digits(s)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func identifiers(s string, strict bool) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || strict && len(part) > 1 && part[0] == '0' && digits(part) {
			return false
		}
		for i := range len(part) {
			if c := part[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

// sha512Of takes the sha512 out of an integrity, which may hold sums of several kinds (Subresource
// Integrity 1.0), and says what is wrong otherwise.
func sha512Of(integrity string) (sum, why string) {
	for part := range strings.FieldsSeq(integrity) {
		b64, ok := strings.CutPrefix(part, "sha512-")
		switch raw, err := base64.StdEncoding.Strict().DecodeString(b64); {
		case !ok:
		case err != nil || len(raw) != sha512.Size || strings.ContainsAny(part, "\r\n"):
			return "", "is no sha512"
		case sum != "" && sum != part:
			return "", "has two different sha512"
		default:
			sum = part
		}
	}
	if sum == "" {
		return "", "has no sha512"
	}
	return sum, ""
}
