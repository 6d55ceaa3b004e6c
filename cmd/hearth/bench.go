package main

import (
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"hearth/internal/bench"
	"hearth/internal/config"
)

func benchCommand(out *streams) *cobra.Command {
	o := bench.Defaults()
	p := bench.PackageDefaults()
	var svg, timeline, dataDir string
	var packages bool
	c := &cobra.Command{Use: "bench", Short: "Measure cold and warm calls on this machine, against bare Node.js", Args: exactly(0, ""),
		Long: `Measures a running Hearth on this machine against bare Node.js and nginx in the same run: interleaved rounds, medians.
It deploys functions in tenants named bench…, starts Node.js and nginx on free loopback ports, and removes all of it.
Run it as root on a quiet machine, with default flags of hearth serve.

With --packages it starts a Hearth of its own in a temporary folder instead, and measures deploys and first calls of
functions with up to 1,000 packages beside npm and bare Node.js. Packages come from the registry that npm uses.`}
	s := out.connect(c)
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
	c.Flags().StringVar(&svg, "svg", "", "also write the histograms, or the plot of first calls, to `FILE` as SVG")
	c.Flags().BoolVar(&packages, "packages", false, "measure packages, with a Hearth of its own")
	c.Flags().StringVar(&timeline, "timeline", "", "with --packages: also write where the time of a cold call goes to `FILE` as SVG")
	c.Flags().StringVar(&p.Npm, "npm", "", "with --packages: npm `BINARY` (default: that in PATH)")
	c.Flags().IntVar(&p.Fresh, "fresh", p.Fresh, "with --packages: `ROUNDS` in which nothing is known on either side")
	c.Flags().IntVar(&p.Cold, "first-calls", p.Cold, "with --packages: first `CALLS` of each size")
	c.Flags().IntVar(&p.Known, "known", p.Known, "with --packages: `DEPLOYS` of packages that are known")
	c.Flags().IntVar(&p.Deploys, "functions", p.Deploys, "with --packages: `FUNCTIONS` of the rows of disk")
	c.Flags().DurationVar(&p.Budget, "budget", p.Budget, "with --packages: rows that have not begun by then are left out")
	c.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if dataDir == "" {
			if dataDir = s.env("HEARTH_DATA_DIR"); dataDir == "" {
				dataDir = config.DefaultDataDir
			}
		}
		if packages {
			p.Node, p.DataDir, p.Progress = o.Node, dataDir, func(text string) { s.say("%s", text) }
			if p.Program, err = os.Executable(); err != nil {
				return err
			}
			report, err := bench.RunPackages(cmd.Context(), p)
			if report != nil && len(report.Rows) > 0 {
				err = errors.Join(err, s.printPackages(report, svg, timeline))
			}
			return err
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

func (s *session) printPackages(r *bench.Report, svg, timeline string) error {
	if err := errors.Join(toFile(svg, r.PlotSVG), toFile(timeline, r.TimelineSVG)); err != nil {
		return err
	}
	return s.printTable(r)
}

func (s *session) printReport(r *bench.Report, svg string) error {
	if err := toFile(svg, r.SVG); err != nil {
		return err
	}
	return s.printTable(r)
}

func (s *session) printTable(r *bench.Report) error {
	if s.asJSON {
		return printJSON(s.streams, r)
	}
	return r.Write(s.out)
}

// toFile writes a file, if it has a name.
func toFile(name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
