package unpack

import (
	"encoding/json"
	"io"
	"path"
	"strings"
)

const mostManifest = 4 << 20

// markBins makes the files executable that package.json has in "bin" or below "directories.bin", as npm
// does: many authors publish from systems without x bits. A package.json that cannot be read marks
// none; whether that is a fault is not for this room to say.
func (c *Content) markBins() {
	var raw []byte
	for i := range c.Entries {
		e := &c.Entries[i]
		if e.Path == "package.json" && e.Kind == File && e.Size <= mostManifest {
			raw, _ = io.ReadAll(c.Open(e))
		}
	}
	var m struct {
		Bin         json.RawMessage `json:"bin"`
		Directories json.RawMessage `json:"directories"`
	}
	if len(raw) == 0 || json.Unmarshal(raw, &m) != nil {
		return
	}
	var one string
	many := map[string]any{}
	var dirs struct {
		Bin string `json:"bin"`
	}
	bins := map[string]bool{}
	switch {
	case json.Unmarshal(m.Bin, &one) == nil:
		bins[inside(one)] = true
	case json.Unmarshal(m.Bin, &many) == nil:
		for _, v := range many {
			if s, ok := v.(string); ok {
				bins[inside(s)] = true
			}
		}
	}
	below := "/" // which no entry begins with
	if len(bins) == 0 && json.Unmarshal(m.Directories, &dirs) == nil && inside(dirs.Bin) != "" {
		below = inside(dirs.Bin) + "/"
	}
	for i := range c.Entries {
		e := &c.Entries[i]
		if e.Kind == File && (bins[e.Path] || strings.HasPrefix(e.Path, below)) {
			e.Exec = true
		}
	}
}

// inside cleans a path of package.json; one that leads out becomes one that names nothing.
func inside(name string) string {
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}
