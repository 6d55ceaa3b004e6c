package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hearth"
)

// maxEntries bounds the walk itself: hearth deploy / should fail soon, not read a machine.
const maxEntries = 200_000

// Source is what is to be deployed.
type Source struct {
	Manifest Manifest
	Files    []hearth.File // by path; empty when hearth.json carries the code itself
	Skipped  []string      // links, sockets and devices that were left out, bounded
	Base     string        // name of the folder or the file, for a function that has no other
}

// Extensions of a file that can be a function by itself.
var Extensions = []string{".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"}

// Load reads a folder, or one file of code, or the folder of a hearth.json.
func Load(name string) (*Source, error) {
	name = filepath.Clean(name)
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file or folder %q", cut(name))
	case err != nil:
		return nil, err
	case info.IsDir():
		return loadFolder(name)
	case filepath.Base(name) == "hearth.json":
		return loadFolder(filepath.Dir(name))
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%q is neither a file nor a folder", cut(name))
	}
	if !slices.Contains(Extensions, filepath.Ext(name)) {
		return nil, fmt.Errorf("%q is no JavaScript or TypeScript file (%s)", cut(name), strings.Join(Extensions, ", "))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := read(f, hearth.LimitCodeBytes)
	if err != nil {
		return nil, err
	}
	base := filepath.Base(name)
	return &Source{Manifest: Manifest{Entry: base}, Files: []hearth.File{{Path: base, Data: data}},
		Base: strings.TrimSuffix(base, filepath.Ext(base))}, nil
}

func loadFolder(dir string) (*Source, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // only read
	s := &Source{}
	if abs, err := filepath.Abs(dir); err == nil {
		s.Base = filepath.Base(abs)
	}
	data, err := readIn(root, "hearth.json", maxManifest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read hearth.json: %w", err)
	default:
		if s.Manifest, err = parseManifest(data); err != nil {
			return nil, err
		}
	}
	if s.Manifest.Code != "" || s.Manifest.Files != nil {
		return s, nil
	}
	ignore := ignoredFirst
	if data, err := readIn(root, ".hearthignore", hearth.LimitConfigBytes); err == nil {
		ignore = append(slices.Clip(ignore), strings.Split(string(data), "\n")...)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read .hearthignore: %w", err)
	}
	if err := s.collect(root, newRules(ignore)); err != nil {
		return nil, err
	}
	if len(s.Files) == 0 {
		return nil, fmt.Errorf("folder %q has no files to deploy", cut(dir))
	}
	return s, nil
}

func (s *Source) collect(root *os.Root, ignore rules) error {
	total, entries := int64(0), 0
	return fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entries++; entries > maxEntries {
			return fmt.Errorf("the folder has more than %d entries; is it the right one?", maxEntries)
		}
		if p == "." {
			return nil
		}
		if ignore.ignored(p, d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		if !d.Type().IsRegular() {
			if len(s.Skipped) < 20 {
				s.Skipped = append(s.Skipped, p)
			}
			return nil
		}
		if bad := hearth.CheckFilePath(p); bad != nil {
			return bad
		}
		if len(s.Files) == hearth.LimitCodeFiles.Int() {
			return hearth.Exceeded(hearth.CodeTooLarge, hearth.LimitCodeFiles)
		}
		left := hearth.LimitCodeBytes
		left.Value -= total
		data, err := readIn(root, p, left)
		if err != nil {
			var e *hearth.Error
			if errors.As(err, &e) {
				return hearth.Exceeded(hearth.CodeTooLarge, hearth.LimitCodeBytes) // the limit itself, not what is left
			}
			return fmt.Errorf("read %q: %w", cut(p), err)
		}
		total += int64(len(data))
		s.Files = append(s.Files, hearth.File{Path: p, Data: data})
		return nil
	})
}

func readIn(root *os.Root, name string, most hearth.Limit) ([]byte, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	return read(f, most)
}

func read(r io.Reader, most hearth.Limit) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, most.Value+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most.Value {
		return nil, hearth.Exceeded(hearth.CodeTooLarge, most)
	}
	return data, nil
}
