package host

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"hearth"
	"hearth/internal/module/plan"
)

func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("hearth-test", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("needs root to mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func random(w *world, i, size int) *plan.Tree {
	rnd := rand.New(rand.NewPCG(uint64(i), 0))
	id := fmt.Sprintf("random%d@1.0.0", i)
	f := files{"index.js": id}
	for n := range 10 {
		f[fmt.Sprintf("lib%d/x.js", n)] = randomText(rnd, size/10)
	}
	w.a.add(w.t, hexOf("content "+id), f)
	return treeOf(id, map[string]string{"random": id}, nil, pk(id, nil))
}

// A disk that is full, of bytes or of inodes, refuses with no_space and leaves nothing half there. When
// something can go, it goes and the new one comes.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{"bytes": "size=4m", "inodes": "size=64m,nr_inodes=700"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := openWorld(t, filepath.Join(mountTmpfs(t, options), "packages"), newArchives(), 1<<30)
			var kept []*plan.Tree
			var err error
			i := 0
			for ; err == nil && i < 100; i++ {
				tr := random(w, i, 400_000)
				w.Hold(tr.Key)
				if _, err = w.Ensure(t.Context(), tr); err == nil {
					kept = append(kept, tr)
				}
			}
			var known *hearth.Error
			if !errors.As(err, &known) || known.Code != hearth.CodeNoSpace || strings.Contains(known.Message, "/") {
				t.Fatalf("on a full disk, after %d trees: %v", len(kept), err)
			}
			if len(kept) < 2 {
				t.Fatalf("only %d trees fit", len(kept))
			}
			w.whole()
			for _, tr := range kept {
				if !w.Has(tr.Key) {
					t.Error("a tree went that is held")
				}
			}
			w.Release(kept[0].Key)
			w.Release(kept[1].Key)
			w.ensure(random(w, i-1, 400_000))
			if w.Has(kept[0].Key) {
				t.Error("nothing was evicted")
			}
			w.whole()
			w = w.reopen()
			w.whole()
		})
	}
}

// A real file system with few inodes and blocks, by a loop device.
func TestFullExt4(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("needs mkfs.ext4")
	}
	base := t.TempDir()
	img, dir := filepath.Join(base, "img"), filepath.Join(base, "mnt")
	if err := errors.Join(os.WriteFile(img, nil, 0o600), os.Truncate(img, 8<<20), os.Mkdir(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-N", "900", img).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4: %v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", img, dir).CombinedOutput(); err != nil {
		t.Skipf("needs root and loop devices: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	w := openWorld(t, filepath.Join(dir, "packages"), newArchives(), 1<<30)
	var held []string
	var err error
	for i := 0; err == nil && i < 100; i++ {
		tr := random(w, i, 300_000)
		w.Hold(tr.Key)
		held = append(held, tr.Key)
		_, err = w.Ensure(t.Context(), tr)
	}
	if hearth.CodeOf(err) != hearth.CodeNoSpace {
		t.Fatalf("on a full disk: %v", err)
	}
	w.whole()
	for _, key := range held {
		w.Release(key)
	}
	w.ensure(random(w, 1000, 300_000))
	w.whole()
	if err := w.sync(); err != nil {
		t.Fatal(err)
	}
	w = w.reopen()
	w.whole()
	w.close()
	w.Store = nil
}

// After a loss of power only what was synced is believed; the rest is unpacked again.
func TestPowerLoss(t *testing.T) {
	id := filepath.Join(t.TempDir(), "boot_id")
	reboot := func(n int) {
		if err := os.WriteFile(id, []byte(fmt.Sprintln("boot", n)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reboot(1)
	defer func(was string) { bootID = was }(bootID)
	bootID = id
	w := newWorld(t)
	old := usual(w)
	w.ensure(old)
	if err := w.sync(); err != nil {
		t.Fatal(err)
	}
	fresh := one(w, 1, 20_000)
	w.ensure(fresh)
	w = w.reopen() // a mere crash loses nothing
	if !w.Has(old.Key) || !w.Has(fresh.Key) {
		t.Error("lost by a crash")
	}
	// The power goes: of the fresh one's files the names are there and the bytes are not.
	l, _ := w.Find(fresh.Key)
	data := w.at(l, "one/data")
	if err := errors.Join(os.Chmod(data, 0o600), os.Truncate(data, 0)); err != nil {
		t.Fatal(err)
	}
	reboot(2)
	w = w.reopen()
	if !w.Has(old.Key) || w.Has(fresh.Key) {
		t.Errorf("after a loss of power: synced %v, not synced %v", w.Has(old.Key), w.Has(fresh.Key))
	}
	w.whole()
	if got := w.read(w.ensure(fresh), "one/data"); len(got) != 20_000 {
		t.Errorf("%d bytes", len(got))
	}
	if err := w.sync(); err != nil {
		t.Fatal(err)
	}
	// Evicted, made again under the same name, and not synced: the old note does not count for it.
	if !w.evictSome(1<<30) || w.Has(fresh.Key) {
		t.Error("not evicted")
	}
	w.whole()
	w.ensure(fresh)
	reboot(3)
	w = w.reopen()
	if u := w.Usage(); u.Trees+u.Packages+u.Contents != 0 || u.Bytes != 0 {
		t.Errorf("believed: %+v", u)
	}
	w.whole()
	// Another key: all names are others, so nothing can be found any more, and it goes.
	w.ensure(old)
	if err := w.sync(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(w.dir + ".key"); err != nil {
		t.Fatal(err)
	}
	w = w.reopen()
	if u := w.Usage(); u.Trees+u.Packages+u.Contents != 0 {
		t.Errorf("under another key: %+v", u)
	}
	w.whole()
}

// A file with too many links is copied, and the copy is what the next ones link to.
func TestTooManyLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.a.add(t, hexOf("content a@1.0.0"), files{"empty": "", "index.js": "a"})
	w.ensure(treeOf("1", map[string]string{"a": "a@1.0.0"}, nil, pk("a@1.0.0", nil)))
	var empty string
	for i := range w.shards {
		for k, f := range w.shards[i].files {
			if f.size == 0 {
				empty = filepath.Join(w.dir, "files", k.path())
			}
		}
	}
	links := t.TempDir()
	n := 0
	for ; ; n++ {
		err := os.Link(empty, filepath.Join(links, fmt.Sprint(n)))
		if errors.Is(err, unix.EMLINK) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n == 70_000 {
			t.Skip("this file system has no small limit of links")
		}
	}
	before := inode(t, empty)
	var last Linked
	for _, context := range []string{"2", "3"} {
		p := pk("a@1.0.0", nil)
		p.Key = hexOf(context)
		tr := treeOf(context, nil, nil, p)
		tr.Direct["a"] = p.Key
		last = w.ensure(tr)
	}
	if after := inode(t, empty); os.SameFile(before, after) || !os.SameFile(after, inode(t, w.at(last, "a")+"/empty")) {
		t.Error("the copy is not shared")
	}
	w.whole()
}
