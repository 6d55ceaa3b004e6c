package store_test

import (
	"archive/tar"
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"hearth"
	"hearth/internal/store"
	"hearth/internal/store/storetest"
)

// One bit of an archive is wrong: it is found out each time, and deploying again mends it.
func TestBitFlips(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := fixtureAt(t, dir)
	f.Container("acme", "main")
	code := strings.Repeat("exports = 1;", 10) + randomText(2000)
	digest := f.Put("hello", code).Latest.Digest
	paths, err := filepath.Glob(filepath.Join(dir, "blobs", "code", "*"))
	if err != nil || len(paths) != 1 {
		t.Fatal(paths, err)
	}
	good, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		bad := bytes.Clone(good)
		bit := rand.IntN(len(bad) * 8)
		bad[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(paths[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := f.Code(t.Context(), digest)
		if err != nil {
			if hearth.CodeOf(err) != hearth.CodeUnavailable || files != nil {
				t.Fatalf("bit %d: %d files, %v", bit, len(files), err)
			}
			continue
		}
		// Some bits of the frame's header mean nothing; then the code is what it was.
		if len(files) != 1 || string(files[0].Data) != code {
			t.Fatalf("bit %d is wrong, and wrong code came out", bit)
		}
	}
	if err := os.Truncate(paths[0], int64(len(good)/2)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Code(t.Context(), digest); hearth.CodeOf(err) != hearth.CodeUnavailable {
		t.Fatalf("a truncated archive: %v", err)
	}
	f.Put("hello", code)
	if _, err := f.Code(t.Context(), digest); err != nil {
		t.Fatalf("after deploying again: %v", err)
	}
}

func tarOf(t testing.TB, headers ...tar.Header) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		if h.Mode == 0 {
			h.Mode = 0o444
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// Archives that pack never wrote, under digests that fit them: none is unpacked.
func TestHostileArchives(t *testing.T) {
	t.Parallel()
	c := store.Codec(t)
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 1} }
	for what, raw := range map[string][]byte{
		"parent":       tarOf(t, file("../x")),
		"absolute":     tarOf(t, file("/x")),
		"dot":          tarOf(t, file("./x")),
		"backslash":    tarOf(t, file(`a\x`)),
		"node_modules": tarOf(t, file("node_modules/x")),
		"folder":       tarOf(t, tar.Header{Typeflag: tar.TypeDir, Name: "d/"}),
		"symlink":      tarOf(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "/etc/passwd"}),
		"hard link":    tarOf(t, tar.Header{Typeflag: tar.TypeLink, Name: "l", Linkname: "x"}),
		"device":       tarOf(t, tar.Header{Typeflag: tar.TypeBlock, Name: "d"}),
		"fifo":         tarOf(t, tar.Header{Typeflag: tar.TypeFifo, Name: "p"}),
		"twice":        tarOf(t, file("x"), file("x")),
		"out of order": tarOf(t, file("b"), file("a")),
		"cut short":    tarOf(t, file("a"))[:512],
		"noise":        bytes.Repeat([]byte("noise"), 1000),
	} {
		if files, err := c.Unpack(enc.EncodeAll(raw, nil), store.DigestOf(raw)); err == nil {
			t.Errorf("%s: unpacked %v", what, files)
		}
	}
	bomb := make([]byte, store.ArchiveMost+1)
	if _, err := c.Unpack(enc.EncodeAll(bomb, nil), store.DigestOf(bomb)); err == nil || strings.Contains(err.Error(), "bytes are those") {
		t.Errorf("a bomb: %v", err)
	}
	half := enc.EncodeAll(bomb[:len(bomb)/2+1], nil)
	if _, err := c.Unpack(append(half, half...), store.DigestOf(bomb)); err == nil || strings.Contains(err.Error(), "those of") {
		t.Errorf("a bomb in two frames: %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	c := store.Codec(f)
	digest, data, err := c.Pack([]hearth.File{{Path: "a/b.js", Data: []byte("x")}, {Path: strings.Repeat("long/", 30) + "c", Data: nil}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("\x28\xb5\x2f\xfd"))
	want, err := c.Unpack(data, digest)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if files, err := c.Unpack(data, digest); err == nil && len(files) != len(want) {
			t.Fatalf("other files under the same digest: %v", files)
		}
	})
}

func FuzzReadTar(f *testing.F) {
	f.Add(tarOf(f, tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 3}))
	f.Add(tarOf(f, tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "b"}))
	f.Add(tarOf(f, tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("x/", 15) + strings.Repeat("y", 200), PAXRecords: map[string]string{"HEARTH.x": "y"}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		files, err := store.ReadTar(raw)
		if err != nil {
			return
		}
		size := 0
		for i, file := range files {
			if err := hearth.CheckFilePath(file.Path); err != nil {
				t.Fatal(err)
			}
			if i > 0 && files[i-1].Path >= file.Path {
				t.Fatal("not in order")
			}
			size += len(file.Data)
		}
		if len(files) > hearth.LimitCodeFiles.Int() || size > len(raw) {
			t.Fatalf("%d files of %d bytes out of %d bytes", len(files), size, len(raw))
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add("functions/acme/main", store.EncodeCursor("functions/acme/main", "hello"))
	f.Add("versions/a/b/c", store.EncodeCursor("versions/a/b/c", "12"))
	f.Add("tenants", "AAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, list, cursor string) {
		last, err := store.DecodeCursor(list, cursor)
		if err != nil {
			if hearth.CodeOf(err) != hearth.CodeInvalid {
				t.Fatalf("error %v", err)
			}
			return
		}
		if cursor != "" && store.EncodeCursor(list, last) != cursor {
			t.Fatalf("cursor %q of list %q is not the only one for %q", cursor, list, last)
		}
		if name, err := store.NameCursor(list, cursor); err == nil && name != "" && !hearth.ValidName(name) {
			t.Fatalf("name %q", name)
		}
		if n, err := store.NumberCursor(list, cursor, 1); err == nil && n < 1 {
			t.Fatalf("number %d", n)
		}
	})
}

func FuzzSealedSecret(f *testing.F) {
	f.Add(store.EncodeSecret("aaaaaaaaaaaaaaaaaaaaaaaaaa", "NAME", "value"))
	f.Add(store.EncodeSecret("", "", ""))
	f.Add([]byte{1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		id, name, value, err := store.DecodeSecret(raw)
		if err != nil {
			return
		}
		again, name2, value2, err := store.DecodeSecret(store.EncodeSecret(id, name, value))
		if err != nil || again != id || name2 != name || value2 != value {
			t.Fatalf("%q %q %q came back as %q %q %q, %v", id, name, value, again, name2, value2, err)
		}
	})
}

func FuzzIfMatch(f *testing.F) {
	f.Add(`"x-1", *`)
	s := storetest.Document("x", "y")
	f.Fuzz(func(t *testing.T, header string) {
		s.Precondition.IfMatch = header
		err := store.Present(s.Precondition, "object", "id", 7)
		if header != "" && err == nil && strings.TrimSpace(header) != "*" && !strings.Contains(header, store.ETag("id", 7)) {
			t.Fatalf("If-Match %q matches %s", header, store.ETag("id", 7))
		}
	})
}
