package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/spf13/cobra"

	"hearth/internal/config"
	"hearth/internal/module/registry"
	initbin "hearth/internal/sandbox/init"
	"hearth/internal/warden"
	"hearth/internal/warden/wire"
	driver "hearth/runtime/build"
	shim "hearth/runtime/node"
)

func serveCommand(io *streams) *cobra.Command {
	c := &cobra.Command{Use: "serve", Short: "Run a node in the foreground",
		Long: "Runs a node until SIGTERM. Every flag is also a HEARTH_… variable and a key of the YAML file\n" +
			"that --config or HEARTH_CONFIG names; docs/configuration.md explains them.",
		DisableFlagParsing: true, ValidArgsFunction: completeSettings,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := config.Load(args, io.environ())
			if err != nil {
				return err
			}
			switch {
			case l.Help:
				return cmd.Help()
			case l.PrintConfig:
				for _, w := range l.Warnings {
					fmt.Fprintln(io.err, "warning: "+w) //nolint:errcheck // nowhere left to say it
				}
				return l.Print(io.out)
			case l.JSON:
				return usage("write hearth serve --print-config --json", "--json goes with --print-config")
			}
			// The warden lives in a mount namespace of its own, which takes an exec; this returns
			// only if that fails.
			if !warden.Isolated() {
				return warden.Isolate()
			}
			log := newLog(io, l.Config)
			for _, w := range l.Warnings {
				log.Warn("setting", "text", w)
			}
			return serve(cmd.Context(), l.Config, log)
		}}
	settingFlags(c)
	c.Flags().Bool("print-config", false, "print each effective value and where it came from, and stop")
	return c
}

func serve(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	npm, err := registry.Detect(ctx, registry.Sources{Flag: cfg.NPMRegistry})
	if err != nil {
		return err
	}
	access, err := npm.Access()
	if err != nil {
		return err
	}
	pid1, err := initbin.Bytes(runtime.GOARCH)
	if err != nil {
		return err
	}
	return warden.Run(ctx, warden.Options{Setup: wire.Setup{Config: cfg, Version: version}, Registry: access,
		Images: warden.Images{Shim: shim.Files, Driver: driver.Files, Init: pid1}, NodeArgs: shim.Args, NodeEnv: shim.Env, Log: log})
}

func newLog(io *streams, cfg *config.Config) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // one of four words, checked by config
	opt := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(io.err, opt))
	}
	return slog.New(slog.NewTextHandler(io.err, opt))
}
