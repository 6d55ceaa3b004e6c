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

	building sync.Mutex // see Build

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
			i.say(wire.ImageRequest{Runtime: runtime}, err.Error())
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
	<-ctx.Done() // Build may still fetch
	return nil
}

func (i *images) ensure(ctx context.Context, runtime string) error {
	if err := i.make(ctx, wire.ImageRequest{Runtime: runtime}); err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.present[runtime] = true
	if runtime == hearth.DefaultRuntime {
		close(i.ready)
	}
	return nil
}

// Build sees to it that there is an image to build packages of a runtime in. It is made for the first
// who asks, since a hearth whose functions have no packages needs neither compiler nor npm.
func (i *images) Build(ctx context.Context, runtime string) error {
	i.building.Lock() // one at a time: a second caller finds the image that the first one made
	defer i.building.Unlock()
	return i.make(ctx, wire.ImageRequest{Runtime: runtime, Build: true})
}

// make asks for an image and fetches what it lacks, package after package.
func (i *images) make(ctx context.Context, q wire.ImageRequest) error {
	image, err := i.client.Image(ctx, q)
	for tries := 0; err == nil && !image.Present; tries++ {
		if len(image.Missing) == 0 || tries == mostPackages {
			return fmt.Errorf("make image of %s: the warden lacks %d packages after %d", q, len(image.Missing), tries)
		}
		image, err = i.fetch(ctx, q, image.Missing[0])
	}
	return err
}

// mostPackages bounds how many packages one image is made from.
const mostPackages = 4

func (i *images) fetch(ctx context.Context, q wire.ImageRequest, pack wire.Package) (wire.Image, error) {
	began := time.Now()
	f, err := os.CreateTemp(".", "image-*.tgz")
	if err != nil {
		return wire.Image{}, fmt.Errorf("make file for image: %w", err)
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil { // gone with the descriptor, whatever happens
		return wire.Image{}, fmt.Errorf("make file for image: %w", err)
	}
	i.log.Info("fetching package of image", "image", q.String(), "package", pack.Name, "version", pack.Version)
	i.say(q, pack.Name+" is being fetched")
	next := 25.0
	progress := func(done, total int64) {
		if percent := 100 * float64(done) / float64(max(total, 1)); total > 0 && percent >= next && done < total {
			i.log.Info("fetching package of image", "image", q.String(), "package", pack.Name, "percent", int(percent))
			i.say(q, fmt.Sprintf("%s is being fetched: %d %%", pack.Name, int(percent)))
			next = percent + 25
		}
	}
	if err := i.registry.Fetch(ctx, pack.Name, pack.Version, pack.Integrity, f, progress); err != nil {
		return wire.Image{}, err
	}
	i.say(q, "the image is being made")
	image, err := i.client.PutImage(ctx, q, pack.Name, f)
	if err == nil && image.Present {
		i.log.Info("image made", "image", q.String(), "took", time.Since(began).Round(time.Millisecond))
	}
	return image, err
}

// say keeps what the default runtime's image waits for, for /readyz.
func (i *images) say(q wire.ImageRequest, what string) {
	if q.Build || q.Runtime != hearth.DefaultRuntime {
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
