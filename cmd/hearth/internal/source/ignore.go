package source

import (
	"path"
	"regexp"
	"strings"
)

// ignoredFirst are the rules before those of .hearthignore, which may bring a file back with "!".
// Dot files hold credentials and tools' state (.env, .npmrc, .git); hearth.json may hold secrets.
var ignoredFirst = []string{"node_modules/", ".*", "!.well-known/", "/hearth.json"}

// maxIgnoreRules bounds .hearthignore.
const maxIgnoreRules = 1000

// rule is one line of .hearthignore, in the words of gitignore(5).
type rule struct {
	pattern *regexp.Regexp
	keep    bool // begins with !
	folder  bool // ends with /
	whole   bool // matched against the path, not the last name
}

type rules []rule

func newRules(lines []string) rules {
	var list rules
	for _, line := range lines {
		line = strings.TrimRight(line, " \t\r")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var r rule
		line, r.keep = strings.CutPrefix(line, "!")
		line, r.folder = strings.CutSuffix(line, "/")
		r.whole = strings.Contains(line, "/")
		r.pattern = compile(strings.TrimPrefix(line, "/"))
		if list = append(list, r); len(list) == maxIgnoreRules {
			break
		}
	}
	return list
}

// compile turns a glob into a regular expression, which matches in linear time: a pattern such as
// *a*a*a*a*b comes from foreign folders too.
func compile(glob string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`^`)
	for i := 0; i < len(glob); i++ {
		switch {
		case strings.HasPrefix(glob[i:], "**/"):
			b.WriteString(`(?:.*/)?`)
			i += 2
		case strings.HasPrefix(glob[i:], "**"):
			b.WriteString(`.*`)
			i++
		case glob[i] == '*':
			b.WriteString(`[^/]*`)
		case glob[i] == '?':
			b.WriteString(`[^/]`)
		default:
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		}
	}
	b.WriteString(`$`)
	re, err := regexp.Compile(b.String())
	if err != nil { // bytes that are no UTF-8: such a name cannot be deployed anyway
		return regexp.MustCompile(`^$`)
	}
	return re
}

// ignored says whether the last rule that matches leaves the path out.
func (l rules) ignored(p string, folder bool) bool {
	out := false
	for _, r := range l {
		if r.folder && !folder {
			continue
		}
		name := p
		if !r.whole {
			name = path.Base(p)
		}
		if r.pattern.MatchString(name) {
			out = !r.keep
		}
	}
	return out
}
