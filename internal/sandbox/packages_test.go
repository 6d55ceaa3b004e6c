package sandbox_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hearth/internal/sandbox"
)

// store makes a package store of the form that module/host keeps, and a Maker that shows it.
func store(t *testing.T) (string, *sandbox.Maker) {
	t.Helper()
	root, err := os.MkdirTemp(shared.dir, "store-")
	if err != nil {
		t.Fatal(err)
	}
	empty, err := os.MkdirTemp(shared.dir, "empty-")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []struct {
		name string
		mode os.FileMode
	}{{"", 0o711}, {"p", 0o711}, {"files", 0o700}, {"p/k1", 0o755}} {
		name := filepath.Join(root, dir.name)
		if err := os.MkdirAll(name, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, dir.mode); err != nil {
			t.Fatal(err)
		}
	}
	put(t, root, "p/k1/index.js", "one", 0o444)
	put(t, root, "files/f", "shared", 0o444)
	probe, err := os.ReadFile(filepath.Join(shared.rootfs, "bin/node"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, root, "p/k1/suid", string(probe), 0o555|os.ModeSetuid|os.ModeSetgid)
	return root, newMaker(t, func(c *sandbox.Config) { c.Packages, c.Empty = root, empty })
}

func put(t *testing.T, root, name, text string, mode os.FileMode) {
	t.Helper()
	full := filepath.Join(root, name)
	if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(full, mode); err != nil {
		t.Fatal(err)
	}
}

func mount(t *testing.T, s *sandbox.Sandbox) {
	t.Helper()
	begun := time.Now()
	if err := s.Mount(); err != nil {
		t.Fatal(err)
	}
	t.Logf("mounted in %s", time.Since(begun))
}

// The store appears in a running instance at Mount and not before, and can only be read there.
func TestPackagesAppearInARunningInstance(t *testing.T) {
	root, m := store(t)
	s := start(t, m, usual)
	const file = "/packages/p/k1/index.js"
	if got := ask(t, s, "read "+file); !strings.Contains(got, "no such file") {
		t.Fatalf("before Mount: %s", got)
	}
	mount(t, s)
	mount(t, s)
	for question, want := range map[string]string{
		"read " + file:             "one",
		"read /packages/files/f":   "error: open /packages/files/f: permission denied",
		"list /packages/*":         "", // 0711
		"list /packages/p/*":       "",
		"list /packages/p/k1/*.js": file,
		"write " + file:            "error: open " + file + ": read-only file system",
		"write /packages/p/k1/x":   "error: open /packages/p/k1/x: read-only file system",
		"remove " + file:           "remove " + file + ": read-only file system",
		"owner " + file:            "65534 65534",
		"map " + file:              "<nil>",                      // loading an addon is no more than that
		"ids /packages/p/k1/suid":  "1000 1000 1000 1000, <nil>", // runs, with nobody else's rights
		"mount":                    "operation not permitted, operation not permitted",
	} {
		if got := ask(t, s, question); got != want {
			t.Errorf("%s: %q, want %q", question, got, want)
		}
	}

	// What is published later, by a rename, is seen.
	if err := os.Mkdir(filepath.Join(root, "new"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, root, "new/index.js", "two", 0o444)
	if err := os.Rename(filepath.Join(root, "new"), filepath.Join(root, "p/k2")); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, s, "read /packages/p/k2/index.js"); got != "two" {
		t.Errorf("a package that was published later: %q", got)
	}
	mounts := ask(t, s, "read /proc/self/mountinfo")
	for line := range strings.SplitSeq(mounts, "|") {
		if strings.Contains(line, " /packages ") && strings.Contains(line, " shared:") {
			t.Errorf("a mount in the instance would leave it: %s", line)
		}
	}
}

// Two instances share the files and nothing else: neither can stop, or watch, the other.
func TestPackagesOfTwoInstancesAreApart(t *testing.T) {
	_, m := store(t)
	one, two := start(t, m, usual), start(t, m, usual)
	mount(t, one)
	mount(t, two)
	const file = "/packages/p/k1/index.js"
	for _, s := range []*sandbox.Sandbox{one, two} {
		if got := ask(t, s, "flock "+file); got != "<nil>" {
			t.Errorf("flock: %s", got)
		}
	}
	if got := ask(t, one, "flock "+file); !strings.Contains(got, "temporarily unavailable") {
		t.Errorf("a second lock in one instance: %s; so the two above prove nothing", got)
	}
	if got := ask(t, one, "watch "+file); got != "<nil>" {
		t.Fatalf("watch: %s", got)
	}
	ask(t, two, "read "+file)
	if got := ask(t, one, "events"); !strings.HasPrefix(got, "false") {
		t.Errorf("one instance sees the other read: %s", got)
	}
	ask(t, one, "read "+file)
	if got := ask(t, one, "events"); !strings.HasPrefix(got, "true") {
		t.Errorf("an instance does not see itself read: %s; so the watch above proves nothing", got)
	}
}

func TestPackagesAreNeededForAMount(t *testing.T) {
	s := start(t, newMaker(t, nil), usual)
	if err := s.Mount(); err == nil || !strings.Contains(err.Error(), "no package store") {
		t.Errorf("Mount: %v", err)
	}
	_, m := store(t)
	gone := start(t, m, usual)
	if err := gone.Destroy(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := gone.Mount(); err == nil {
		t.Error("mounted in an instance that is gone")
	}
}
