package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"hearth"
)

// Spec says what an image is made of.
type Spec struct {
	Dir     string // the images folder, which exists
	Runtime string // "node24"
	Build   bool   // the image that packages are built in: the runtime's with a toolchain and npm
	Arch    string // Go's name of the architecture; "" is this machine's
	Shim    fs.FS  // becomes /hearth/shim
	Init    []byte // becomes /hearth/init
	Host    string // where the host's root is seen; "" is "/"

	// Package is the runtime's npm package as it was fetched, an ordinary file that somebody else may
	// still have open. nil takes the one that an earlier Build kept.
	Package *os.File

	// Npm is the same of npm's own package, for a Build image.
	Npm *os.File

	pin, npmPin *Package // tests have small packages of their own
}

// Image is a whole root file system.
type Image struct {
	Path string // absolute if Spec.Dir is
	Hash string // of its content, in hex
}

// ErrNoPackage says that Build needs a package that is not kept: Missing names all of them.
var ErrNoPackage = errors.New("a package that the image is made from is not here")

const temporary = ".tmp-"

// index is the file that remembers which image belongs to which inputs.
type index struct {
	Inputs string `json:"inputs"` // fingerprint of everything that the image is made of
	Image  string `json:"image"`  // name of its folder
	Hash   string `json:"hash"`
}

func (s Spec) withDefaults() Spec {
	if s.Arch == "" {
		s.Arch = runtime.GOARCH
	}
	if s.Host == "" {
		s.Host = "/"
	}
	return s
}

func (s Spec) name() string {
	if s.Build {
		return "build-" + s.Runtime + "-" + s.Arch
	}
	return s.Runtime + "-" + s.Arch
}

// packages are those of npm that the image is made from.
func (s Spec) packages() ([]Package, error) {
	pack, err := Pinned(s.Runtime, s.Arch)
	if err != nil {
		return nil, err
	}
	if s.pin != nil {
		pack = *s.pin
	}
	if !s.Build {
		return []Package{pack}, nil
	}
	npm, err := PinnedNpm()
	if err != nil {
		return nil, err
	}
	if s.npmPin != nil {
		npm = *s.npmPin
	}
	return []Package{pack, npm}, nil
}

// Missing returns the packages that Build would need, of which nothing is kept.
func Missing(s Spec) ([]Package, error) {
	all, err := s.withDefaults().packages()
	if err != nil {
		return nil, err
	}
	var missing []Package
	for _, p := range all {
		if _, err := os.Lstat(filepath.Join(s.Dir, p.file())); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, p)
		} else if err != nil {
			return nil, fmt.Errorf("look for package %s: %w", p.Name, err)
		}
	}
	return missing, nil
}

// Find returns the image if it was made before from the same inputs: same pin, init, shim and host
// libraries. It reads no library, only their sizes and times.
func Find(s Spec) (Image, bool, error) {
	s = s.withDefaults()
	p, err := s.plan()
	if err != nil {
		return Image{}, false, err
	}
	img, ok := s.find(p.fingerprint())
	return img, ok, nil
}

func (s Spec) find(inputs string) (Image, bool) {
	var ix index
	text, err := os.ReadFile(filepath.Join(s.Dir, s.name()+".json"))
	if err != nil || json.Unmarshal(text, &ix) != nil || ix.Inputs != inputs || !strings.HasPrefix(ix.Image, s.name()+"-") {
		return Image{}, false // made anew, which also mends the file
	}
	path := filepath.Join(s.Dir, ix.Image)
	if fi, err := os.Lstat(path); err != nil || !fi.IsDir() {
		return Image{}, false
	}
	return Image{path, ix.Hash}, true
}

// Build returns the image, making it if it is not there. What the host lacks is a *hearth.Error of
// CodeUnavailable that names the command which installs it; a package of the wrong hash is one of
// CodeMalformed. On any error nothing is left but the package, if it was the right one.
func Build(ctx context.Context, s Spec) (_ Image, err error) {
	s = s.withDefaults()
	p, err := s.plan()
	if err != nil {
		return Image{}, err
	}
	inputs := p.fingerprint()
	if img, ok := s.find(inputs); ok {
		return img, nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("make image of %s: %w", s.name(), err)
		}
	}()
	var packs []*os.File
	defer func() {
		for _, f := range packs {
			f.Close()
		}
	}()
	var lacking error
	for n, given := range []*os.File{s.Package, s.Npm}[:len(p.packs)] {
		f, err := s.keep(ctx, p.packs[n], given)
		if errors.Is(err, ErrNoPackage) { // go on, to keep the others that were given
			lacking = errors.Join(lacking, err)
			continue
		}
		if err != nil {
			return Image{}, err
		}
		packs = append(packs, f)
	}
	if lacking != nil {
		return Image{}, lacking
	}
	tmp, err := os.MkdirTemp(s.Dir, temporary)
	if err != nil {
		return Image{}, err
	}
	defer os.RemoveAll(tmp) // after the rename there is nothing of that name

	hash, err := p.write(ctx, tmp, packs)
	if err != nil {
		return Image{}, err
	}
	ix := index{Inputs: inputs, Image: s.name() + "-" + hash[:32], Hash: hash}
	if err := s.publish(tmp, ix); err != nil {
		return Image{}, err
	}
	return Image{filepath.Join(s.Dir, ix.Image), hash}, nil
}

// publish makes tmp the image, so that after a loss of power the index names a whole image or none:
// content on the disk first, then the folder's name, then the index.
func (s Spec) publish(tmp string, ix index) error {
	dir, err := os.Open(s.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("sync image: %w", err)
	}
	// EEXIST: the same content was made before from other inputs, for example a library's new time.
	if err := os.Rename(tmp, filepath.Join(s.Dir, ix.Image)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := dir.Sync(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(ix, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(s.Dir, temporary)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	if err := os.Rename(f.Name(), filepath.Join(s.Dir, s.name()+".json")); err != nil {
		return err
	}
	return dir.Sync()
}

// Clean removes what crashes left in the images folder, and the images and packages that no runtime
// of this hearth uses any more. No instance may be running and no Build be under way.
func Clean(dir string) error {
	used := map[string]bool{}
	for _, rt := range hearth.Runtimes {
		for arch := range platforms {
			for _, build := range []bool{false, true} {
				s := Spec{Runtime: rt, Arch: arch, Build: build}
				packs, err := s.packages()
				if err != nil {
					return err
				}
				for _, p := range packs {
					used[p.file()] = true
				}
				used[s.name()+".json"] = true
				var ix index
				if text, err := os.ReadFile(filepath.Join(dir, s.name()+".json")); err == nil && json.Unmarshal(text, &ix) == nil {
					used[ix.Image] = true
				}
			}
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("clean images: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !used[e.Name()] && ours(e.Name()) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// ours says whether a name is of a form that this room gives; other files in the folder are left alone.
func ours(name string) bool {
	return strings.HasPrefix(name, temporary) || strings.HasPrefix(name, "node") || strings.HasPrefix(name, "build-node") || strings.HasPrefix(name, "npm-")
}
