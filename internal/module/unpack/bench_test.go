package unpack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// usualTarball is like a package of npm: 150 files of text, 1.4 MB, packed to a fifth.
func usualTarball() []byte {
	r := new(raw).file("package/package.json", `{"name":"usual","version":"1.0.0","bin":"cli.js"}`)
	words := strings.Fields("function return const let module exports require this prototype length undefined null true false throw Error typeof options callback value")
	n := &noise{7}
	for i := range 150 {
		var b strings.Builder
		pick := make([]byte, 1500)
		n.Read(pick)
		for _, c := range pick {
			b.WriteString(words[int(c)%len(words)])
			b.WriteByte(" \n;("[c>>6])
		}
		r.file(fmt.Sprintf("package/lib/part%d/file%d.js", i%9, i), b.String())
	}
	return gz(r.end())
}

func cpuTime(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkUnpack sets FromTarball and WriteTo beside tar xzf, both from a file into a new folder. The
// time of a processor is reported for both, since tar works in two processes.
func BenchmarkUnpack(b *testing.B) {
	tgz := usualTarball()
	file := filepath.Join(b.TempDir(), "usual.tgz")
	if err := os.WriteFile(file, tgz, 0o600); err != nil {
		b.Fatal(err)
	}
	run := func(name string, who int, unpack func(dir string) error) {
		b.Run(name, func(b *testing.B) {
			base := b.TempDir()
			b.SetBytes(int64(len(tgz)))
			before := cpuTime(who)
			for i := range b.N {
				dir := filepath.Join(base, fmt.Sprint(i))
				if err := os.Mkdir(dir, 0o755); err != nil {
					b.Fatal(err)
				}
				if err := unpack(dir); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpuTime(who)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
	run("hearth", syscall.RUSAGE_SELF, func(dir string) error {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		c, err := FromTarball(context.Background(), f, Limits{})
		if err != nil {
			return err
		}
		defer c.Close()
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		return c.WriteTo(context.Background(), root)
	})
	run("tar-xzf", syscall.RUSAGE_CHILDREN, func(dir string) error { return exec.Command("tar", "xzf", file, "-C", dir).Run() })
}

// BenchmarkWrite packs a small package, for which the compressor's tables count.
func BenchmarkWrite(b *testing.B) {
	c := mustTarball(b, new(raw).file("package/package.json", "{}").file("package/index.js", strings.Repeat("x();\n", 3000)), Limits{})
	for b.Loop() {
		if _, _, err := Write(context.Background(), io.Discard, c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkArchive packs and reads the archive of the usual package.
func BenchmarkArchive(b *testing.B) {
	c, err := FromTarball(context.Background(), bytes.NewReader(usualTarball()), Limits{})
	if err != nil {
		b.Fatal(err)
	}
	digest, packed := mustWrite(b, c)
	b.Run("write", func(b *testing.B) {
		b.SetBytes(c.Stats.Bytes)
		for b.Loop() {
			if _, _, err := Write(context.Background(), io.Discard, c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		b.SetBytes(c.Stats.Bytes)
		for b.Loop() {
			if _, err := Load(context.Background(), bytes.NewReader(packed), digest, Limits{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
