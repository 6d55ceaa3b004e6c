package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"hearth/cmd/hearth/internal/tty"
	"hearth/internal/config"
)

// streams are where a command reads and prints. Results go to out, talk goes to err.
type streams struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // out is one: hostile text is escaped
	talk     bool // err is a terminal: progress is shown on one line
	env      func(string) string
	environ  func() []string
}

func stdStreams() *streams {
	return &streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv, environ: os.Environ,
		terminal: isatty.IsTerminal(os.Stdout.Fd()), talk: isatty.IsTerminal(os.Stderr.Fd())}
}

// The exit codes; hearth help exit-codes documents them.
const (
	exitOK           = 0
	exitFailure      = 1
	exitUsage        = 2
	exitNotFound     = 3
	exitUnavailable  = 4
	exitUnauthorized = 5
	exitConflict     = 6
)

const exitCodes = `Exit codes of all commands:
  0  done
  1  it failed: the function, the version, a check, or something unexpected
  2  the command line, the settings or the document are wrong
  3  there is no such tenant, container, function, version or file
  4  not reachable, not ready, or too busy: try again later
  5  the token is missing, wrong or not allowed to do this
  6  the state forbids it: a conflict, or changed by somebody else
`

func run(ctx context.Context, args []string, io *streams) int {
	root := newRoot(io)
	root.SetArgs(joinWait(args))
	root.SetIn(io.in)
	root.SetOut(io.out)
	root.SetErr(io.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	return report(io.err, err)
}

// joinWait writes "--wait 10s" as "--wait=10s", so that a --wait without a time, which is common, can
// mean the default: pflag knows either a value that may be absent or one behind a space.
func joinWait(args []string) []string {
	out := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		if args[i] == "--wait" && i+1 < len(args) {
			if _, err := time.ParseDuration(args[i+1]); err == nil {
				out = append(out, "--wait="+args[i+1])
				i++
				continue
			}
		}
		out = append(out, args[i])
	}
	return out
}

func newRoot(io *streams) *cobra.Command {
	root := &cobra.Command{
		Use:               "hearth",
		Short:             "Serverless webhooks on your own machines",
		Long:              "Hearth runs small Node.js functions when a webhook fires; a cold call feels like a warm one.\n\nhearth serve is a node. The other commands talk to one, at --url or HEARTH_URL,\nwith the token in --token-file or HEARTH_TOKEN_FILE.\n\n" + exitCodes,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Args:              cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	root.SetFlagErrorFunc(flagError)
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddCommand(serveCommand(io), deployCommand(io), lsCommand(io), getCommand(io), rmCommand(io), runCommand(io), logsCommand(io),
		versionsCommand(io), rollbackCommand(io), secretCommand(io), tenantCommand(io), containerCommand(io), packagesCommand(io), sbomCommand(io),
		doctorCommand(io), benchCommand(io), versionCommand(io))
	return root
}

// group makes a command that only has subcommands.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return unknownCommand(cmd, args[0])
	}}
	c.AddCommand(subs...)
	return c
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	hint := cmd.CommandPath() + " --help lists all commands"
	if near := config.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %s %s?", cmd.CommandPath(), near)
	}
	return usage(hint, "there is no command %q", name)
}

// flagError puts pflag's words into ours.
func flagError(cmd *cobra.Command, err error) error {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "unknown flag: --"); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *flagT) { names = append(names, f.Name) })
		hint := cmd.CommandPath() + " --help lists all flags"
		if near := config.Nearest(name, names); near != "" {
			hint = "did you mean --" + near + "?"
		}
		return usage(hint, "there is no flag --%s", name)
	}
	return usage(cmd.CommandPath()+" --help shows how it is used", "%s", text)
}

// exactly refuses any other number of arguments, naming what is expected.
func exactly(n int, what string) cobra.PositionalArgs { return between(n, n, what) }

func between(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usage(fmt.Sprintf("as in %s %s", cmd.CommandPath(), what), "%s is missing", what)
		case len(args) > most:
			return usage(cmd.CommandPath()+" --help shows how it is used", "%q is one argument too many", args[most])
		}
		return nil
	}
}

// failure is an error with its exit code and its way out.
type failure struct {
	code int
	text string
	hint string
	err  error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.err }

func usage(hint, format string, args ...any) error {
	return &failure{code: exitUsage, text: fmt.Sprintf(format, args...), hint: hint}
}

// silent is an exit code for which everything has been said.
type silent int

func (s silent) Error() string { return fmt.Sprintf("exit %d", int(s)) }

// report prints one sentence and the way out, and returns the exit code.
func report(w io.Writer, err error) int {
	var quiet silent
	if errors.As(err, &quiet) {
		return int(quiet)
	}
	f := explain(err)
	fmt.Fprintf(w, "hearth: %s\n", tty.EscapeLines(f.text)) //nolint:errcheck // nowhere left to say it
	if f.hint != "" {
		fmt.Fprintf(w, "hint: %s\n", tty.Escape(f.hint)) //nolint:errcheck // nowhere left to say it
	}
	return f.code
}
