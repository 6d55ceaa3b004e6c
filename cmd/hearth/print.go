package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"hearth/cmd/hearth/internal/tty"
)

// printJSON prints one document, harmless for a terminal and with the same meaning.
func printJSON(s *streams, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(s.out, tty.JSON(b.Bytes()))
	return err
}

// items is the JSON of a list.
func items[T any](list []T) map[string][]T {
	if list == nil {
		list = []T{}
	}
	return map[string][]T{"items": list}
}

// table prints rows below a head; every cell is escaped.
func table(w io.Writer, head string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.ReplaceAll(head, " ", "\t")) //nolint:errcheck // Flush reports it
	for _, row := range rows {
		printRow(tw, row)
	}
	return tw.Flush()
}

// pairs prints names and values; every value is escaped.
func pairs(w io.Writer, rows ...[]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		printRow(tw, row)
	}
	return tw.Flush()
}

func printRow(w io.Writer, row []string) {
	cells := make([]string, len(row))
	for i, c := range row {
		// A tab would shift the columns.
		if cells[i] = strings.ReplaceAll(tty.Escape(c), "\t", `\t`); c == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(cells, "\t")) //nolint:errcheck // the caller's Flush reports it
}

func when(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// say talks to the person: progress and remarks, never results.
func (s *streams) say(format string, args ...any) {
	fmt.Fprintln(s.err, tty.Escape(fmt.Sprintf(format, args...))) //nolint:errcheck // nowhere left to say it
}
