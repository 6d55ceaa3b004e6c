package sandbox_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"hearth/internal/sandbox"
)

// A build sandbox has a folder of its own to write in, may execute there, sees the package store from the
// start, and reaches one listener.
func TestBuildSandbox(t *testing.T) {
	_, m := store(t)
	l := usual
	l.WorkMiB = 16
	s, err := m.Start(t.Context(), sandbox.Image{Runtime: "probe", Rootfs: shared.rootfs, Build: true}, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Destroy(context.Background()); err != nil {
			t.Error(err)
		}
	})
	registry, err := net.FileListener(s.Files().Registry)
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	go func() { // ends when the listener is closed
		for {
			c, err := registry.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "registry\n")
			c.Close()
		}
	}()
	for question, want := range map[string]string{
		"write /work/x":                "ok",
		"write /x":                     "error: open /x: read-only file system",
		"write /packages/p/k1/x":       "error: open /packages/p/k1/x: read-only file system",
		"read /packages/p/k1/index.js": "one",
		"size /work":                   "16",
		"exec":                         "false", // not refused
		"env":                          "PATH=/bin:/usr/bin|HOME=/work/home",
		"mount":                        "operation not permitted, operation not permitted",
		"connect 127.0.0.1:4873":       "registry|<nil>",
		"connect 127.0.0.1:80":         "error: dial tcp 127.0.0.1:80: connect: connection refused",
		"connect 169.254.169.254:80":   "error: dial tcp 169.254.169.254:80: connect: network is unreachable",
		"connect 192.0.2.1:443":        "error: dial tcp 192.0.2.1:443: connect: network is unreachable",
		"connect [2001:db8::1]:443":    "error: dial tcp [2001:db8::1]:443: connect: network is unreachable",
		"listen 127.0.0.1:4873":        "error: listen tcp 127.0.0.1:4873: bind: address already in use",
		"listen 0.0.0.0:4873":          "error: listen tcp 0.0.0.0:4873: bind: address already in use",
	} {
		if got := ask(t, s, question); got != want {
			t.Errorf("%s: %q, want %q", question, got, want)
		}
	}
	if status := ask(t, s, "read /proc/self/status"); !strings.Contains(status, "CapEff:\t0000000000000000") || !strings.Contains(status, "Seccomp:\t2") {
		t.Errorf("a build has power: %s", status)
	}
	l.WorkMiB = 32
	if err := s.Limit(l); err == nil {
		t.Error("/work grew")
	}
}
