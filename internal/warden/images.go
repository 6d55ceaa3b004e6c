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
	Shim   fs.FS
	Driver fs.FS // in the shim's place, in the images that packages are built in
	Init   []byte
}

// imageStore makes and finds the root file systems of the runtimes.
type imageStore struct {
	parts Images
	log   *slog.Logger

	mu    sync.Mutex
	found map[string]sandbox.Image // by name, "node24" or "build-node24"
	build sync.Mutex               // one at a time: each writes 130 MB
}

func newImageStore(parts Images, log *slog.Logger) (*imageStore, error) {
	if err := image.Clean(viewImages); err != nil {
		return nil, err
	}
	return &imageStore{parts: parts, log: log, found: map[string]sandbox.Image{}}, nil
}

func (s *imageStore) spec(q wire.ImageRequest) image.Spec {
	spec := image.Spec{Dir: viewImages, Runtime: q.Runtime, Build: q.Build, Arch: runtime.GOARCH, Shim: s.parts.Shim, Init: s.parts.Init}
	if q.Build {
		spec.Shim = s.parts.Driver
	}
	return spec
}

// nodeVersions is the exact version of Node.js of each runtime.
func nodeVersions() (map[string]string, error) {
	versions := map[string]string{}
	for _, rt := range hearth.Runtimes {
		pack, err := image.Pinned(rt, runtime.GOARCH)
		if err != nil {
			return nil, err
		}
		versions[rt] = pack.Version
	}
	return versions, nil
}

// known refuses names that are no runtime, before anything is done with them.
func known(q wire.ImageRequest) error {
	if !slices.Contains(hearth.Runtimes, q.Runtime) {
		return hearth.Errorf(hearth.CodeInvalid, "%.64q is no runtime", q.Runtime)
	}
	return nil
}

// get returns an image, which must be made already.
func (s *imageStore) get(q wire.ImageRequest) (sandbox.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if img, ok := s.found[q.String()]; ok {
		return img, nil
	}
	if err := known(q); err != nil {
		return sandbox.Image{}, err
	}
	return sandbox.Image{}, &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: "image",
		Message: "the image of " + q.String() + " is not made yet"}
}

// state says whether the image is there. One whose packages were kept is made now: a new shim or a new
// library of the host needs no download.
func (s *imageStore) state(ctx context.Context, q wire.ImageRequest) (wire.Image, error) {
	if err := known(q); err != nil {
		return wire.Image{}, err
	}
	return s.make(ctx, q, s.spec(q))
}

// put keeps one package of an image, and makes the image if that was the last one.
func (s *imageStore) put(ctx context.Context, q wire.ImagePutRequest, pack *os.File) (wire.Image, error) {
	if err := known(q.ImageRequest); err != nil {
		return wire.Image{}, err
	}
	spec := s.spec(q.ImageRequest)
	node, err := image.Pinned(q.Runtime, runtime.GOARCH)
	if err != nil {
		return wire.Image{}, err
	}
	npm, err := image.PinnedNpm()
	if err != nil {
		return wire.Image{}, err
	}
	switch {
	case q.Package == node.Name:
		spec.Package = pack
	case q.Package == npm.Name && q.Build:
		spec.Npm = pack
	default:
		return wire.Image{}, hearth.Errorf(hearth.CodeInvalid, "the image of %s is not made from a package %.64q", q.ImageRequest, q.Package)
	}
	return s.make(ctx, q.ImageRequest, spec)
}

// make builds the image, or says what it lacks for that.
func (s *imageStore) make(ctx context.Context, q wire.ImageRequest, spec image.Spec) (state wire.Image, err error) {
	s.build.Lock()
	defer s.build.Unlock()
	img, err := image.Build(ctx, spec)
	if errors.Is(err, image.ErrNoPackage) {
		missing, err := image.Missing(spec)
		for _, p := range missing {
			state.Missing = append(state.Missing, wire.Package(p))
		}
		return state, err
	}
	if err != nil {
		return state, err
	}
	rootfs, err := show(img.Path)
	if err != nil {
		return state, err
	}
	state.Present = true
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.found[q.String()]; !ok {
		s.log.Info("image ready", "runtime", q.Runtime, "build", q.Build, "hash", img.Hash[:16])
	}
	s.found[q.String()] = sandbox.Image{Runtime: q.Runtime, Rootfs: rootfs, Build: q.Build}
	return state, nil
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
