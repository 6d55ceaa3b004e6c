package main

import (
	"os"

	"github.com/spf13/cobra"

	"hearth/internal/bench"
	"hearth/internal/config"
)

func benchCommand(io *streams) *cobra.Command {
	o := bench.Defaults()
	var svg, dataDir string
	c := &cobra.Command{Use: "bench", Short: "Measure cold and warm calls on this machine, against bare Node.js", Args: exactly(0, ""),
		Long: `Measures a running Hearth on this machine against bare Node.js and nginx in the same run: interleaved rounds, medians.
It deploys functions in tenants named bench…, starts Node.js and nginx on free loopback ports, and removes all of it.
Run it as root on a quiet machine, with default flags of hearth serve.`}
	s := io.connect(c)
	c.Flags().StringVar(&o.Node, "node", "", "Node.js `BINARY` of the bare side (default: that of the runtime image in --data-dir)")
	c.Flags().StringVar(&dataDir, "data-dir", "", "data `DIR` of the node (HEARTH_DATA_DIR; default "+config.DefaultDataDir+")")
	c.Flags().IntVar(&o.Cold, "cold", o.Cold, "cold `CALLS` in each of the two rows")
	c.Flags().DurationVar(&o.Round, "round", o.Round, "of the first cold row: a cold call, a warm one and a start of node")
	c.Flags().DurationVar(&o.Pace, "pace", o.Pace, "between two cold calls while the pool refills, on average")
	c.Flags().IntVar(&o.Rounds, "rounds", o.Rounds, "`ROUNDS` of the warm rows")
	c.Flags().DurationVar(&o.Duration, "duration", o.Duration, "of one side in one round")
	c.Flags().IntVar(&o.Connections, "connections", o.Connections, "`CONNECTIONS` of the throughput row")
	c.Flags().IntVar(&o.Starts, "starts", o.Starts, "`INSTANCES` of the refill row")
	c.Flags().IntVar(&o.Idle, "idle-instances", o.Idle, "`INSTANCES` that are present in the last row; 0 leaves it out")
	c.Flags().StringVar(&svg, "svg", "", "also write the histograms to `FILE` as SVG")
	c.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if dataDir == "" {
			if dataDir = s.env("HEARTH_DATA_DIR"); dataDir == "" {
				dataDir = config.DefaultDataDir
			}
		}
		if o.Node == "" {
			if o.Node, err = bench.FindNode(dataDir); err != nil {
				return usage("give --node BINARY, or --data-dir DIR of the node", "%v", err)
			}
		}
		api, err := s.client()
		if err != nil {
			return err
		}
		token, err := s.token()
		if err != nil {
			return err
		}
		o.URL, o.Progress = s.url, func(text string) { s.say("%s", text) }
		report, err := bench.Run(cmd.Context(), o, bench.Hearth{Client: api, URL: s.url, Token: token})
		if report != nil && len(report.Rows) > 0 {
			if werr := s.printReport(report, svg); err == nil {
				err = werr
			}
		}
		return err
	}
	return c
}

func (s *session) printReport(r *bench.Report, svg string) error {
	if svg != "" {
		f, err := os.Create(svg)
		if err != nil {
			return err
		}
		if err := r.SVG(f); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	if s.asJSON {
		return printJSON(s.streams, r)
	}
	return r.Write(s.out)
}
