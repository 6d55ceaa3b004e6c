package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Mistake is one thing that is wrong with the settings.
type Mistake struct {
	Key     string `json:"key,omitempty"`   // as its source spells it; "" when it is about the source
	Value   string `json:"value,omitempty"` // as written, bounded
	Origin  string `json:"origin"`          // where it was written
	Problem string `json:"problem"`         // what is wrong, to be read after key and value
	Hint    string `json:"hint"`            // the way out
}

// String prints a mistake in one line.
func (m Mistake) String() string {
	var b strings.Builder
	b.WriteString(m.Origin)
	switch m.Key {
	case "":
		b.WriteString(":")
	case m.Origin, strings.TrimPrefix(m.Origin, "--"):
	default:
		if m.Origin != envName(m.Key) {
			b.WriteString(": " + m.Key)
		}
	}
	if m.Value != "" {
		b.WriteString(" " + strconv.Quote(m.Value))
	}
	b.WriteString(" " + m.Problem)
	if m.Hint != "" {
		b.WriteString(" (hint: " + m.Hint + ")")
	}
	return b.String()
}

// Mistakes is all that is wrong, in the order of flags, variables, file, and then what does not fit
// together.
type Mistakes []Mistake

// Error lists all mistakes, one a line.
func (m Mistakes) Error() string {
	if len(m) == 1 {
		return m[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d settings are wrong:", len(m))
	for _, one := range m {
		b.WriteString("\n  " + one.String())
	}
	return b.String()
}

// clip bounds what an error repeats of a value.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
