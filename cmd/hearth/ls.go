package main

import (
	"context"
	"iter"
	"strconv"

	"github.com/spf13/cobra"

	"hearth/client"
)

func lsCommand(io *streams) *cobra.Command {
	var p place
	c := &cobra.Command{Use: "ls [TENANT[/CONTAINER]]", Short: "List tenants, a tenant's containers, or a container's functions",
		Args: between(0, 1, aContainer)}
	s := io.connect(c)
	c.Flags().StringVar(&p.tenant, "tenant", "", "list the containers of this `TENANT`")
	c.Flags().StringVar(&p.container, "container", "", "list the functions of this `CONTAINER` of --tenant")
	c.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if len(args) == 0 && p.tenant != "" {
			args = []string{p.String()}
		} else if p.container != "" && p.tenant == "" {
			return usage("give --tenant too, or hearth ls "+aContainer, "--container is given without --tenant")
		}
		p = place{}
		if len(args) == 1 {
			if p, err = parsePlace(args[0], aTenant, aContainer); err != nil {
				return err
			}
		}
		api, err := s.client()
		if err != nil {
			return err
		}
		return s.missing(cmd.Context(), api, p, s.list(cmd.Context(), api, p))
	}
	return c
}

func (s *session) list(ctx context.Context, api *client.Client, p place) error {
	switch {
	case p.tenant == "":
		return printList(s, client.Each(ctx, api.ListTenants), "NAME MEMORY CPUS INSTANCES UPDATED", func(t client.Tenant) []string {
			return []string{t.Name, mib(t.Limits.MemoryMiB), number(t.Limits.CPUs), strconv.Itoa(t.Limits.MaxInstances), when(t.UpdatedAt)}
		})
	case p.container == "":
		list := func(ctx context.Context, page client.Page) (client.List[client.Container], error) {
			return api.ListContainers(ctx, p.tenant, page)
		}
		return printList(s, client.Each(ctx, list), "NAME MEMORY CPUS INSTANCES ISOLATION UPDATED", func(c client.Container) []string {
			return []string{c.Name, mib(c.Limits.MemoryMiB), number(c.Limits.CPUs), strconv.Itoa(c.Limits.MaxInstances), c.Isolation, when(c.UpdatedAt)}
		})
	}
	list := func(ctx context.Context, page client.Page) (client.List[client.Function], error) {
		return api.ListFunctions(ctx, p.tenant, p.container, page)
	}
	return printList(s, client.Each(ctx, list), "NAME STATUS VERSION ACTIVE RUNTIME UPDATED URL", func(f client.Function) []string {
		return []string{f.Name, f.Status, strconv.Itoa(f.Version), active(f.Active), f.Runtime, when(f.UpdatedAt), f.URL}
	})
}

func printList[T any](s *session, all iter.Seq2[T, error], head string, row func(T) []string) error {
	var list []T
	var rows [][]string
	for o, err := range all {
		if err != nil {
			return err
		}
		list = append(list, o)
		rows = append(rows, row(o))
	}
	if s.asJSON {
		return printJSON(s.streams, items(list))
	}
	return table(s.out, head, rows)
}

func mib(n int) string        { return strconv.Itoa(n) + " MiB" }
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func active(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
