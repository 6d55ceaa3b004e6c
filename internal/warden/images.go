package warden

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"hearth"
	"hearth/internal/sandbox"
	"hearth/internal/sandbox/image"
	"hearth/internal/warden/wire"
)

// Images is what root file systems are made of, beside the runtime's package.
type Images struct {
	Shim fs.FS
	Init []byte
}

// imageStore makes and finds the root file systems of the runtimes.
type imageStore struct {
	parts Images
	log   *slog.Logger

	mu    sync.Mutex
	found map[string]sandbox.Image // by runtime
	build sync.Mutex               // one at a time: each writes 130 MB
}

func newImageStore(parts Images, log *slog.Logger) (*imageStore, error) {
	if err := image.Clean(viewImages); err != nil {
		return nil, err
	}
	return &imageStore{parts: parts, log: log, found: map[string]sandbox.Image{}}, nil
}

func (s *imageStore) spec(runtimeName string, pack *os.File) image.Spec {
	return image.Spec{Dir: viewImages, Runtime: runtimeName, Arch: runtime.GOARCH, Shim: s.parts.Shim, Init: s.parts.Init, Package: pack}
}

// known refuses names that are no runtime, before anything is done with them.
func known(runtimeName string) error {
	if !slices.Contains(hearth.Runtimes, runtimeName) {
		return hearth.Errorf(hearth.CodeInvalid, "%.64q is no runtime", runtimeName)
	}
	return nil
}

// get returns the image of a runtime, which must be made already.
func (s *imageStore) get(runtimeName string) (sandbox.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if img, ok := s.found[runtimeName]; ok {
		return img, nil
	}
	if err := known(runtimeName); err != nil {
		return sandbox.Image{}, err
	}
	return sandbox.Image{}, &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "image",
		Message: "the image of " + runtimeName + " is not made yet"}
}

// state says whether the image is there. One whose package was kept is made now: a new shim or a new
// library of the host needs no download.
func (s *imageStore) state(ctx context.Context, runtimeName string) (wire.Image, error) {
	if err := known(runtimeName); err != nil {
		return wire.Image{}, err
	}
	pack, err := image.Pinned(runtimeName, runtime.GOARCH)
	if err != nil {
		return wire.Image{}, err
	}
	state := wire.Image{Package: pack.Name, Version: pack.Version, Integrity: pack.Integrity}
	err = s.put(ctx, runtimeName, nil)
	if errors.Is(err, image.ErrNoPackage) {
		return state, nil
	}
	state.Present = err == nil
	return state, err
}

// put makes the image, from the package or, with nil, from the one that was kept.
func (s *imageStore) put(ctx context.Context, runtimeName string, pack *os.File) error {
	if err := known(runtimeName); err != nil {
		return err
	}
	s.build.Lock()
	defer s.build.Unlock()
	img, err := image.Build(ctx, s.spec(runtimeName, pack))
	if err != nil {
		return err
	}
	rootfs, err := show(img.Path)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found[runtimeName] = sandbox.Image{Runtime: runtimeName, Rootfs: rootfs}
	s.log.Info("image ready", "runtime", runtimeName, "hash", img.Hash[:16])
	return nil
}

// show mounts an image, once, where instances get it from: a read-only overlay, since a bind mount
// would show the path of the data directory in an instance's mountinfo. The overlay has the page
// cache of what is below it, so all instances still share one copy of the binary.
func show(img string) (string, error) {
	shown := path.Join(viewRoots, path.Base(img))
	err := os.Mkdir(shown, 0o755)
	if errors.Is(err, os.ErrExist) {
		return shown, nil
	}
	if err != nil {
		return "", fmt.Errorf("show image: %w", err)
	}
	// Without an upper folder an overlay wants two lower ones.
	options := "lowerdir=" + img + ":" + viewEmpty
	if err := unix.Mount("hearth", shown, "overlay", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return "", errors.Join(fmt.Errorf("show image: mount overlay: %w", err), os.Remove(shown))
	}
	return shown, nil
}
