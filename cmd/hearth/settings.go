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
			c.Flags().Var(&shown{o.Default, o.Arg}, o.Name, o.About)
		}
	}
	c.Flags().Var(&shown{"", "FILE"}, "config", "YAML file with settings")
	c.Flags().Bool("json", false, "print JSON")
}

// shown is a flag that is only shown: help prints what kind of value it takes.
type shown struct{ value, kind string }

func (s *shown) String() string   { return s.value }
func (s *shown) Set(string) error { return nil }
func (s *shown) Type() string     { return s.kind }

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
