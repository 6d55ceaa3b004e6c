package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"hearth/cmd/hearth/internal/tty"
	"hearth/internal/config"
	"hearth/internal/doctor"
)

func doctorCommand(io *streams) *cobra.Command {
	c := &cobra.Command{Use: "doctor [flags of hearth serve]", Short: "Say what this machine lacks and how to mend it",
		Long: "Looks at this machine and prints a table: pass, warn or fail, what was found, and the exact way out.\n" +
			"It takes the flags, variables and file of hearth serve, and --json. It exits with 1 if a check fails.",
		DisableFlagParsing: true, ValidArgsFunction: completeSettings,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := config.Load(args, io.environ())
			if err != nil {
				return err
			}
			if l.Help {
				return cmd.Help()
			}
			results := doctor.Run(cmd.Context(), doctor.ThisHost(l.Config))
			if l.JSON {
				err = printJSON(io, map[string]any{"items": results})
			} else {
				err = printChecks(io, results)
			}
			if err == nil && doctor.Failed(results) > 0 {
				return silent(exitFailure)
			}
			return err
		}}
	settingFlags(c)
	return c
}

func printChecks(io *streams, results []doctor.Result) error {
	tw := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	for _, r := range results {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", r.Status, r.Check, tty.Escape(r.Found)) //nolint:errcheck // Flush reports it
		if r.Fix != "" {
			fmt.Fprintf(tw, "\t\t→ %s\n", tty.Escape(r.Fix)) //nolint:errcheck // Flush reports it
		}
	}
	return tw.Flush()
}
