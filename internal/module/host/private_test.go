package host

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"hearth/internal/module/plan"
)

// An instance sees the number of a file's inode and how many links it has. Neither may tell a tenant
// that another's private package has the same file.
func TestPrivateFilesHaveInodesOfTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := func(id, tenant string) *plan.Tree {
		w.a.add(t, hexOf("content "+id), files{"LICENSE": "MIT", "index.js": id})
		p := pk(id, nil)
		p.Tenant = tenant
		return treeOf(id, map[string]string{p.Name: id}, nil, p)
	}
	trees := []*plan.Tree{one("a@1.0.0", ""), one("b@1.0.0", ""), one("x@1.0.0", "t1"), one("y@1.0.0", "t1"), one("z@1.0.0", "t2")}
	check := func(when string) {
		t.Helper()
		var at []os.FileInfo
		for _, tr := range trees {
			l := w.ensure(tr)
			path, err := filepath.EvalSymlinks(w.at(l, tr.Packages[0].Name, "LICENSE"))
			if err != nil {
				t.Fatal(err)
			}
			at = append(at, inode(t, path))
		}
		for i := range at {
			for j := range at {
				same := trees[i].Packages[0].Tenant == trees[j].Packages[0].Tenant
				if os.SameFile(at[i], at[j]) != same {
					t.Errorf("%s: files of %q and %q: one inode %v", when, trees[i].Packages[0].Tenant, trees[j].Packages[0].Tenant, !same)
				}
			}
		}
		// Its own packages, and the name below files.
		for i, links := range []uint64{3, 3, 3, 3, 2} {
			if when != "opened again" {
				break // it was looked at before the last was made, or healed beside the old one
			}
			if got := at[i].Sys().(*syscall.Stat_t).Nlink; uint64(got) != links {
				t.Errorf("%s: %s has %d links, want %d", when, trees[i].Packages[0].Package, got, links)
			}
		}
		w.whole()
	}
	check("made")
	w = w.reopen()
	check("opened again")
	key := w.contents[hexOf("content z@1.0.0")].keys[0]
	if err := os.Remove(filepath.Join(w.dir, "files", key.path())); err != nil {
		t.Fatal(err)
	}
	if r, err := w.Verify(t.Context(), true); err != nil || len(r.Damaged) == 0 {
		t.Fatalf("Verify: %+v, %v", r, err)
	}
	check("healed")
}
