package initbin

import (
	"embed"
	"fmt"
)

// The README keeps the pattern valid in a tree where nothing was built yet.
//
//go:embed bin
var built embed.FS

// Bytes returns the program for a Go architecture ("amd64", "arm64"). It fails in a binary that was
// built without `make build`.
func Bytes(arch string) ([]byte, error) {
	b, err := built.ReadFile("bin/init_linux_" + arch)
	if err != nil {
		return nil, fmt.Errorf("read init for %q: this hearth was built without it: build with `make build`", arch)
	}
	return b, nil
}
