package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hearth"
)

// maxFieldErrors bounds how many mistakes one answer lists.
const maxFieldErrors = 20

// fields reads the fields of a document and collects every mistake, so that one answer names all.
type fields struct {
	errs  []hearth.FieldError
	limit *hearth.Limit // the limit that the first mistake broke
	kind  hearth.Code   // of the first mistake, if it is not CodeInvalid
}

// bad notes that the field at path is wrong; the message continues the sentence that path begins.
func (f *fields) bad(path, format string, args ...any) {
	if len(f.errs) < maxFieldErrors {
		f.errs = append(f.errs, hearth.FieldError{Field: clip(path, 300), Message: fmt.Sprintf(format, args...)})
	}
}

// over notes that the field at path breaks a limit.
func (f *fields) over(path string, l hearth.Limit) {
	if len(f.errs) == 0 {
		f.limit = &l
	}
	f.bad(path, "is over a limit: %s", hearth.Exceeded(hearth.CodeInvalid, l).Message)
}

// err is all mistakes as one error, nil if there are none.
func (f *fields) err() error {
	if len(f.errs) == 0 {
		return nil
	}
	e := &hearth.Error{Code: hearth.CodeInvalid, Component: hearth.ComponentRequest, Fields: f.errs,
		Message: f.errs[0].Field + " " + f.errs[0].Message + "."}
	if n := len(f.errs) - 1; n > 0 {
		e.Message += fmt.Sprintf(" And %d more.", n)
	}
	if f.kind != "" {
		e.Code = f.kind
	}
	if f.limit != nil {
		e.Component, e.Reason = hearth.ComponentLimit, f.limit.Name
	}
	return e
}

// exceeded is the error of one field that breaks a limit.
func exceeded(path string, code hearth.Code, l hearth.Limit) *hearth.Error {
	e := hearth.Exceeded(code, l)
	e.Fields = []hearth.FieldError{{Field: path, Message: "is over a limit: " + e.Message}}
	e.Message += "."
	return e
}

// object checks that v is an object with none but the known fields.
func (f *fields) object(v *value, path string, known ...string) bool {
	if v.kind != kindObject {
		f.wrong(v, path, kindObject)
		return false
	}
	for _, key := range v.keys {
		if !slices.Contains(known, key) {
			f.bad(join(path, key), "is not a field here; known are %s", strings.Join(known, ", "))
		}
	}
	return true
}

func (f *fields) wrong(v *value, path string, want kind) {
	if path == "" {
		path = "body"
	}
	f.bad(path, "must be %s, not %s", want, v.kind)
}

// text reads a string; absent gives def.
func (f *fields) text(v *value, path, def string) string {
	switch {
	case v == nil:
		return def
	case v.kind != kindText:
		f.wrong(v, path, kindText)
		return def
	}
	return v.text
}

// choice reads one of some words; absent gives the first.
func (f *fields) choice(v *value, path string, words ...string) string {
	s := f.text(v, path, words[0])
	if !slices.Contains(words, s) {
		f.bad(path, "must be %s, not %q", or(words), clip(s, 60))
	}
	return s
}

// whole reads a whole number between least and most; absent gives 0. The limits' messages say who
// can raise them, so 0 and negative numbers never mean "no limit".
func (f *fields) whole(v *value, path string, least, most hearth.Limit) int {
	n, ok := f.number(v, path)
	if !ok {
		return 0
	}
	if n != float64(int64(n)) || strings.ContainsAny(v.text, ".eE") {
		f.bad(path, "must be a whole number, not %s", clip(v.text, 30))
		return 0
	}
	f.between(n, path, float64(least.Value), float64(most.Value), least, most)
	return int(n)
}

// number reads a number; absent is false.
func (f *fields) number(v *value, path string) (float64, bool) {
	if v == nil {
		return 0, false
	}
	if v.kind != kindNumber {
		f.wrong(v, path, kindNumber)
		return 0, false
	}
	n, err := strconv.ParseFloat(v.text, 64)
	if err != nil || n > 1e15 || n < -1e15 {
		f.bad(path, "is out of range")
		return 0, false
	}
	return n, true
}

func (f *fields) between(n float64, path string, low, high float64, least, most hearth.Limit) {
	switch {
	case n < low:
		f.bad(path, "must be at least %s; no value means unlimited (limit %s)", number(low), least.Name)
	case n > high:
		f.over(path, most)
	}
}

func number(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// or lists words as a person would.
func or(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	switch len(quoted) {
	case 0:
		return "none"
	case 1:
		return quoted[0]
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " or " + quoted[len(quoted)-1]
}

// join makes the name of a member as JavaScript would write it: limits.cpus, files["a/b.js"].
func join(path, key string) string {
	plain := key != ""
	for i := range len(key) {
		c := key[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		plain = plain && (letter || i > 0 && c >= '0' && c <= '9')
	}
	switch {
	case !plain:
		return path + "[" + strconv.Quote(clip(key, 200)) + "]"
	case path == "":
		return clip(key, 200)
	}
	return path + "." + clip(key, 200)
}

func clip(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}
