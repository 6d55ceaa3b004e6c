package lock

import (
	"regexp"
	"strings"
	"unicode"

	"hearth/internal/module/registry"
)

// longest bounds what of npm's words is kept. A conflict of peers takes about 1 KiB.
const longest = 4 << 10

var (
	escapes  = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])`)
	codeForm = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,40}$`)

	// Lines that speak of files in the sandbox, of ways that nobody has here, or of a manifest without a name.
	pointless = regexp.MustCompile(`(?i)^(?:a complete log of this run|for a full report see|.*_logs/.*|.*-(?:debug-\d+|eresolve-report)\.(?:log|txt)|` +
		`note that you can also install from a|tarball, folder, http url, or git (?:folder|url)|while resolving: undefined@undefined$|` +
		`fix the upstream dependency conflict, or retry|this command with --force|to accept an incorrect \(and potentially broken\))`)
	folders = regexp.MustCompile(`(?:/work|/root|/tmp|/home|/hearth|/usr/lib/node_modules)(?:/[\w.@~+-]*)*`)
)

// clean makes npm's words fit for the owner of the manifest: no colours, nothing of the sandbox, at
// most longest bytes.
func clean(words string) string {
	words = words[:min(len(words), mostWords)]
	words = strings.ToValidUTF8(escapes.ReplaceAllString(words, ""), "\uFFFD")
	words = strings.ReplaceAll(words, registry.SandboxOrigin, "")
	var lines []string
	for line := range strings.SplitSeq(words, "\n") {
		line = strings.Map(func(r rune) rune {
			if r == '\t' {
				return ' '
			}
			// Controls, and marks that turn the direction of text around.
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				return -1
			}
			return r
		}, line)
		line = strings.TrimRight(strings.TrimPrefix(strings.TrimPrefix(line, "npm error "), "npm ERR! "), " ")
		switch trimmed := strings.TrimSpace(line); {
		case pointless.MatchString(trimmed):
		case trimmed == "" && (len(lines) == 0 || lines[len(lines)-1] == ""):
		default:
			lines = append(lines, folders.ReplaceAllString(line, "…"))
		}
	}
	out := strings.TrimSpace(strings.Join(lines, "\n"))
	if out == "" {
		return "npm cannot settle these dependencies, and does not say why"
	}
	if len(out) > longest {
		out = strings.ToValidUTF8(out[:longest], "") + " …"
	}
	return out
}

// cleanCode keeps what looks like one of npm's codes.
func cleanCode(code string) string {
	if codeForm.MatchString(code) {
		return code
	}
	return "EUNKNOWN"
}
