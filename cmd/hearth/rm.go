package main

import (
	"github.com/spf13/cobra"

	"hearth/client"
)

func rmCommand(io *streams) *cobra.Command {
	var recursive bool
	c := &cobra.Command{Use: "rm TENANT[/CONTAINER[/FUNCTION]]", Short: "Remove a tenant, a container or a function", Args: exactly(1, aFunction)}
	s := io.connect(c)
	c.Flags().BoolVarP(&recursive, "recursive", "r", false, "also remove what is in it")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := parsePlace(args[0], aTenant, aContainer, aFunction)
		if err != nil {
			return err
		}
		api, err := s.client()
		if err != nil {
			return err
		}
		switch ctx := cmd.Context(); {
		case p.container == "":
			err = api.DeleteTenant(ctx, p.tenant, recursive)
		case p.function == "":
			err = api.DeleteContainer(ctx, p.tenant, p.container, recursive)
		default:
			err = api.DeleteFunction(ctx, p.tenant, p.container, p.function)
		}
		if client.IsCode(err, "conflict") && p.function == "" && !recursive {
			return &failure{code: exitConflict, err: err, text: err.Error(), hint: "hearth rm --recursive " + p.String() + " removes everything in it too"}
		}
		if err != nil {
			return s.missing(cmd.Context(), api, p, err)
		}
		if s.asJSON {
			return printJSON(s.streams, map[string]string{"removed": p.String()})
		}
		s.say("removed %s", p)
		return nil
	}
	return c
}
