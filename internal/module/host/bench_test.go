package host

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hearth/internal/module/plan"
)

// large makes a tree of n packages of 3 + code files each, with dependencies like real ones: some deep,
// some wide, a few cycles. variant gives the same contents other contexts.
func large(w *world, n, code int, variant string) *plan.Tree {
	tr := treeOf("large "+variant, nil, nil)
	key := func(i int) string { return hexOf(fmt.Sprintf("key large %d %s", i, variant)) }
	for i := range n {
		id := fmt.Sprintf("large%d@1.0.0", i)
		content := hexOf("content " + id)
		w.a.mu.Lock()
		have := w.a.blobs[content] != nil
		w.a.mu.Unlock()
		if !have {
			f := files{"package.json": fmt.Sprintf(`{"name":"large%d"}`, i), "LICENSE": "MIT", "README.md": strings.Repeat("readme ", 500+i)}
			for k := range code {
				f[fmt.Sprintf("lib/part%d/file%d.js", k%3, k)] = strings.Repeat(fmt.Sprintf("x(%d,%d);", i, k), 100+10*k)
			}
			w.a.add(w.t, content, f)
		}
		p := plan.Package{Key: key(i), Name: fmt.Sprintf("large%d", i), Content: content, Deps: map[string]string{}}
		for _, d := range []int{i + 1, i*2 + 1, i*3 + 7, (i * 7) % n} {
			if d < n && d != i {
				p.Deps[fmt.Sprintf("large%d", d)] = key(d)
			}
		}
		tr.Packages = append(tr.Packages, p)
		if i < 60 {
			tr.Direct[p.Name] = p.Key
		} else {
			tr.Hoisted[p.Name] = p.Key
		}
	}
	return tr
}

// BenchmarkLinkTree600 links a tree of 600 packages: whose packages are on the disk, and whose contents
// are, so that every package is linked in a new context (12,000 files).
func BenchmarkLinkTree600(b *testing.B) {
	for _, name := range []string{"packages", "contents", "archives"} {
		b.Run(name+"-on-disk", func(b *testing.B) {
			w := openWorld(b, filepath.Join(b.TempDir(), "packages"), newArchives(), 1<<40)
			first := large(w, 600, 17, "first")
			if name != "archives" {
				w.ensure(first)
			}
			trees := make([]*plan.Tree, b.N)
			for i := range trees {
				trees[i] = large(w, 600, 17, "first")
				if name == "contents" {
					trees[i] = large(w, 600, 17, fmt.Sprint(i))
				}
				trees[i].Key = hexOf(fmt.Sprint("tree", i))
			}
			b.ResetTimer()
			before := cpuTime()
			for _, tr := range trees {
				if _, err := w.Ensure(context.Background(), tr); err != nil {
					b.Fatal(err)
				}
				if name == "archives" {
					b.StopTimer()
					w.evictSome(1 << 50)
					b.StartTimer()
				}
			}
			if name != "archives" {
				// What the work takes of a processor says more than the clock on a machine that others use.
				b.ReportMetric(float64((cpuTime()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			}
		})
	}
}

// BenchmarkTreeIsThere is what a cold call pays: one look into memory.
func BenchmarkTreeIsThere(b *testing.B) {
	w := openWorld(b, filepath.Join(b.TempDir(), "packages"), newArchives(), 1<<40)
	tr := usual(w)
	w.ensure(tr)
	b.ResetTimer()
	for b.Loop() {
		if _, err := w.Ensure(context.Background(), tr); err != nil {
			b.Fatal(err)
		}
	}
}

// Thousands of packages are found again at start, ten thousand when asked to be thorough; the log says how
// long that took.
func TestStartWithThousandsOfPackages(t *testing.T) {
	t.Parallel()
	trees := 4
	if thorough() {
		trees = 20
	}
	w := openWorld(t, filepath.Join(t.TempDir(), "packages"), newArchives(), 1<<40)
	for i := range trees {
		w.ensure(large(w, 500, 1, fmt.Sprint(i)))
	}
	start := time.Now()
	w = w.reopen()
	d := time.Since(start)
	u := w.Usage()
	t.Logf("%d packages, %d contents, %d trees: %v", u.Packages, u.Contents, u.Trees, d)
	if u.Packages != 500*trees || u.Trees != trees {
		t.Errorf("%+v", u)
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
