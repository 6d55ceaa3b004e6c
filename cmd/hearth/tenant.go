package main

import (
	"github.com/spf13/cobra"

	"hearth/client"
)

func tenantCommand(io *streams) *cobra.Command {
	return group("tenant", "Make tenants, set their limits and their npm registries", tenantSetCommand(io))
}

func tenantSetCommand(io *streams) *cobra.Command {
	var l client.TenantLimits
	var r registryFlags
	c := &cobra.Command{Use: "set TENANT", Short: "Make a tenant, or change its limits and npm registries",
		Long: "Makes a tenant, or changes those of its limits and registries that flags name; limit 0 is the default.\n\n" + registryHelp,
		Args: exactly(1, aTenant)}
	s := io.connect(c)
	c.Flags().IntVar(&l.MemoryMiB, "memory-mib", 0, "the most memory an instance may be given, in `MIB`")
	c.Flags().Float64Var(&l.CPUs, "cpus", 0, "the most `PROCESSORS` an instance may be given")
	c.Flags().IntVar(&l.MaxInstances, "max-instances", 0, "`INSTANCES` of all its containers together")
	r.add(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := parsePlace(args[0], aTenant)
		if err != nil {
			return err
		}
		api, err := s.client()
		if err != nil {
			return err
		}
		// The document is replaced as a whole, so what no flag names is written as it is.
		was, err := api.GetTenant(cmd.Context(), p.tenant)
		condition := client.IfMatch(was.ETag)
		if client.IsCode(err, "not_found") {
			condition = client.IfNoneMatch()
		} else if err != nil {
			return err
		}
		spec := client.TenantSpec{Limits: was.Limits}
		change(cmd, "memory-mib", &spec.Limits.MemoryMiB, l.MemoryMiB)
		change(cmd, "cpus", &spec.Limits.CPUs, l.CPUs)
		change(cmd, "max-instances", &spec.Limits.MaxInstances, l.MaxInstances)
		if spec.Registries, err = r.spec(was.Registries, s.in); err != nil {
			return err
		}
		t, err := api.PutTenant(cmd.Context(), p.tenant, spec, condition)
		if err != nil {
			return err
		}
		return s.showTenant(t)
	}
	return c
}

// change takes the value of a flag that was given.
func change[T any](cmd *cobra.Command, flag string, to *T, value T) {
	if cmd.Flags().Changed(flag) {
		*to = value
	}
}
