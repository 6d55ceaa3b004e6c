package main

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"hearth/cmd/hearth/internal/tty"
)

func sbomCommand(io *streams) *cobra.Command {
	var version int
	c := &cobra.Command{Use: "sbom TENANT/CONTAINER/FUNCTION", Short: "Print the software bill of materials of a version", Args: exactly(1, aFunction),
		Long: "Prints a CycloneDX document of all packages that a version has, with the hashes that were checked."}
	s := io.connect(c)
	c.Flags().IntVar(&version, "version", 0, "`NUMBER` of the version (default: the active one, or else the newest)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p, api, err := s.function(args[0])
		if err != nil {
			return err
		}
		if version < 0 {
			return usage("hearth versions "+p.String()+" lists them", "--version %d is not the number of a version", version)
		}
		doc, err := api.Bill(cmd.Context(), p.tenant, p.container, p.function, version)
		if err != nil {
			return s.missing(cmd.Context(), api, p, err)
		}
		return printDocument(s.out, doc)
	}
	return c
}

func printDocument(w io.Writer, doc json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Indent(&b, doc, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, tty.JSON(b.Bytes()))
	return err
}
