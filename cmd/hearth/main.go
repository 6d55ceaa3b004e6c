// Command hearth is the one binary of the platform: hearth serve is a node, the rest is the user's
// side. One file holds one command, which parses, calls and prints.
//
// By argv[0] it is also the other processes of a node: the warden in its own mount namespace, and
// the node process.
package main

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"hearth/internal/node"
	"hearth/internal/warden/wire"
)

func main() {
	if os.Args[0] == wire.NodeArgv0 {
		os.Exit(node.Main())
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], stdStreams()))
}
