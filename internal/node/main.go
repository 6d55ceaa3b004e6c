package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"hearth"
	"hearth/internal/warden/wire"
)

// inherited is the descriptor of the socket pair that the warden leaves.
const inherited = 3

// Main is the node process. It returns the exit status.
func Main() int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := os.WriteFile("/proc/self/comm", []byte("hearth-node"), 0); err != nil {
		log.Warn("cannot name process", "err", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		log.Error("cannot forbid core dumps", "err", err)
		return 1
	}
	unix.CloseOnExec(inherited)
	client, hello, files, err := wire.Accept(os.NewFile(inherited, "warden"))
	if err != nil {
		log.Error("this process is started by hearth serve, and by nobody else", "err", err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	err = serve(ctx, client, hello, files, &log)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errForGood):
		log.Error("hearth cannot run", "err", err)
		return wire.ExitPermanent
	}
	log.Error("node process failed", "err", err)
	return 1
}

// errForGood marks what starting again would not mend.
var errForGood = errors.New("fix this first")

func serve(ctx context.Context, client *wire.Client, hello *wire.Hello, files []*os.File, log **slog.Logger) error {
	var setup wire.Setup
	if err := json.Unmarshal(hello.Config, &setup); err != nil {
		return fmt.Errorf("read setup: %w", err)
	}
	*log = newLog(setup)
	named := map[string]*os.File{}
	for i, name := range hello.Files {
		named[name] = files[i]
	}
	defer wire.CloseAll(files)
	n, err := New(ctx, client, setup, named, *log)
	if err != nil {
		var he *hearth.Error
		if errors.As(err, &he) && he.Code != hearth.CodeUnavailable && he.Code != hearth.CodeNoSpace {
			err = fmt.Errorf("%w: %w", errForGood, err)
		}
		return err
	}
	return n.Run(ctx)
}

func newLog(setup wire.Setup) *slog.Logger {
	var level slog.Level
	if level.UnmarshalText([]byte(setup.Config.LogLevel)) != nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	if setup.Config.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, opts))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, opts))
}

// secretFileBytes bounds a token, a key or a certificate chain.
const secretFileBytes = 1 << 20

// readFile reads a descriptor of the warden's from its beginning, whoever read it before: a
// descriptor that was sent shares its offset.
func readFile(f *os.File) ([]byte, error) {
	if f == nil {
		return nil, errors.New("the warden did not send it")
	}
	return io.ReadAll(io.NewSectionReader(f, 0, secretFileBytes))
}
