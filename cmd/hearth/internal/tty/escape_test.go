package tty

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Each line of the golden set is a name, a payload and what the terminal gets, all Go-quoted.
func TestEscapeGolden(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/payloads.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.SplitN(line, " | ", 3)
		if len(parts) != 3 {
			t.Fatalf("bad line %q", line)
		}
		in, err1 := strconv.Unquote(parts[1])
		want, err2 := strconv.Unquote(parts[2])
		if err1 != nil || err2 != nil {
			t.Fatalf("%s: %v, %v", parts[0], err1, err2)
		}
		if got := Escape(in); got != want {
			t.Errorf("%s: Escape(%s) = %q, want %q", parts[0], parts[1], got, want)
		}
		n++
	}
	if n < 30 {
		t.Errorf("only %d payloads", n)
	}
}

func TestEscapeLinesKeepsLines(t *testing.T) {
	t.Parallel()
	if got, want := EscapeLines("Error: x\n\tat f (a.js:1)\r\x1b[2J"), "Error: x\n\tat f (a.js:1)\\r\\x1b[2J"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[31m", "a\u202eb", "\x9b2J", "e\u0301", "👩\u200d👩\u200d👧", "\xff\xfe", "\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Escape(s)
		if !utf8.ValidString(got) {
			t.Errorf("Escape(%q) is not UTF-8", s)
		}
		for _, r := range got {
			if r == '\t' || unicode.IsPrint(r) || r == '\u200c' || r == '\u200d' {
				continue
			}
			t.Errorf("Escape(%q) = %q has %U", s, got, r)
		}
		if Escape(got) != got {
			t.Errorf("Escape(%q) = %q, and again %q", s, got, Escape(got))
		}
	})
}
