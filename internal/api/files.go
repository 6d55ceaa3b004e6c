package api

import (
	"encoding/base64"
	"path"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"hearth"
)

// files reads the files of a version: path → text, or {"base64": "…"}.
func (f *fields) files(v *value, at string) []hearth.File {
	if v.kind != kindObject {
		f.wrong(v, at, kindObject)
		return nil
	}
	if len(v.keys) == 0 {
		f.bad(at, "must have at least one file")
		return nil
	}
	if int64(len(v.keys)) > hearth.LimitCodeFiles.Value {
		f.over(at, hearth.LimitCodeFiles)
		return nil
	}
	files := make([]hearth.File, 0, len(v.keys))
	size := int64(0)
	for _, name := range v.keys {
		here := join(at, name)
		if err := hearth.CheckFilePath(name); err != nil {
			f.bad(here, "cannot be a file: %s", err.Message)
			continue
		}
		data := f.content(v.members[name], here)
		size += int64(len(data))
		files = append(files, hearth.File{Path: name, Data: data})
	}
	f.checkSize(at, size)
	f.checkTwins(files, at)
	return files
}

// checkSize notes code over its limit; such a request is too large, not merely wrong.
func (f *fields) checkSize(at string, size int64) {
	if size <= hearth.LimitCodeBytes.Value {
		return
	}
	if len(f.errs) == 0 {
		f.kind = hearth.CodeTooLarge
	}
	f.over(at, hearth.LimitCodeBytes)
}

func (f *fields) content(v *value, at string) []byte {
	switch v.kind {
	case kindText:
		return []byte(v.text)
	case kindObject:
		if !f.object(v, at, "base64") {
			return nil
		}
		text := v.member("base64")
		if text == nil {
			f.bad(at, `must be a string or {"base64": "…"}`)
			return nil
		}
		data, err := base64.StdEncoding.Strict().DecodeString(f.text(text, at+".base64", ""))
		if err != nil || strings.ContainsAny(text.text, "\r\n") {
			f.bad(at+".base64", "is not base64 (standard alphabet, padded, one line)")
		}
		return data
	}
	f.bad(at, `must be a string or {"base64": "…"}, not %s`, v.kind)
	return nil
}

// checkTwins notes files that some file systems would take for one (names that differ in case or in
// Unicode's form), and files that stand where others need a folder. Otherwise one version's code
// would mean two things on two machines.
func (f *fields) checkTwins(files []hearth.File, at string) {
	seen := make(map[string]string, len(files))
	for _, file := range files {
		key := fold(file.Path)
		if twin, ok := seen[key]; ok {
			f.bad(join(at, file.Path), "differs from %.200q in case or Unicode form only", twin)
			continue
		}
		seen[key] = file.Path
	}
	for _, file := range files {
		for dir := path.Dir(file.Path); dir != "."; dir = path.Dir(dir) {
			if twin, ok := seen[fold(dir)]; ok {
				f.bad(join(at, file.Path), "needs the folder %.200q, which is a file too", twin)
				break
			}
		}
	}
}

func fold(s string) string {
	if ascii(s) {
		return strings.ToLower(s)
	}
	return norm.NFC.String(cases.Fold().String(norm.NFC.String(s)))
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
