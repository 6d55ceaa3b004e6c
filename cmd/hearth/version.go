package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "dev"

func versionCommand(io *streams) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{Use: "version", Short: "Print the version of this binary", Args: exactly(0, ""),
		RunE: func(*cobra.Command, []string) error {
			revision := ""
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						revision = s.Value
					}
				}
			}
			if asJSON {
				return json.NewEncoder(io.out).Encode(map[string]string{"version": version, "go": runtime.Version(), "arch": runtime.GOARCH, "revision": revision})
			}
			_, err := fmt.Fprintf(io.out, "hearth %s, %s, %s\n", version, runtime.Version(), runtime.GOARCH)
			return err
		}}
	jsonFlag(c, &asJSON)
	return c
}
