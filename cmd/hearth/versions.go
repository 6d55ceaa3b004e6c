package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hearth/client"
)

func versionsCommand(io *streams) *cobra.Command {
	c := &cobra.Command{Use: "versions TENANT/CONTAINER/FUNCTION", Short: "List the versions of a function, the newest first", Args: exactly(1, aFunction)}
	s := io.connect(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := parsePlace(args[0], aFunction)
		if err != nil {
			return err
		}
		api, err := s.client()
		if err != nil {
			return err
		}
		list := func(ctx context.Context, page client.Page) (client.List[client.Version], error) {
			return api.ListVersions(ctx, p.tenant, p.container, p.function, page)
		}
		err = printList(s, client.Each(cmd.Context(), list), "VERSION ACTIVE STATUS RUNTIME CREATED ERROR", func(v client.Version) []string {
			mark, text := "", ""
			if v.Active {
				mark = "*"
			}
			if v.Error != nil {
				text, _, _ = strings.Cut(v.Error.Message, "\n")
			}
			return []string{strconv.Itoa(v.Version), mark, v.Status, v.Runtime, when(v.CreatedAt), text}
		})
		return s.missing(cmd.Context(), api, p, err)
	}
	return c
}
