package main

import (
	"github.com/spf13/cobra"

	"hearth/client"
)

func containerCommand(io *streams) *cobra.Command {
	return group("container", "Make containers and set their limits", containerSetCommand(io))
}

func containerSetCommand(io *streams) *cobra.Command {
	var want client.ContainerSpec
	l := &want.Limits
	c := &cobra.Command{Use: "set TENANT/CONTAINER", Short: "Make a container, or change its limits",
		Long: "Makes a container, or changes those of its limits that flags name; 0 is the default.", Args: exactly(1, aContainer)}
	s := io.connect(c)
	c.Flags().IntVar(&l.MemoryMiB, "memory-mib", 0, "memory of an instance, in `MIB`")
	c.Flags().Float64Var(&l.CPUs, "cpus", 0, "`PROCESSORS` of an instance")
	c.Flags().IntVar(&l.Pids, "pids", 0, "processes and threads of an instance, at most `N`")
	c.Flags().IntVar(&l.TmpMiB, "tmp-mib", 0, "size of /tmp of an instance, in `MIB`")
	c.Flags().IntVar(&l.MaxInstances, "max-instances", 0, "`INSTANCES` at most")
	c.Flags().IntVar(&l.Concurrency, "concurrency", 0, "`REQUESTS` in an instance at once")
	c.Flags().StringVar(&want.Isolation, "isolation", "", "OCI `RUNTIME` of its instances")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := parsePlace(args[0], aContainer)
		if err != nil {
			return err
		}
		api, err := s.client()
		if err != nil {
			return err
		}
		was, err := api.GetContainer(cmd.Context(), p.tenant, p.container)
		condition := client.IfMatch(was.ETag)
		if client.IsCode(err, "not_found") {
			condition = client.IfNoneMatch()
		} else if err != nil {
			return err
		}
		spec := client.ContainerSpec{Isolation: was.Isolation, Egress: was.Egress, Limits: was.Limits}
		change(cmd, "memory-mib", &spec.Limits.MemoryMiB, l.MemoryMiB)
		change(cmd, "cpus", &spec.Limits.CPUs, l.CPUs)
		change(cmd, "pids", &spec.Limits.Pids, l.Pids)
		change(cmd, "tmp-mib", &spec.Limits.TmpMiB, l.TmpMiB)
		change(cmd, "max-instances", &spec.Limits.MaxInstances, l.MaxInstances)
		change(cmd, "concurrency", &spec.Limits.Concurrency, l.Concurrency)
		change(cmd, "isolation", &spec.Isolation, want.Isolation)
		o, err := api.PutContainer(cmd.Context(), p.tenant, p.container, spec, condition)
		if err != nil {
			return s.missing(cmd.Context(), api, place{tenant: p.tenant}, err)
		}
		return s.showContainer(o)
	}
	return c
}
