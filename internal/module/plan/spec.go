package plan

import (
	"regexp"
	"strings"
)

// Why Hearth takes no spec of these kinds: each ends a sentence that begins with the name.
const (
	whyFile      = "is a file or folder of your machine: publish it to a registry, or put its files into the function's files"
	whyWorkspace = "is a package of a workspace: publish it to a registry, or put its files into the function's files"
	whyGit       = "is a Git repository: only packages of a registry can be installed"
	whyURL       = "is the address of a file: only packages of a registry can be installed"
)

var (
	protocol = regexp.MustCompile(`^(?i:git[+])?[a-zA-Z][a-zA-Z0-9.-]*:`)
	scpLike  = regexp.MustCompile(`^[^@]+@[^:.]+\.[^:]+:.+$`)
	pathLike = regexp.MustCompile(`^(\.|~/|~$|[/\\]|[a-zA-Z]:)`)
	archive  = regexp.MustCompile(`(?i)\.(tgz|tar\.gz|tar)$`)
	tag      = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_-]*(\.[a-zA-Z0-9_-]+)*$`)

	partial    = `[v=\s]*(?:[xX*]|\d{1,16})(?:\.(?:[xX*]|\d{1,16})(?:\.(?:[xX*]|\d{1,16})(?:-?[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?)?)?`
	comparator = `(?:[<>]=?|=|~>?|\^)?\s*` + partial
	rangeOf    = regexp.MustCompile(`^\s*(?:` + partial + `\s+-\s+` + partial + `|` + comparator + `(?:\s+` + comparator + `)*)?\s*$`)
)

// elsewhere says why a spec leads to something other than a registry, or "". It follows
// npm-package-arg (lib/npa.js), which decides the same for npm.
func elsewhere(spec string) string {
	if !strings.ContainsAny(spec, `:/\.@~`) || strings.Trim(spec, "0123456789.^~<>=|*xX -") == "" && !strings.HasPrefix(strings.TrimSpace(spec), ".") {
		return "" // most are plain ranges, and a lock has thousands
	}
	spec = strings.TrimSpace(spec)
	switch scheme, _, _ := strings.Cut(strings.ToLower(protocol.FindString(spec)), ":"); {
	case scheme == "npm":
		return ""
	case scheme == "file" || scheme == "link" || scheme == "portal" || pathLike.MatchString(spec):
		return whyFile
	case scheme == "workspace":
		return whyWorkspace
	case scheme == "http" || scheme == "https":
		return whyURL
	case scheme == "git" || strings.HasPrefix(scheme, "git+") || scheme == "ssh" || scpLike.MatchString(spec),
		scheme == "github" || scheme == "gitlab" || scheme == "bitbucket" || scheme == "gist":
		return whyGit
	case scheme != "":
		return "has the protocol " + clip(scheme) + ":, which npm does not know"
	case archive.MatchString(spec):
		return whyFile
	case strings.ContainsAny(spec, `/\`): // owner/repository, for npm one of GitHub
		return whyGit
	}
	return ""
}

// badSpec says why a user can't ask for this of a package, or "".
func badSpec(spec string) string {
	if len(spec) > maxVersion {
		return "is longer than 256 bytes"
	}
	for i := range len(spec) {
		if spec[i] < 0x20 || spec[i] >= 0x7f {
			return "has characters that no version has"
		}
	}
	if why := elsewhere(spec); why != "" {
		return why
	}
	spec = strings.TrimSpace(spec)
	if len(spec) >= 4 && strings.EqualFold(spec[:4], "npm:") {
		name, rest := cutName(spec[4:])
		if why := badName(name); why != "" {
			return "is an alias of a name that " + why
		}
		if len(rest) >= 4 && strings.EqualFold(rest[:4], "npm:") {
			return "is an alias of an alias"
		}
		if why := badSpec(rest); why != "" {
			return "is an alias of " + name + " and " + why
		}
		return ""
	}
	if isRange(spec) || tag.MatchString(spec) {
		return ""
	}
	return `is no version, range or tag of npm, such as "1.2.3", "^1.2.3" or "latest"`
}

// cutName cuts name@rest; a name may begin with an @.
func cutName(s string) (name, rest string) {
	if at := strings.IndexByte(s[min(1, len(s)):], '@'); at >= 0 {
		return s[:at+1], s[at+2:]
	}
	return s, ""
}

func isRange(s string) bool {
	for part := range strings.SplitSeq(s, "||") {
		if !rangeOf.MatchString(part) {
			return false
		}
	}
	return true
}
