package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"hearth"
	"hearth/internal/module/registry"
	"hearth/internal/warden/wire"
)

// images sees to it that the warden has a root file system for every runtime: this process has the
// network and fetches the package, the warden checks its sum and unpacks it.
type images struct {
	client   *wire.Client
	registry *registry.Registry
	log      *slog.Logger

	mu      sync.Mutex
	present map[string]bool
	trouble string // why the default runtime's is not there yet, or what is being done about it

	ready chan struct{} // closed when the default runtime's is there
}

func newImages(client *wire.Client, access []byte, log *slog.Logger) (*images, error) {
	r, err := registry.Open(access)
	if err != nil {
		return nil, err
	}
	return &images{client: client, registry: r, log: log, present: map[string]bool{}, trouble: "the image is not made yet", ready: make(chan struct{})}, nil
}

// Between two tries to get an image.
const (
	imagePause     = time.Second
	imagePauseMost = time.Minute
)

// run makes what is missing, the default runtime's first, and tries again while the registry is away.
func (i *images) run(ctx context.Context) error {
	defer i.registry.Close()
	for _, runtime := range hearth.Runtimes {
		for pause := imagePause; ; pause = min(2*pause, imagePauseMost) {
			err := i.ensure(ctx, runtime)
			if err == nil || ctx.Err() != nil {
				break
			}
			i.log.Error("cannot make image; trying again", "runtime", runtime, "err", err, "pause", pause)
			i.say(runtime, err.Error())
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
	return nil
}

func (i *images) ensure(ctx context.Context, runtime string) error {
	image, err := i.client.Image(ctx, runtime)
	if err != nil {
		return err
	}
	if !image.Present {
		if err := i.fetch(ctx, runtime, image); err != nil {
			return err
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.present[runtime] = true
	if runtime == hearth.DefaultRuntime {
		close(i.ready)
	}
	return nil
}

func (i *images) fetch(ctx context.Context, runtime string, image wire.Image) error {
	began := time.Now()
	f, err := os.CreateTemp(".", "image-*.tgz")
	if err != nil {
		return fmt.Errorf("make file for image: %w", err)
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil { // gone with the descriptor, whatever happens
		return fmt.Errorf("make file for image: %w", err)
	}
	i.log.Info("fetching Node.js", "runtime", runtime, "package", image.Package, "version", image.Version)
	i.say(runtime, "Node.js is being fetched")
	next := 25.0
	progress := func(done, total int64) {
		if percent := 100 * float64(done) / float64(max(total, 1)); total > 0 && percent >= next && done < total {
			i.log.Info("fetching Node.js", "runtime", runtime, "percent", int(percent))
			i.say(runtime, fmt.Sprintf("Node.js is being fetched: %d %%", int(percent)))
			next = percent + 25
		}
	}
	if err := i.registry.Fetch(ctx, image.Package, image.Version, image.Integrity, f, progress); err != nil {
		return err
	}
	i.say(runtime, "the image is being made")
	if err := i.client.PutImage(ctx, runtime, f); err != nil {
		return err
	}
	i.log.Info("image made", "runtime", runtime, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// say keeps what the default runtime's image waits for, for /readyz.
func (i *images) say(runtime, what string) {
	if runtime != hearth.DefaultRuntime {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.trouble = what
}

// missing says why instances of the default runtime cannot start yet, or "".
func (i *images) missing() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.present[hearth.DefaultRuntime] {
		return ""
	}
	return i.trouble
}
