// Package nodetest finds the Node.js binaries of the runtimes for tests.
package nodetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// pinsPath is the table of runtimes, seen from the module's root:
// {"node24": {"version": "24.1.0", "x64": "sha512-…", "arm64": "sha512-…"}, …}.
const pinsPath = "internal/sandbox/image/runtimes.json"

// maxBinary bounds a Node.js binary, in bytes.
const maxBinary = 512 << 20

// Binary returns the path of the Node.js binary of a runtime ("node24"). It takes
// $HEARTH_TEST_NODE_DIR/<runtime>/bin/node if that is set; else it downloads the pinned npm package
// node-linux-<arch> once into the user's cache folder, with the machine's npm, and checks its hash.
// The test is skipped, saying why, when neither works.
func Binary(t testing.TB, runtime string) string {
	t.Helper()
	if dir := os.Getenv("HEARTH_TEST_NODE_DIR"); dir != "" {
		path := filepath.Join(dir, runtime, "bin", "node")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	path, err := fetch(runtime)
	if err != nil {
		t.Skipf("no Node.js for %s: %v (set HEARTH_TEST_NODE_DIR to a folder with %s/bin/node)", runtime, err, runtime)
	}
	return path
}

func fetch(name string) (string, error) {
	version, integrity, arch, err := pin(name)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache folder: %w", err)
	}
	dir := filepath.Join(cache, "hearth", "node", version+"-"+arch)
	path := filepath.Join(dir, "node")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make cache folder: %w", err)
	}
	tmp, err := os.MkdirTemp(dir, "pack-")
	if err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(tmp)
	cmd := exec.Command("npm", "pack", "--silent", "node-linux-"+arch+"@"+version)
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm pack node-linux-%s@%s: %w: %.200s", arch, version, err, out)
	}
	archives, err := filepath.Glob(filepath.Join(tmp, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return "", fmt.Errorf("npm pack left %d archives", len(archives))
	}
	packed, err := os.ReadFile(archives[0])
	if err != nil {
		return "", fmt.Errorf("read archive: %w", err)
	}
	sum := sha512.Sum512(packed)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != integrity {
		return "", fmt.Errorf("node-linux-%s@%s has hash %s, want %s", arch, version, got, integrity)
	}
	bin := filepath.Join(tmp, "node")
	if err := unpack(packed, bin); err != nil {
		return "", err
	}
	return path, os.Rename(bin, path) // tests of several packages may do this at once; the last one wins
}

func pin(name string) (version, integrity, arch string, err error) {
	root, err := moduleRoot()
	if err != nil {
		return "", "", "", err
	}
	data, err := os.ReadFile(filepath.Join(root, pinsPath))
	if err != nil {
		return "", "", "", fmt.Errorf("read pins: %w", err)
	}
	var pins map[string]map[string]string
	if err := json.Unmarshal(data, &pins); err != nil {
		return "", "", "", fmt.Errorf("read pins: %w", err)
	}
	arch = map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	p := pins[name]
	if p["version"] == "" || p[arch] == "" {
		return "", "", "", fmt.Errorf("%s has no pin for %s on %s", pinsPath, name, runtime.GOARCH)
	}
	return p["version"], p[arch], arch, nil
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the test")
		}
		dir = up
	}
	return "", fmt.Errorf("find module: %w", err)
}

// unpack writes the archive's bin/node to path.
func unpack(packed []byte, path string) error {
	zr, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	tr := tar.NewReader(zr)
	for {
		h, err := tr.Next()
		if err != nil {
			return fmt.Errorf("find bin/node in archive: %w", err)
		}
		if h.Name != "package/bin/node" || h.Typeflag != tar.TypeReg {
			continue
		}
		if h.Size > maxBinary {
			return fmt.Errorf("bin/node has %d bytes", h.Size)
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
		if err != nil {
			return fmt.Errorf("write node: %w", err)
		}
		if _, err := io.CopyN(f, tr, h.Size); err != nil {
			f.Close()
			return fmt.Errorf("write node: %w", err)
		}
		return f.Close()
	}
}
