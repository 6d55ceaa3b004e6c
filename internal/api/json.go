package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"

	"hearth"
)

// kind is what a JSON value is.
type kind string

const (
	kindObject kind = "an object"
	kindArray  kind = "an array"
	kindText   kind = "a string"
	kindNumber kind = "a number"
	kindBool   kind = "true or false"
	kindNull   kind = "null"
)

// value is one node of a parsed JSON document. encoding/json alone would take the last of two equal
// keys, match names in any case and turn broken Unicode into U+FFFD, each of which lets two readers
// of one document see two things.
type value struct {
	kind    kind
	text    string // of a string, decoded; of a number or bool, as written
	raw     []byte // as written; shares the document's memory
	keys    []string
	members map[string]*value
	items   []*value
}

// member returns the member of an object, nil if v is none or has none of this name.
func (v *value) member(key string) *value {
	if v == nil {
		return nil
	}
	return v.members[key]
}

// parseJSON parses one whole document. Malformed bytes are CodeMalformed; a well-formed document
// with equal keys, or past the bounds of depth and count, is CodeInvalid. It allocates in
// proportion to data only after the bounds were checked.
func parseJSON(data []byte) (*value, *hearth.Error) {
	if err := scanJSON(data); err != nil {
		return nil, err
	}
	if !json.Valid(data) {
		return nil, syntaxError(data)
	}
	p := parser{data: data}
	v := p.value("")
	if p.err != nil {
		return nil, p.err
	}
	return v, nil
}

func malformed(format string, args ...any) *hearth.Error {
	e := hearth.Errorf(hearth.CodeMalformed, format, args...)
	e.Component = hearth.ComponentRequest
	e.Fields = []hearth.FieldError{{Field: "body", Message: e.Message}}
	return e
}

func syntaxError(data []byte) *hearth.Error {
	var at *json.SyntaxError
	if err := json.Unmarshal(data, new(struct{})); errors.As(err, &at) {
		return malformed("The body is not JSON: %v at byte %d.", at, at.Offset)
	}
	return malformed("The body is not JSON.")
}

// scanJSON checks, without allocating, what encoding/json is lenient about or what would cost memory:
// UTF-8, unpaired surrogates, depth and the number of values.
func scanJSON(data []byte) *hearth.Error {
	if len(data) == 0 {
		return malformed("The body is empty; this call takes a JSON document.")
	}
	if !utf8.Valid(data) {
		return malformed("The body is not UTF-8.")
	}
	depth, values := int64(0), int64(1)
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			end, ok := scanString(data, i)
			if !ok {
				return malformed("The body has half of a surrogate pair in a string at byte %d.", end)
			}
			i = end
		case '{', '[':
			depth++
			values++
		case '}', ']':
			depth--
		case ',':
			values++
		}
		if depth > hearth.LimitJSONDepth.Value {
			return exceeded("body", hearth.CodeInvalid, hearth.LimitJSONDepth)
		}
		if values > hearth.LimitJSONValues.Value {
			return exceeded("body", hearth.CodeInvalid, hearth.LimitJSONValues)
		}
	}
	return nil
}

// scanString returns the index of the quote that ends the string that begins at i, or the length of
// data if none does. It is false, with the place, at an escaped surrogate without its other half.
func scanString(data []byte, i int) (int, bool) {
	for i++; i < len(data); {
		quote := bytes.IndexByte(data[i:], '"') // strings are long and escapes are few
		if quote < 0 {
			break
		}
		for quote += i; ; {
			n := bytes.IndexByte(data[i:quote], '\\')
			if n < 0 {
				return quote, true
			}
			i += n
			length, ok := escape(data[i:])
			if !ok {
				return i, false
			}
			if i += length; i > quote { // the quote was escaped
				break
			}
		}
	}
	return len(data), true
}

// escape returns the length of the escape at the begin of data; false at half of a surrogate pair.
func escape(data []byte) (int, bool) {
	high, ok := escaped(data)
	if !ok || high < 0xd800 || high >= 0xe000 {
		return 2, true
	}
	low, ok := escaped(data[6:])
	return 12, ok && high < 0xdc00 && low >= 0xdc00 && low < 0xe000
}

// escaped reads \uXXXX at the begin of data.
func escaped(data []byte) (uint64, bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	u, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	return u, err == nil
}

// parser walks a document that json.Valid has found well formed, so it checks no syntax.
type parser struct {
	data []byte
	at   int
	err  *hearth.Error
}

func (p *parser) space() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

func (p *parser) value(path string) *value {
	p.space()
	begin := p.at
	v := &value{}
	switch p.data[p.at] {
	case '{':
		p.object(v, path)
	case '[':
		p.array(v, path)
	case '"':
		v.kind, v.text = kindText, p.string()
	case 't':
		v.kind, v.text, p.at = kindBool, "true", p.at+4
	case 'f':
		v.kind, v.text, p.at = kindBool, "false", p.at+5
	case 'n':
		v.kind, p.at = kindNull, p.at+4
	default:
		v.kind = kindNumber
		for p.at < len(p.data) && isNumberByte(p.data[p.at]) {
			p.at++
		}
		v.text = string(p.data[begin:p.at])
	}
	v.raw = p.data[begin:p.at]
	return v
}

func isNumberByte(c byte) bool {
	return c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

func (p *parser) object(v *value, path string) {
	v.kind, v.members = kindObject, map[string]*value{}
	for p.open(); p.data[p.at] != '}'; p.next() {
		key := p.string()
		p.space()
		p.at++ // the colon
		at := join(path, key)
		if v.members[key] != nil && p.err == nil {
			p.err = hearth.Invalid(at, "stands twice in the document")
		}
		v.keys = append(v.keys, key)
		v.members[key] = p.value(at)
	}
	p.at++
}

func (p *parser) array(v *value, path string) {
	v.kind = kindArray
	for p.open(); p.data[p.at] != ']'; p.next() {
		v.items = append(v.items, p.value(path+"["+strconv.Itoa(len(v.items))+"]"))
	}
	p.at++
}

// open steps over the bracket to the first element, next over a comma to the next one.
func (p *parser) open() {
	p.at++
	p.space()
}

func (p *parser) next() {
	p.space()
	if p.data[p.at] == ',' {
		p.at++
		p.space()
	}
}

func (p *parser) string() string {
	begin := p.at
	end, _ := scanString(p.data, begin)
	p.at = end + 1
	inner := p.data[begin+1 : end]
	if bytes.IndexByte(inner, '\\') >= 0 {
		var s string
		_ = json.Unmarshal(p.data[begin:p.at], &s) // valid: the whole document is
		return s
	}
	return string(inner)
}
