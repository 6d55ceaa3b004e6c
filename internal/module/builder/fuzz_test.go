package builder

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"hearth"
)

func FuzzReadBuild(f *testing.F) {
	f.Add([]byte(`{"out":"a\u001b[2J"}` + "\n" + `{"done":true,"code":3}`))
	f.Add([]byte(`{"done":true,"code":3,"out":null}`))
	f.Fuzz(func(t *testing.T, stream []byte) {
		size := 0
		_, err := readBuild(t.Context(), bytes.NewReader(stream), func(line string) {
			size += len(line)
			if strings.ContainsRune(line, 0x1b) || !utf8.ValidString(line) {
				t.Fatalf("line %q", line)
			}
		})
		if size > hearth.LimitBuildOutput.Int() {
			t.Fatalf("%d bytes of output", size)
		}
		if err == nil && !bytes.Contains(stream, []byte("done")) && !bytes.Contains(stream, []byte(`\u`)) && !bytes.Contains(bytes.ToLower(stream), []byte("done")) {
			t.Fatalf("%q is a build that ended", stream)
		}
	})
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[31mb\x1b]0;title\x07\r\n\u202e\xff")
	f.Fuzz(func(t *testing.T, text string) {
		got := printable(text)
		if !utf8.ValidString(got) || len(got) > len(text) || printable(got) != got {
			t.Fatalf("%q became %q", text, got)
		}
		for _, r := range got {
			if r != '\n' && r != '\t' && unicode.IsControl(r) {
				t.Fatalf("%q became %q", text, got)
			}
		}
	})
}
