package api

import (
	"path"
	"slices"
	"strings"

	"hearth"
)

// What a version may begin with, in the order in which they are looked for.
var (
	extensions = []string{".js", ".mjs", ".cjs", ".ts", ".mts"}
	indexes    = []string{"index.js", "index.mjs", "index.cjs", "index.ts", "index.mts"}
	conditions = []string{"node", "import", "require", "module-sync", "default"}
)

// manifestFile is what a version's own package.json says; its other fields are for people and tools.
type manifestFile struct {
	main    string
	exports *value
	doc     *value // all of it; nil if there is none
}

// packageJSON reads the package.json among the files, if there is one.
func (f *fields) packageJSON(files []hearth.File, at string) manifestFile {
	i := slices.IndexFunc(files, func(file hearth.File) bool { return file.Path == "package.json" })
	if i < 0 {
		return manifestFile{}
	}
	at = join(at, "package.json")
	doc, err := parseJSON(files[i].Data)
	if err != nil {
		f.bad(at, "cannot be read: %s", err.Message)
		return manifestFile{}
	}
	if doc.kind != kindObject {
		f.wrong(doc, at, kindObject)
		return manifestFile{}
	}
	m := manifestFile{exports: doc.member("exports"), doc: doc}
	if main := doc.member("main"); main != nil && main.kind == kindText {
		m.main = main.text
	}
	return m
}

// resolveEntry finds the file that a version begins with, as Node.js would: the one that the manifest
// names, else exports or main of package.json, else an index file.
func (f *fields) resolveEntry(named string, pkg manifestFile, files []hearth.File) string {
	has := make(map[string]bool, len(files))
	for _, file := range files {
		has[file.Path] = true
	}
	if named != "" {
		if !has[named] {
			f.bad("entry", "%.200q is not among the files", named)
		}
		return f.checkEntry(named)
	}
	if target := exported(pkg.exports, 0); target != "" {
		file, ok := strings.CutPrefix(target, "./")
		if !ok || !has[file] {
			f.bad("entry", "is %.200q by the exports of package.json, and that is not among the files", target)
			return ""
		}
		return f.checkEntry(file)
	}
	if file := lookup(pkg.main, has); file != "" {
		return f.checkEntry(file)
	}
	for _, file := range indexes {
		if has[file] {
			return file
		}
	}
	if pkg.main != "" {
		f.bad("entry", "is %.200q by the main of package.json, and that is not among the files", pkg.main)
	} else {
		f.bad("entry", "is missing: name the file to begin with, or call it index.js")
	}
	return ""
}

func (f *fields) checkEntry(file string) string {
	if !slices.Contains(extensions, path.Ext(file)) {
		f.bad("entry", "%.200q must end in %s", file, strings.Join(extensions, ", "))
	}
	return file
}

// exported finds the target of the package itself (".") in an exports field: the first that a list or
// the conditions of Node.js offer.
func exported(v *value, depth int) string {
	if v == nil || depth > 8 {
		return ""
	}
	switch v.kind {
	case kindText:
		return v.text
	case kindArray:
		for _, item := range v.items {
			if target := exported(item, depth+1); target != "" {
				return target
			}
		}
	case kindObject:
		if self := v.member("."); self != nil && depth == 0 {
			return exported(self, 1)
		}
		for _, key := range v.keys {
			if slices.Contains(conditions, key) {
				if target := exported(v.members[key], depth+1); target != "" {
					return target
				}
			}
		}
	}
	return ""
}

// lookup finds what main means: a file, one with an extension, or the index of a folder.
func lookup(main string, has map[string]bool) string {
	if main == "" || strings.HasPrefix(main, "/") {
		return ""
	}
	main = path.Clean(main)
	tries := []string{main, main + ".js", path.Join(main, "index.js")}
	if i := slices.IndexFunc(tries, func(file string) bool { return has[file] }); i >= 0 {
		return tries[i]
	}
	return ""
}
