package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"hearth/client"
	"hearth/cmd/hearth/internal/tty"
)

func logsCommand(io *streams) *cobra.Command {
	var f logFlags
	c := &cobra.Command{Use: "logs TENANT/CONTAINER/FUNCTION", Short: "Print or follow what a function logged", Args: exactly(1, aFunction),
		Long: "Prints the log of a function, the oldest entry first. What functions print is escaped, so that an entry is one line and\n" +
			"harmless for a terminal; --json prints one JSON document a line."}
	s := io.connect(c)
	c.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with what comes")
	c.Flags().StringVar(&f.since, "since", "", "begin so long ago (`10m`), or after the cursor that --json shows")
	c.Flags().StringVar(&f.request, "request", "", "only the entries of this request `ID`")
	c.Flags().IntVar(&f.tail, "tail", 100, "the last `N` entries; 0 is all")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p, api, err := s.function(args[0])
		if err != nil {
			return err
		}
		if f.tail < 0 {
			return usage("0 is all", "--tail %d is less than 0", f.tail)
		}
		return s.missing(cmd.Context(), api, p, s.logs(cmd.Context(), api, p, f))
	}
	return c
}

type logFlags struct {
	follow         bool
	since, request string
	tail           int
}

func (s *session) logs(ctx context.Context, api *client.Client, p place, f logFlags) error {
	cursor, from := f.since, time.Time{}
	if d, err := time.ParseDuration(f.since); err == nil {
		cursor, from = "", time.Now().Add(-d)
	}
	wanted := func(e client.LogEntry) bool {
		return !e.Time.Before(from) && (f.request == "" || e.Request == f.request)
	}
	// The log is bounded, so it is read to its end and the last entries are kept.
	var last []client.LogEntry
	for {
		entries, next, err := api.ReadLogs(ctx, p.tenant, p.container, p.function, cursor, 0)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if wanted(e) {
				last = append(last, e)
			}
		}
		if f.tail > 0 && len(last) > f.tail {
			last = append([]client.LogEntry(nil), last[len(last)-f.tail:]...)
		}
		if f.tail == 0 { // nothing has to be held back
			if err := s.printEntries(last); err != nil {
				return err
			}
			last = nil
		}
		if next != "" {
			cursor = next
		}
		if len(entries) == 0 || next == "" {
			break
		}
	}
	if err := s.printEntries(last); err != nil || !f.follow {
		return err
	}
	for e, err := range api.FollowLogs(ctx, p.tenant, p.container, p.function, cursor) {
		if err != nil {
			return err
		}
		if wanted(e) {
			if err := s.printEntries([]client.LogEntry{e}); err != nil {
				return err
			}
		}
	}
	return nil // interrupted, which is how following ends
}

func (s *session) printEntries(list []client.LogEntry) error {
	for _, e := range list {
		line := entryLine(e)
		if s.asJSON {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(e); err != nil {
				return err
			}
			line = tty.JSON(b.Bytes())
		}
		if _, err := io.WriteString(s.out, line); err != nil {
			return err
		}
	}
	return nil
}

func entryLine(e client.LogEntry) string {
	request := e.Request
	if len(request) > 8 {
		request = request[:8]
	}
	kind := e.Stream
	if e.Level != "" && e.Stream != "call" && e.Stream != "dropped" {
		kind = e.Level
	}
	return fmt.Sprintf("%s %-7s %-8s %s\n", e.Time.Local().Format("2006-01-02 15:04:05.000"), tty.Escape(kind), tty.Escape(request), tty.Escape(e.Text))
}
