package hearth

import (
	"path"
	"strings"
	"unicode/utf8"
)

// ValidName reports whether s may name a tenant, a container or a function:
// ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$, which is also a DNS label.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// ValidSecretName reports whether s may name a secret: ^[A-Za-z_][A-Za-z0-9_]{0,127}$, what a
// shell takes as a variable, less the names with which JavaScript objects can be confused.
func ValidSecretName(s string) bool {
	if len(s) == 0 || len(s) > 128 || s == "__proto__" || s == "constructor" || s == "prototype" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// ValidScope reports whether s may be the scope of a tenant's packages: ^@[a-z0-9~-][a-z0-9._~-]{0,100}$.
func ValidScope(s string) bool {
	if len(s) < 2 || len(s) > 102 || s[0] != '@' {
		return false
	}
	for i := 1; i < len(s); i++ {
		c := s[i]
		plain := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '~' || c == '-'
		if !plain && (i == 1 || c != '.' && c != '_') {
			return false
		}
	}
	return true
}

// CheckFilePath says why p may not be the path of a function's file, or nil. Paths are relative,
// slash separated and canonical; no part is "." or "..", nothing is longer than the file system of
// an instance takes, and node_modules belongs to the platform.
func CheckFilePath(p string) *Error {
	bad := func(why string) *Error {
		if len(p) > 200 {
			p = p[:200]
		}
		return Errorf(CodeInvalid, "path %q %s", p, why)
	}
	switch {
	case p == "":
		return bad("is empty")
	case len(p) > 512:
		return bad("is longer than 512 bytes")
	case !utf8.ValidString(p):
		return bad("is not UTF-8")
	case strings.HasPrefix(p, "/"):
		return bad("is absolute")
	case strings.Contains(p, "\\"):
		return bad("has a backslash")
	case path.Clean(p) != p || p == "." || p == ".." || strings.HasPrefix(p, "../"):
		return bad("is not in its shortest form, or leaves the folder")
	}
	for _, r := range p {
		if r < 0x20 || r == 0x7f {
			return bad("has a control character")
		}
	}
	parts := strings.Split(p, "/")
	if len(parts) > 32 {
		return bad("is deeper than 32 folders")
	}
	for _, part := range parts {
		if len(part) > 255 {
			return bad("has a name longer than 255 bytes")
		}
	}
	if parts[0] == "node_modules" {
		return bad("is below node_modules, which Hearth makes from the dependencies: leave it out, and name the packages as dependencies")
	}
	return nil
}
