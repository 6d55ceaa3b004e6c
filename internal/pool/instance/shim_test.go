package instance_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hearth"
	"hearth/internal/pool/instance"
	"hearth/internal/warden/wire"
	"hearth/runtime/node/nodetest"
)

// The true shim in a true Node.js, without a container around it.
func TestTheShimSpeaksTheProtocol(t *testing.T) {
	t.Parallel()
	for _, runtime := range hearth.Runtimes[:1] {
		i := shim(t, runtime)
		if err := errors.Join(i.Exercise(t.Context()), i.ExerciseMore(t.Context())); err != nil {
			t.Fatal(err)
		}
		// The connection of the exercises waits for the first request.
		if c := i.Conns().Idle(); c == nil || !c.Reused() {
			t.Error("no connection is left of the exercise")
		} else {
			c.Break()
		}
		if err := errors.Join(i.Ping(t.Context()), i.Pool(), i.Assign("c")); err != nil {
			t.Fatal(err)
		}
		const typed = "const a: string = 'é'\nexport default a as string\n"
		if bare, err := i.Strip(t.Context(), []byte(typed)); err != nil || string(bare) != "const a         = 'é'\nexport default a          \n" {
			t.Errorf("stripped: %q, %v", bare, err)
		}
		if _, err := i.Strip(t.Context(), []byte("enum A { B }")); !errors.Is(err, instance.ErrNotStripped) {
			t.Errorf("an enum: %v, want ErrNotStripped", err)
		}
		long := bytes.Repeat([]byte("const a: string = 'text'\n"), int(hearth.LimitCodeBytes.Value/32))
		if bare, err := i.Strip(t.Context(), long); err != nil || len(bare) != len(long) {
			t.Errorf("the longest code: %d bytes, %v", len(bare), err)
		}
		for n, c := range []struct {
			code   string
			model  hearth.Model
			parsed bool
			reason string
		}{
			{code: "module.exports = (ctx, cb) => cb(null, 1)", model: hearth.ModelCallback, parsed: true},
			{code: "module.exports = (ctx, req, res) => res.end()", model: hearth.ModelCallback},
			{code: "module.exports = async ctx => 1", model: hearth.ModelPromise, parsed: true},
			{code: "module.exports = { fetch() {} }", model: hearth.ModelFetch},
			{code: "module.exports = 42", reason: "shape"},
			{code: "module.exports = (", reason: "syntax"},
			{code: "require('./absent')", reason: "load"},
		} {
			meta := instance.Meta{Tenant: "t", Container: "c", Function: "f", Version: n + 1, Runtime: runtime, Entry: "index.js", TimeoutMS: 1000}
			if err := i.Write("f", n+1, meta, []hearth.File{{Path: "index.js", Data: []byte(c.code)}}); err != nil {
				t.Fatal(err)
			}
			loaded, err := i.Load(t.Context(), "f", n+1)
			var refused *instance.LoadError
			switch {
			case c.reason != "" && (!errors.As(err, &refused) || refused.Reason != c.reason || refused.Message == ""):
				t.Errorf("%s: %v, want reason %s", c.code, err, c.reason)
			case c.reason == "" && (err != nil || loaded != hearth.Loaded{Model: c.model, Parsed: c.parsed}):
				t.Errorf("%s: %+v, %v; want %s, %v", c.code, loaded, err, c.model, c.parsed)
			}
		}
	}
}

// shim starts Node.js with the shim and two listening sockets.
func shim(t *testing.T, runtime string) *instance.Instance {
	t.Helper()
	binary := nodetest.Binary(t, runtime)
	main, err := filepath.Abs("../../../runtime/node/main.js")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "h")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	box := &wire.Sandbox{ID: strings.Repeat("0", 32), Runtime: runtime}
	var extra []*os.File
	open := func(path string, flags int) *os.File {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(fd), path)
	}
	listen := func(name string) *os.File {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name)})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		extra = append(extra, f)
		return open(filepath.Join(dir, name), unix.O_PATH)
	}
	box.Requests, box.Control = listen("r"), listen("c")
	if err := os.Mkdir(filepath.Join(dir, "fn"), 0o755); err != nil {
		t.Fatal(err)
	}
	box.Code = open(filepath.Join(dir, "fn"), unix.O_RDONLY|unix.O_DIRECTORY)
	cmd := exec.Command(binary, main, "--root", filepath.Join(dir, "fn"))
	cmd.ExtraFiles = extra
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wire.CloseAll(extra)
	i, err := instance.New(box)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		i.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return i
}
