package main

import (
	"strconv"

	"github.com/spf13/cobra"
)

func rollbackCommand(io *streams) *cobra.Command {
	c := &cobra.Command{Use: "rollback TENANT/CONTAINER/FUNCTION VERSION", Short: "Make a kept version the active one", Args: exactly(2, aFunction+" VERSION")}
	s := io.connect(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := parsePlace(args[0], aFunction)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(args[1])
		if err != nil || n < 1 {
			return usage("hearth versions "+p.String()+" lists them", "%q is not the number of a version", clip(args[1]))
		}
		api, err := s.client()
		if err != nil {
			return err
		}
		f, err := api.Rollback(cmd.Context(), p.tenant, p.container, p.function, n)
		if err != nil {
			if _, gone := api.GetFunction(cmd.Context(), p.tenant, p.container, p.function); gone == nil && explain(err).code == exitNotFound {
				return &failure{code: exitNotFound, err: err, text: "version " + args[1] + " of " + p.String() + " is not kept", hint: "hearth versions " + p.String() + " lists what is"}
			}
			return s.missing(cmd.Context(), api, p, err)
		}
		if s.asJSON {
			return s.showFunction(f)
		}
		s.say("version %d of %s is active", f.Active, p)
		return nil
	}
	return c
}
