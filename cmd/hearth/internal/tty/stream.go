package tty

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Writer escapes a stream of foreign text as EscapeLines does, and passes it on as it comes.
type Writer struct {
	to   io.Writer
	rest []byte // the beginning of a character whose end has not come yet
}

// NewWriter returns a Writer that prints to w.
func NewWriter(w io.Writer) *Writer { return &Writer{to: w} }

// Write escapes p; its error is that of the writer below.
func (w *Writer) Write(p []byte) (int, error) {
	text := append(w.rest, p...)
	end := len(text)
	for i := end - 1; i >= 0 && end-i < utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			if !utf8.FullRune(text[i:]) {
				end = i
			}
			break
		}
	}
	w.rest = append([]byte(nil), text[end:]...)
	if _, err := io.WriteString(w.to, EscapeLines(string(text[:end]))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close writes what is left of a broken last character.
func (w *Writer) Close() error {
	_, err := io.WriteString(w.to, EscapeLines(string(w.rest)))
	w.rest = nil
	return err
}

// JSON writes every character of a JSON document that a terminal could take for more than text as
// \u…, which means the same in JSON.
func JSON(data []byte) string {
	var b strings.Builder
	for _, r := range string(data) {
		switch {
		case r == '\n' || r < utf8.RuneSelf && r >= 0x20 && r != 0x7f || r >= utf8.RuneSelf && unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
