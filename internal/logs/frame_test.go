package logs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"hearth"
)

// parsed feeds data in pieces of n bytes and prints what comes out.
func parsed(data string, n int) (got []string) {
	emit := func(ln line) {
		if ln.framed {
			got = append(got, fmt.Sprintf("[%s/%d %s %s] %s", ln.function, ln.version, ln.request, ln.level, ln.text))
		} else {
			got = append(got, string(ln.text))
		}
	}
	var p parser
	for b := []byte(data); len(b) > 0; b = b[min(n, len(b)):] {
		p.feed(b[:min(n, len(b))], emit)
	}
	p.flush(emit)
	return got
}

func TestParserCutsLinesAndFrames(t *testing.T) {
	t.Parallel()
	ok := frame("f", 3, "r-1", "info", "hello")
	for name, c := range map[string]struct {
		data string
		want []string
	}{
		"plain":                 {"a\nb\n", []string{"a", "b"}},
		"empty line":            {"\na\n", []string{"", "a"}},
		"no newline at the end": {"a\nb", []string{"a", "b"}},
		"carriage return stays": {"a\r\n", []string{"a\r"}},
		"frame":                 {ok, []string{"[f/3 r-1 info] hello"}},
		"no request":            {frame("f", 3, "", "error", "x"), []string{"[f/3  error] x"}},
		"no function":           {"\x1e\x1f\x1f\x1ferror\x1f3\na\nb\n", []string{"[/0  error] a\nb"}},
		"version of nothing":    {"\x1e\x1f3\x1f\x1flog\x1f1\nx\n", []string{"\x1e\x1f3\x1f\x1flog\x1f1", "x"}},
		"two frames":            {ok + ok, []string{"[f/3 r-1 info] hello", "[f/3 r-1 info] hello"}},
		"empty frame":           {frame("f", 3, "r", "log", ""), []string{"[f/3 r log] "}},
		"newlines inside":       {frame("f", 3, "r", "log", "a\nb\n"), []string{"[f/3 r log] a\nb"}},
		"frame inside a frame":  {frame("f", 3, "r", "log", ok), []string{"[f/3 r log] " + strings.TrimSuffix(ok, "\n")}},
		"frame after text":      {"abc" + ok, []string{"abc", "[f/3 r-1 info] hello"}},
		"frame after line":      {"abc\n" + ok + "def\n", []string{"abc", "[f/3 r-1 info] hello", "def"}},
		"wrong length":          {"\x1ef\x1f3\x1fr\x1flog\x1f2\nhello\n" + ok, []string{"\x1ef\x1f3\x1fr\x1flog\x1f2", "hello", "[f/3 r-1 info] hello"}},
		"length too large":      {"\x1ef\x1f3\x1fr\x1flog\x1f65537\nhello\n", []string{"\x1ef\x1f3\x1fr\x1flog\x1f65537", "hello"}},
		"negative length":       {"\x1ef\x1f3\x1fr\x1flog\x1f-1\nhello\n", []string{"\x1ef\x1f3\x1fr\x1flog\x1f-1", "hello"}},
		"bad name":              {"\x1e../f\x1f3\x1fr\x1flog\x1f1\nx\n", []string{"\x1e../f\x1f3\x1fr\x1flog\x1f1", "x"}},
		"bad version":           {"\x1ef\x1f9999999999\x1fr\x1flog\x1f1\nx\n", []string{"\x1ef\x1f9999999999\x1fr\x1flog\x1f1", "x"}},
		"bad request":           {"\x1ef\x1f3\x1f<b>\x1flog\x1f1\nx\n", []string{"\x1ef\x1f3\x1f<b>\x1flog\x1f1", "x"}},
		"too few fields":        {"\x1ef\x1f3\x1f1\nx\n", []string{"\x1ef\x1f3\x1f1", "x"}},
		"too many fields":       {"\x1ef\x1f3\x1fr\x1flog\x1f1\x1f1\nx\n", []string{"\x1ef\x1f3\x1fr\x1flog\x1f1\x1f1", "x"}},
		"endless header":        {"\x1e" + strings.Repeat("a", 600) + "\nx\n", []string{"\x1e" + strings.Repeat("a", 600), "x"}},
		"only the mark":         {"\x1e", []string{"\x1e"}},
		"marks":                 {"\x1e\x1e\x1e\n" + ok, []string{"\x1e\x1e\x1e", "[f/3 r-1 info] hello"}},
		"mark before a frame":   {"\x1e" + ok, []string{"\x1e", "[f/3 r-1 info] hello"}},
		"cut short":             {"\x1ef\x1f3\x1fr\x1flog\x1f100\nhello", []string{"[f/3 r log] hello"}},
		"cut in the header":     {"\x1ef\x1f3\x1fr", []string{"\x1ef\x1f3\x1fr"}},
		"largest frame":         {frame("f", 3, "r", "log", strings.Repeat("x", 65536)), []string{"[f/3 r log] " + strings.Repeat("x", 65536)}},
		"endless line":          {strings.Repeat("x", 150_000), []string{strings.Repeat("x", 65536), strings.Repeat("x", 65536), strings.Repeat("x", 150_000-2*65536)}},
		"longest line":          {strings.Repeat("x", 65536) + "\ny\n", []string{strings.Repeat("x", 65536), "y"}},
		"cut between runes":     {strings.Repeat("x", 65535) + "é\n", []string{strings.Repeat("x", 65535), "é"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, n := range []int{1, 2, 7, 4096, 1 << 20} {
				if n < 7 && len(c.data) > 10_000 {
					continue
				}
				if got := parsed(c.data, n); !slices.Equal(got, c.want) {
					t.Errorf("in pieces of %d: got %.200q, want %.200q", n, got, c.want)
				}
			}
		})
	}
}

// What comes out must not depend on how the bytes were cut, nothing is lost, and every line is in its bounds.
func FuzzParser(f *testing.F) {
	f.Add([]byte("a\n"+frame("f", 1, "r", "log", "x\ny")+"b"), 3)
	f.Add([]byte("\x1ef\x1f1\x1fr\x1flog\x1f65536\nabc"), 1)
	f.Add([]byte("\x1e\x1e\x1f\x1f\x1f\x1f\x1f1\n\n\n"), 2)
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		n = 1 + max(n, -n, 0)%1000
		whole := parsed(string(data), len(data)+1)
		if cut := parsed(string(data), n); !slices.Equal(whole, cut) {
			t.Fatalf("in pieces of %d: got %q, want %q", n, cut, whole)
		}
		var p parser
		text := 0
		emit := func(ln line) {
			text += len(ln.text)
			if len(ln.text) > hearth.LimitLogLine.Int() || len(ln.request) > maxWord || len(ln.level) > maxWord {
				t.Fatalf("line of %d bytes", len(ln.text))
			}
			if ln.framed && len(ln.function) > 0 && !hearth.ValidName(string(ln.function)) {
				t.Fatalf("function %q", ln.function)
			}
		}
		p.feed(data, emit)
		if len(p.buf) > hearth.LimitLogLine.Int()+maxHeader {
			t.Fatalf("parser keeps %d bytes", len(p.buf))
		}
		p.flush(emit)
		if text > len(data) {
			t.Fatalf("%d bytes came out of %d", text, len(data))
		}
	})
}
