package unpack

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// raw makes tars that no tar.Writer would make.
type raw struct{ bytes.Buffer }

// field is a header whose parts can all be wrong.
type field struct {
	name, link string
	kind       byte
	mode       int64
	size       string // as it stands in the header; "" is the body's length
	body       string
	magic      string // "" is ustar's
	prefix     string
	sum        string // "" is the right one
	uid, mtime string
	uname      string
	noPad      bool
}

func (f field) header() []byte {
	b := make([]byte, 512)
	copy(b[0:100], f.name)
	if f.mode == 0 {
		f.mode = 0o644
	}
	copy(b[100:108], fmt.Sprintf("%07o", f.mode))
	set := func(at []byte, v, otherwise string) {
		if v == "" {
			v = otherwise
		}
		copy(at, v)
	}
	set(b[108:116], f.uid, "0000000")
	copy(b[116:124], "0000000")
	set(b[124:136], f.size, fmt.Sprintf("%011o", len(f.body)))
	set(b[136:148], f.mtime, fmt.Sprintf("%011o", epoch.Unix()))
	copy(b[148:156], "        ")
	b[156] = f.kind
	copy(b[157:257], f.link)
	set(b[257:265], f.magic, "ustar\x0000")
	copy(b[265:297], f.uname)
	copy(b[345:500], f.prefix)
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	set(b[148:156], f.sum, fmt.Sprintf("%06o\x00 ", sum))
	return b
}

func (r *raw) add(f field) *raw {
	if f.kind == 0 {
		f.kind = '0'
	}
	r.Write(f.header())
	r.WriteString(f.body)
	if !f.noPad {
		r.Write(make([]byte, (512-len(f.body)%512)%512))
	}
	return r
}

func (r *raw) file(name, body string) *raw { return r.add(field{name: name, body: body}) }

func (r *raw) folder(name string) *raw { return r.add(field{name: name, kind: '5', mode: 0o755}) }

func (r *raw) symlink(name, target string) *raw {
	return r.add(field{name: name, kind: '2', link: target})
}

func (r *raw) hard(name, target string) *raw {
	return r.add(field{name: name, kind: '1', link: target})
}

// pax writes PAX records for the entry that follows.
func (r *raw) pax(records ...string) *raw {
	return r.add(field{name: "pax", kind: 'x', body: paxBody(records...)})
}

func paxBody(records ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(records); i += 2 {
		rest := " " + records[i] + "=" + records[i+1] + "\n"
		n := len(rest)
		for len(fmt.Sprint(n))+len(rest) != n {
			n = len(fmt.Sprint(n)) + len(rest)
		}
		b.WriteString(fmt.Sprint(n) + rest)
	}
	return b.String()
}

// long writes a GNU long name ('L') or long target ('K') for the entry that follows.
func (r *raw) long(kind byte, text string) *raw {
	return r.add(field{name: "././@LongLink", kind: kind, magic: "ustar  \x00", body: text + "\x00"})
}

func (r *raw) end() []byte {
	r.Write(make([]byte, 1024))
	return r.Bytes()
}

func gz(b []byte) []byte {
	var buf bytes.Buffer
	w, _ := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
	w.Write(b)
	w.Close()
	return buf.Bytes()
}

var encoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2))
	if err != nil {
		panic(err)
	}
	return e
})

func zst(b []byte) []byte { return encoder().EncodeAll(b, nil) }

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// ungzip returns as much of a gzip as can be had.
func ungzip(b []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	out, _ := io.ReadAll(io.LimitReader(r, 20_000))
	return out
}
