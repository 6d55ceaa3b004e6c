package plan

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxDepth   = 64     // of JSON; npm's own locks have 6, the legacy part of version 2 some more
	maxMembers = 10_000 // of one object or list, so that looking for doubles stays bounded
)

// scanner reads JSON piece by piece and makes no tree of it: a document of 16 MiB can have eight
// million values. It is stricter than encoding/json, since two readers of one document (npm is the
// other) must see the same: no key twice, exact case, no broken UTF-8 or surrogates. The first error
// stays; whoever reads checks it at the end.
type scanner struct {
	s     string
	i     int
	depth int
	err   error
}

// badJSON says where a document is no JSON, or not what a scanner takes.
type badJSON struct {
	line int
	why  string
}

func (e *badJSON) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.why) }

func newScanner(data []byte) *scanner {
	p := &scanner{s: string(data)}
	if !utf8.ValidString(p.s) {
		p.fail("is not UTF-8")
	}
	return p
}

func (p *scanner) fail(format string, args ...any) {
	if p.err == nil {
		p.err = &badJSON{1 + strings.Count(p.s[:min(p.i, len(p.s))], "\n"), fmt.Sprintf(format, args...)}
	}
	p.i = len(p.s)
}

// peek skips white space and returns the next byte, 0 at the end.
func (p *scanner) peek() byte {
	for p.i < len(p.s) {
		switch c := p.s[p.i]; c {
		case ' ', '\t', '\r', '\n':
			p.i++
		default:
			return c
		}
	}
	return 0
}

func (p *scanner) take(c byte, what string) bool {
	if p.peek() != c {
		p.fail("%s expected", what)
		return false
	}
	p.i++
	return true
}

// end wants nothing more to follow.
func (p *scanner) end() error {
	if p.err == nil && p.peek() != 0 || p.i < len(p.s) {
		p.fail("something follows the end of the document")
	}
	return p.err
}

// members reads an object. f is called with each key and has to read the value.
func (p *scanner) members(f func(key string)) {
	if !p.open('{', "an object") {
		return
	}
	var few [16]string // most objects are small, and a map costs more than all else here
	seen := few[:0]
	var many map[string]bool
	for p.more('}', len(seen)+len(many)) {
		key := p.text()
		if p.err != nil {
			return
		}
		double := many[key]
		for _, k := range seen {
			double = double || k == key
		}
		if double {
			p.fail("the key %q is there twice", clip(key))
			return
		}
		if len(seen) < len(few) {
			seen = append(seen, key)
		} else {
			if many == nil {
				many = make(map[string]bool)
			}
			many[key] = true
		}
		if !p.take(':', `":"`) {
			return
		}
		f(key)
	}
}

// items reads a list. f has to read each item.
func (p *scanner) items(f func()) {
	if !p.open('[', "a list") {
		return
	}
	for n := 0; p.more(']', n); n++ {
		f()
	}
}

func (p *scanner) open(c byte, what string) bool {
	if p.depth++; p.depth > maxDepth {
		p.fail("is deeper than %d", maxDepth)
		return false
	}
	return p.take(c, what)
}

// more steps over the comma before the next of n members, or over the end.
func (p *scanner) more(end byte, n int) bool {
	if p.err != nil {
		return false
	}
	if p.peek() == end {
		p.i++
		p.depth--
		return false
	}
	if n >= maxMembers {
		p.fail("an object or list has more than %d members", maxMembers)
		return false
	}
	return n == 0 || p.take(',', `"," or the end of an object or list`) && p.peek() != end || p.bad(end)
}

func (p *scanner) bad(end byte) bool {
	p.fail("a comma before %q", string(end))
	return false
}

// text reads a string. Without escapes it is a part of the document, not a copy.
func (p *scanner) text() string {
	if !p.take('"', "a text") {
		return ""
	}
	start := p.i
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			return p.s[start : p.i-1]
		case c == '\\':
			return p.escaped(start)
		case c < 0x20:
			p.fail("a control character in a text")
			return ""
		}
		p.i++
	}
	p.fail("a text without an end")
	return ""
}

func (p *scanner) escaped(start int) string {
	b := []byte(p.s[start:p.i])
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		switch {
		case c == '"':
			return string(b)
		case c < 0x20:
			p.fail("a control character in a text")
			return ""
		case c != '\\':
			b = append(b, c)
			continue
		}
		if p.i == len(p.s) {
			break
		}
		c = p.s[p.i]
		p.i++
		if k := strings.IndexByte(`"\/bfnrt`, c); k >= 0 {
			b = append(b, "\"\\/\b\f\n\r\t"[k])
		} else if c == 'u' {
			b = utf8.AppendRune(b, p.unicode())
		} else {
			p.fail("an escape that JSON does not have")
		}
		if p.err != nil {
			return ""
		}
	}
	p.fail("a text without an end")
	return ""
}

func (p *scanner) unicode() rune {
	r := p.hex()
	if !utf16.IsSurrogate(r) {
		return r
	}
	if strings.HasPrefix(p.s[min(p.i, len(p.s)):], `\u`) {
		p.i += 2
		r = utf16.DecodeRune(r, p.hex())
	}
	if utf16.IsSurrogate(r) || r == utf8.RuneError {
		p.fail("half a surrogate pair")
	}
	return r
}

func (p *scanner) hex() rune {
	if p.i+4 > len(p.s) {
		p.fail("a text without an end")
		return 0
	}
	n := rune(0)
	for _, c := range []byte(p.s[p.i : p.i+4]) {
		k := strings.IndexByte("0123456789abcdef", c|0x20)
		if c < '0' || k < 0 || c < 'A' && k > 9 {
			p.fail("an escape that JSON does not have")
			return 0
		}
		n = n<<4 | rune(k)
	}
	p.i += 4
	return n
}

func (p *scanner) boolean() bool {
	switch p.word() {
	case "true":
		return true
	case "false":
		return false
	}
	p.fail("true or false expected")
	return false
}

// whole reads a number that is written as digits only.
func (p *scanner) whole() int {
	n, err := strconv.Atoi(p.number())
	if err != nil || n < 0 {
		p.fail("a whole number expected")
	}
	return n
}

func (p *scanner) word() string {
	p.peek()
	start := p.i
	for p.i < len(p.s) && p.s[p.i] >= 'a' && p.s[p.i] <= 'z' {
		p.i++
	}
	return p.s[start:p.i]
}

func (p *scanner) number() string {
	p.peek()
	start := p.i
	digits := func() bool {
		at := p.i
		for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
			p.i++
		}
		return p.i > at
	}
	is := func(set string) bool {
		if p.i < len(p.s) && strings.IndexByte(set, p.s[p.i]) >= 0 {
			p.i++
			return true
		}
		return false
	}
	is("-")
	ok := is("0") || digits()
	ok = ok && (!is(".") || digits())
	if ok && is("eE") {
		is("+-")
		ok = digits()
	}
	if !ok {
		p.fail("a value expected")
	}
	return p.s[min(start, len(p.s)):p.i]
}

// skip reads a value of any kind, as strictly as one that is used.
func (p *scanner) skip() {
	switch c := p.peek(); c {
	case '{':
		p.members(func(string) { p.skip() })
	case '[':
		p.items(p.skip)
	case '"':
		p.text()
	case 't', 'f', 'n':
		if w := p.word(); w != "true" && w != "false" && w != "null" {
			p.fail("a value expected")
		}
	default:
		p.number()
	}
}

// clip bounds a stranger's text in a message.
func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
