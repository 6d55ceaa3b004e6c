package unpack

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean checks the path of an entry and returns it without strip leading parts, without "." and doubled
// slashes. It returns "" for the root itself and for what has no more than strip parts.
func clean(name string, strip, depth int) (string, error) {
	if err := checkText(name, name); err != nil {
		return "", err
	}
	if name == "" || name[0] == '/' {
		return "", refuseEntry(ReasonPath, name, "has no relative path")
	}
	parts := strings.Split(name, "/")
	// As npm does: the first part goes whatever it is, "." too.
	kept := make([]string, 0, len(parts))
	for i, part := range parts {
		switch {
		case part == "..":
			return "", refuseEntry(ReasonPath, name, "has a path with \"..\"")
		case len(part) > mostPart:
			return "", refuseEntry(ReasonPathTooLong, name, "has a name of more than %d bytes", mostPart)
		case i < strip || part == "" || part == ".":
		default:
			kept = append(kept, part)
		}
	}
	if len(kept) > depth {
		return "", refuseEntry(ReasonTooDeep, name, "lies more than %d folders deep", depth)
	}
	return strings.Join(kept, "/"), nil
}

// checkText refuses what has no place in a path or in a link's target.
func checkText(text, entry string) error {
	if len(text) > mostPath {
		return refuseEntry(ReasonPathTooLong, entry, "has a path of more than %d bytes", mostPath)
	}
	if !utf8.ValidString(text) {
		return refuseEntry(ReasonPath, entry, "has a path that is not UTF-8")
	}
	for _, r := range text {
		if r == '\\' || unicode.IsControl(r) {
			return refuseEntry(ReasonPath, entry, "has a path with %q in it", r)
		}
	}
	return nil
}

// checkTarget checks the text of a symlink: it may not lead out even if everything on its way is a
// plain folder.
func checkTarget(name, target string) error {
	if err := checkText(target, name); err != nil {
		return err
	}
	if target == "" || target[0] == '/' {
		return refuseEntry(ReasonLinkEscape, name, "is a symlink to %s, which is not a relative path", quote(target))
	}
	// Part by part, since "a/../../b" leads out and back in, which only looks harmless once it is cleaned.
	at := strings.Count(name, "/")
	for part := range strings.SplitSeq(target, "/") {
		switch {
		case len(part) > mostPart:
			return refuseEntry(ReasonPathTooLong, name, "is a symlink to a name of more than %d bytes", mostPart)
		case part == "..":
			at--
		case part != "" && part != ".":
			at++
		}
		if at < 0 {
			return refuseEntry(ReasonLinkEscape, name, "is a symlink to %s, which leads out of the package", quote(target))
		}
	}
	return nil
}

// dir is path.Dir with "" for the root.
func dir(name string) string {
	if d := path.Dir(name); d != "." {
		return d
	}
	return ""
}
