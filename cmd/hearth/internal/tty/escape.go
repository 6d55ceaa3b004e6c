package tty

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape returns s with everything that a terminal could take for more than text written out, as in
// \x1b or \u202e. A line feed becomes \n and a carriage return \r, so one entry stays one line and no line
// can be forged; a tab stays. Printable text of every script stays, and so does what is needed
// to join letters and emoji (ZWJ, ZWNJ, variation selectors) between printable characters.
func Escape(s string) string { return escape(s, false) }

// EscapeLines is Escape for text that may have lines of its own, such as a stack.
func EscapeLines(s string) string { return escape(s, true) }

func escape(s string, lines bool) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + len(s)/4)
	marks := 0 // combining marks since the last base character
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			// Not UTF-8: a terminal in another character set could read 0x9b as CSI.
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n' && lines, r == '\t':
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < 0x20 || r >= 0x7f && r < 0xa0:
			fmt.Fprintf(&b, `\x%02x`, r)
		case unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r):
			// Stacks of marks paint over the lines above and below.
			if marks++; marks > maxMarks {
				writeRune(&b, r)
			} else {
				b.WriteRune(r)
			}
			i += n
			continue
		case r == '\u200c' || r == '\u200d':
			if marks++; marks > maxMarks {
				writeRune(&b, r)
			} else {
				b.WriteRune(r)
			}
			i += n
			continue
		case !unicode.IsPrint(r):
			// Bidirectional controls, line and paragraph separators, zero-width and tag
			// characters, unassigned and private use.
			writeRune(&b, r)
		default:
			b.WriteRune(r)
		}
		marks = 0
		i += n
	}
	return b.String()
}

// maxMarks is how many marks one letter may carry: Vietnamese and Thai need two, Hebrew with
// cantillation and an emoji with its selector and joiner four.
const maxMarks = 4

func writeRune(b *strings.Builder, r rune) {
	if r > 0xffff {
		fmt.Fprintf(b, `\U%08x`, r)
		return
	}
	fmt.Fprintf(b, `\u%04x`, r)
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
