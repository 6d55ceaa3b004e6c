package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hearth/client"
	"hearth/cmd/hearth/internal/tty"
)

func getCommand(io *streams) *cobra.Command {
	c := &cobra.Command{Use: "get TENANT[/CONTAINER[/FUNCTION]]", Short: "Show a tenant, a container or a function", Args: exactly(1, aFunction)}
	s := io.connect(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := parsePlace(args[0], aTenant, aContainer, aFunction)
		if err != nil {
			return err
		}
		api, err := s.client()
		if err != nil {
			return err
		}
		return s.missing(cmd.Context(), api, p, s.show(cmd.Context(), api, p))
	}
	return c
}

func (s *session) show(ctx context.Context, api *client.Client, p place) error {
	switch {
	case p.container == "":
		t, err := api.GetTenant(ctx, p.tenant)
		if err != nil {
			return err
		}
		return s.showTenant(t)
	case p.function == "":
		c, err := api.GetContainer(ctx, p.tenant, p.container)
		if err != nil {
			return err
		}
		return s.showContainer(c)
	}
	f, err := api.GetFunction(ctx, p.tenant, p.container, p.function)
	if err != nil {
		return err
	}
	return s.showFunction(f)
}

func (s *session) showTenant(t client.Tenant) error {
	if s.asJSON {
		return printJSON(s.streams, t)
	}
	rows := [][]string{{"tenant", t.Name}, {"memory of an instance, most", mib(t.Limits.MemoryMiB)},
		{"processors of an instance, most", number(t.Limits.CPUs)}, {"instances, most", strconv.Itoa(t.Limits.MaxInstances)}}
	return pairs(s.out, append(append(rows, registryRows(t)...), []string{"updated", when(t.UpdatedAt)})...)
}

func (s *session) showContainer(c client.Container) error {
	if s.asJSON {
		return printJSON(s.streams, c)
	}
	return pairs(s.out, []string{"container", c.Tenant + "/" + c.Name}, []string{"memory of an instance", mib(c.Limits.MemoryMiB)},
		[]string{"processors of an instance", number(c.Limits.CPUs)}, []string{"pids of an instance", strconv.Itoa(c.Limits.Pids)},
		[]string{"/tmp of an instance", mib(c.Limits.TmpMiB)}, []string{"requests in an instance at once", strconv.Itoa(c.Limits.Concurrency)},
		[]string{"instances, most", strconv.Itoa(c.Limits.MaxInstances)}, []string{"isolation", c.Isolation}, []string{"egress", c.Egress},
		[]string{"updated", when(c.UpdatedAt)})
}

func (s *session) showFunction(f client.Function) error {
	if s.asJSON {
		return printJSON(s.streams, f)
	}
	rows := [][]string{{"function", f.Tenant + "/" + f.Container + "/" + f.Name}, {"url", f.URL}, {"status", f.Status},
		{"version", strconv.Itoa(f.Version)}, {"active", active(f.Active)}, {"runtime", f.Runtime}, {"entry", f.Entry}, {"model", f.Model},
		{"timeout", strconv.Itoa(f.TimeoutMS) + " ms"}, {"secrets", strings.Join(f.Secrets, ", ")}, {"config", string(f.Config)}, {"updated", when(f.UpdatedAt)}}
	if len(f.Packages) > 0 {
		rows = append(rows, []string{"packages", packagesText(f.Packages)})
	}
	if f.Progress != nil {
		rows = append(rows, []string{"progress", progressText(*f.Progress)})
	}
	more := ""
	if f.Error != nil {
		first, rest, _ := strings.Cut(f.Error.Message, "\n")
		rows = append(rows, []string{"error", first})
		more = rest
	}
	if err := pairs(s.out, rows...); err != nil || more == "" {
		return err
	}
	// The rest of what npm or a compiler said, in its own lines.
	_, err := fmt.Fprintln(s.out, tty.EscapeLines("  "+strings.ReplaceAll(strings.TrimRight(more, "\n"), "\n", "\n  ")))
	return err
}

// packagesShown is how many packages a line names; --json and hearth sbom have all.
const packagesShown = 10

func packagesText(all []string) string {
	text := strings.Join(all[:min(len(all), packagesShown)], ", ")
	if more := len(all) - packagesShown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
