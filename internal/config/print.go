package config

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"hearth"
)

// Print writes every option with its effective value and where that came from: as a table, or as
// JSON with --json.
func (l *Loaded) Print(w io.Writer) error {
	if l.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(struct {
			Items []Value `json:"items"`
		}{l.Values})
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SETTING\tVALUE\tFROM") //nolint:errcheck // Flush reports it
	for _, v := range l.Values {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", v.Name, none(v.Value), v.Origin) //nolint:errcheck // Flush reports it
	}
	return tw.Flush()
}

func none(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Markdown returns docs/configuration.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Configuration of hearth serve

<!-- Made from internal/config/options.go; change it there and run: go test ./internal/config -run TestDocs -update -->

Every setting is a flag, an environment variable and a key of a YAML file, which ` + "`--config FILE` or `HEARTH_CONFIG`" + ` names.
A flag wins over a variable, a variable over the file, the file over the default. ` + "`hearth serve --print-config`" + ` shows each
effective value and where it came from.

An unknown flag or key is an error, an unknown ` + "`HEARTH_…`" + ` variable a warning. A wrong or empty value is an error and never the
default; all mistakes are reported at once. Zero never means unlimited. No setting is a secret: secrets live in files whose paths are settings.
Relative paths begin at the directory in which ` + "`hearth`" + ` was started.

| flag | variable | default | |
| --- | --- | --- | --- |
`)
	for _, o := range Options() {
		fmt.Fprintf(&b, "| [`--%s`](#%s) | `%s` | %s | %s |\n", o.Name, o.Name, o.Env(), code(o.Default), o.About)
	}
	b.WriteString("\nFlags without a variable of their own: `--config FILE`, `--print-config`, `--json` (with `--print-config`), `--help`.\n")
	for _, o := range Options() {
		fmt.Fprintf(&b, "\n## %s\n%s.", o.Name, strings.ToUpper(o.About[:1])+o.About[1:])
		if o.More != "" {
			b.WriteString(" " + o.More)
		}
		b.WriteString("\n")
	}
	b.WriteString("\n## A file with everything\nEach line is the default, or an example where there is none.\n\n```yaml\n" + Example() + "```\n")
	return b.String()
}

// Example returns a commented YAML file in which every setting stands as a comment.
func Example() string {
	var b strings.Builder
	for _, o := range Options() {
		value := o.Default
		if value == "" {
			value = o.Example
		}
		value = strings.ReplaceAll(value, "{data-dir}", DefaultDataDir)
		fmt.Fprintf(&b, "# %s\n# %s: %s\n", strings.ToUpper(o.About[:1])+o.About[1:], o.Name, value)
	}
	return b.String()
}

// LimitsMarkdown returns docs/limits.md.
func LimitsMarkdown() string {
	var b strings.Builder
	b.WriteString(`# Limits

<!-- Made from limits.go; change it there and run: go test ./internal/config -run TestDocs -update -->

Everything that Hearth takes is bounded. An error about a limit names it as this table does, with its value and who can raise it.

| limit | value | what is bounded | who can raise it |
| --- | --- | --- | --- |
`)
	for _, l := range hearth.Limits() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", l.Name, l.Text(), l.About, l.Raise)
	}
	return b.String()
}

func code(s string) string {
	if s == "" {
		return "none"
	}
	return "`" + s + "`"
}
