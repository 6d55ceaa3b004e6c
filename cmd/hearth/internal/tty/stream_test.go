package tty

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestWriterAcrossChunks(t *testing.T) {
	t.Parallel()
	const text = "Grüße 世界 👩 \x1b[2J\u202e\x9b \xf0\x9f"
	for size := 1; size <= len(text); size++ {
		var b strings.Builder
		w := NewWriter(&b)
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			if _, err := w.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, want := b.String(), EscapeLines(text); got != want {
			t.Errorf("in pieces of %d: got %q, want %q", size, got, want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add("a\u202e\x1b[31m\u009b\U000e0041 \u2028世")
	f.Fuzz(func(t *testing.T, s string) {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		safe := JSON(data)
		var was, is string
		if json.Unmarshal(data, &was) != nil || json.Unmarshal([]byte(safe), &is) != nil || was != is {
			t.Errorf("JSON(%q) = %q means %q, want %q", data, safe, is, was)
		}
		if strings.ContainsAny(safe, "\x1b\u202e\u009b\u2028") {
			t.Errorf("JSON(%q) = %q", data, safe)
		}
	})
}
