package unpack

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var fuzzLimits = Limits{Total: 4 << 20, File: 2 << 20, Entries: 500, Memory: 64 << 10, Packed: 1 << 20}

// checkContent holds what every content that was taken promises.
func checkContent(t *testing.T, c *Content) {
	t.Helper()
	last, kinds := "", map[string]Kind{"": Folder}
	for i := range c.Entries {
		e := &c.Entries[i]
		if e.Path <= last || !filepath.IsLocal(e.Path) || filepath.Clean(e.Path) != e.Path || strings.ContainsAny(e.Path, "\\\x00\n") || kinds[dir(e.Path)] != Folder {
			t.Fatalf("entry %q after %q, in a %c", e.Path, last, kinds[dir(e.Path)])
		}
		last, kinds[e.Path] = e.Path, e.Kind
	}
	digest, packed := mustWrite(t, c)
	again, err := Load(t.Context(), bytes.NewReader(packed), digest, fuzzLimits)
	if err != nil {
		t.Fatalf("what was written cannot be read: %v", err)
	}
	defer again.Close()
	if a, b := describe(t, c), describe(t, again); !slices.Equal(a, b) {
		t.Fatalf("%q came back as %q", a, b)
	}
	outer := t.TempDir()
	target := filepath.Join(outer, "dst")
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(target)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := c.WriteTo(t.Context(), root); err != nil {
		t.Fatalf("what was taken cannot be written: %v", err)
	}
	for _, e := range c.Entries {
		// The kernel agrees that every link stays inside: a root refuses the others.
		if e.Kind == Link {
			if _, err := root.Stat(e.Path); err != nil && strings.Contains(err.Error(), "escapes") {
				t.Fatalf("%q -> %q leads out: %v", e.Path, e.Target, err)
			}
		}
	}
	if names, _ := os.ReadDir(outer); len(names) != 1 {
		t.Fatalf("beside the folder: %v", names)
	}
}

func FuzzTarball(f *testing.F) {
	for _, h := range cases() {
		if h.form != archive && len(h.data) < 20_000 {
			f.Add(h.data, h.form == tarball)
			if h.form == tarball && h.want != ReasonPacking {
				f.Add(ungzip(h.data), false)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, packed bool) {
		var c *Content
		var err error
		l := fuzzLimits
		l.Spool = t.TempDir()
		if packed {
			c, err = FromTarball(t.Context(), bytes.NewReader(data), l)
		} else {
			c, err = FromTar(t.Context(), bytes.NewReader(data), l)
			// The checksum of a gzip would stop most of what a fuzzer makes.
			if d, err := FromTarball(t.Context(), bytes.NewReader(gz(data)), l); err == nil {
				checkContent(t, d)
				d.Close()
			}
		}
		if err != nil {
			if Refused(err) == "" {
				t.Fatalf("%v, which is no refusal", err)
			}
			return
		}
		defer c.Close()
		checkContent(t, c)
	})
}

func FuzzArchive(f *testing.F) {
	for _, h := range cases() {
		if h.form != tarball && len(h.data) < 20_000 {
			f.Add(h.data, h.form == archive)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, packed bool) {
		if !packed {
			data = zst(data)
		}
		l := fuzzLimits
		l.Spool = t.TempDir()
		c, err := Load(t.Context(), bytes.NewReader(data), digestOf(data), l)
		if err != nil {
			if Refused(err) == "" {
				t.Fatalf("%v, which is no refusal", err)
			}
			return
		}
		defer c.Close()
		checkContent(t, c)
		if _, err := Load(t.Context(), bytes.NewReader(data), digestOf([]byte("other")), l); Refused(err) != ReasonDigest {
			t.Fatalf("another digest: %v", err)
		}
	})
}
