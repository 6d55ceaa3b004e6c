package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hearth/internal/config"
)

type flagT = pflag.Flag

// settingFlags shows the settings of hearth serve in a command's help. They are parsed by
// internal/config, which reports all mistakes at once.
func settingFlags(c *cobra.Command) {
	for _, o := range config.Options() {
		if o.Bool() {
			c.Flags().Bool(o.Name, o.Default == "true", o.About)
		} else {
			c.Flags().String(o.Name, o.Default, "`"+o.Arg+"`: "+o.About)
		}
	}
	c.Flags().String("config", "", "`FILE`: YAML file with settings")
	c.Flags().Bool("json", false, "print JSON")
}

func completeSettings(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	if !strings.HasPrefix(word, "-") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var names []string
	cmd.Flags().VisitAll(func(f *flagT) {
		if strings.HasPrefix("--"+f.Name, word) {
			names = append(names, "--"+f.Name+"\t"+f.Usage)
		}
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}
