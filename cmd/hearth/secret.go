package main

import (
	"github.com/spf13/cobra"

	"hearth/client"
	"hearth/cmd/hearth/internal/source"
)

func secretCommand(io *streams) *cobra.Command {
	return group("secret", "Set, list and remove the secrets of a function", secretSetCommand(io), secretLsCommand(io), secretRmCommand(io))
}

func secretSetCommand(io *streams) *cobra.Command {
	var file, variable string
	c := &cobra.Command{Use: "set TENANT/CONTAINER/FUNCTION NAME", Short: "Set a secret to what stdin, a file or a variable holds",
		Long: "Sets a secret. Its value is read from stdin, or from --file or --env, and never from an argument,\nwhich everybody on this machine could read. One line feed at its end is cut off.",
		Args: exactly(2, aFunction+" NAME")}
	s := io.connect(c)
	c.Flags().StringVar(&file, "file", "-", "`FILE` that holds the value; - is stdin")
	c.Flags().StringVar(&variable, "env", "", "environment `VARIABLE` that holds the value")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p, api, err := s.function(args[0])
		if err != nil {
			return err
		}
		var value string
		if variable != "" {
			value, err = source.SecretFromEnv(variable, s.environ())
		} else {
			value, err = source.SecretFromFile(file, s.in)
		}
		if err != nil {
			return usage("", "%v", err)
		}
		secret, err := api.PutSecret(cmd.Context(), p.tenant, p.container, p.function, args[1], value)
		if err != nil {
			return s.missing(cmd.Context(), api, p, err)
		}
		if s.asJSON {
			return printJSON(s.streams, secret)
		}
		s.say("set secret %s of %s", secret.Name, p)
		return nil
	}
	return c
}

func secretLsCommand(io *streams) *cobra.Command {
	c := &cobra.Command{Use: "ls TENANT/CONTAINER/FUNCTION", Short: "List the names of secrets; values are never shown", Args: exactly(1, aFunction)}
	s := io.connect(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p, api, err := s.function(args[0])
		if err != nil {
			return err
		}
		list, err := api.ListSecrets(cmd.Context(), p.tenant, p.container, p.function)
		if err != nil {
			return s.missing(cmd.Context(), api, p, err)
		}
		if s.asJSON {
			return printJSON(s.streams, items(list))
		}
		var rows [][]string
		for _, o := range list {
			rows = append(rows, []string{o.Name, when(o.UpdatedAt)})
		}
		return table(s.out, "NAME UPDATED", rows)
	}
	return c
}

func secretRmCommand(io *streams) *cobra.Command {
	c := &cobra.Command{Use: "rm TENANT/CONTAINER/FUNCTION NAME", Short: "Remove a secret", Args: exactly(2, aFunction+" NAME")}
	s := io.connect(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p, api, err := s.function(args[0])
		if err != nil {
			return err
		}
		if err := api.DeleteSecret(cmd.Context(), p.tenant, p.container, p.function, args[1]); err != nil {
			if _, gone := api.GetFunction(cmd.Context(), p.tenant, p.container, p.function); gone == nil && client.IsCode(err, "not_found") {
				return &failure{code: exitNotFound, err: err, text: p.String() + " has no secret " + clip(args[1]), hint: "hearth secret ls " + p.String()}
			}
			return s.missing(cmd.Context(), api, p, err)
		}
		if s.asJSON {
			return printJSON(s.streams, map[string]string{"removed": args[1]})
		}
		s.say("removed secret %s of %s", args[1], p)
		return nil
	}
	return c
}

// function parses the function that a command is about, and connects.
func (s *session) function(arg string) (place, *client.Client, error) {
	p, err := parsePlace(arg, aFunction)
	if err != nil {
		return p, nil, err
	}
	api, err := s.client()
	return p, api, err
}
