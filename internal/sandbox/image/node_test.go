//go:build !race

// The race detector makes unpacking 127 MB take 40 s instead of 2; `make test` runs this one without.

package image

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hearth"
	"hearth/internal/module/registry"
)

// The image of this machine with the real binary, entered by chroot as the uid that functions have.
func TestNodeRunsInTheImage(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("chroot needs root")
	}
	s := Spec{Dir: t.TempDir(), Runtime: hearth.DefaultRuntime, Shim: shim, Init: []byte("init")}
	if err := os.Chmod(s.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := Pinned(s.Runtime, s.withDefaults().Arch)
	if err != nil {
		t.Fatal(err)
	}
	s.Package = download(t, p)
	img := build(t, s)
	for _, name := range []string{"bin/sh", "bin/bash", "usr/bin/env", "usr/bin/npm", "usr/bin/apt"} {
		if _, err := os.Stat(filepath.Join(img.Path, name)); err == nil {
			t.Errorf("the image has %s", name)
		}
	}
	const program = `
		const os = require('os'), fs = require('fs'), tls = require('tls')
		process.env.TZ = 'Europe/Berlin'
		const libs = fs.readdirSync('/usr/lib/' + fs.readdirSync('/lib').find(n => n.endsWith('-linux-gnu')))
		require('dns').lookup('localhost', (err, address) => console.log(JSON.stringify({
			version: process.version, user: os.userInfo().username, home: os.homedir(), address,
			hour: new Date(0).getHours(),
			certificates: fs.readFileSync('/etc/ssl/certs/ca-certificates.crt', 'latin1').split('BEGIN').length > 50,
			libs: ['librt.so.1', 'libutil.so.1', 'libresolv.so.2', 'libatomic.so.1', 'libstdc++.so.6'].filter(n => !libs.includes(n)),
		})))`
	cmd := exec.Command("/bin/node", "-e", program)
	cmd.Dir, cmd.Env = "/", []string{"HOME=/tmp"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: img.Path, Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run node: %v", err)
	}
	var got struct {
		Version, User, Home, Address string
		Hour                         int
		Certificates                 bool
		Libs                         []string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got.Version != "v"+p.Version || got.User != "fn" || got.Home != "/tmp" || got.Address == "" || got.Hour != 1 || !got.Certificates || len(got.Libs) > 0 {
		t.Errorf("node says %s", out)
	}
}

// The build image of this machine, entered the same way: its programs are all there and start.
func TestToolsRunInTheBuildImage(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("chroot needs root")
	}
	s := Spec{Dir: t.TempDir(), Runtime: hearth.DefaultRuntime, Build: true, Shim: shim, Init: []byte("init")}
	if err := os.Chmod(s.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	missing, err := Missing(s)
	if err != nil || len(missing) != 2 {
		t.Fatalf("Missing = %v, %v, want Node.js and npm", missing, err)
	}
	s.Package, s.Npm = download(t, missing[0]), download(t, missing[1])
	begun := time.Now()
	img := build(t, s)
	t.Logf("made in %s", time.Since(begun).Round(time.Millisecond))
	const script = `set -e
		node -p process.version; npm --version; npx --version; node-gyp --version; make --version | head -1; python3 -c 'import json, subprocess, multiprocessing, ctypes, ssl, sqlite3; print(json.dumps(1))'
		which cc c++ gcc g++ ld as ar pkg-config awk bash tar gzip xargs env | wc -l
		test -f $(g++ -print-file-name=libstdc++.a); test -f /usr/include/node/v8.h
		echo done`
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir, cmd.Env = "/", []string{"HOME=/nonexistent", "PATH=/bin:/usr/bin", "TMPDIR=/tmp"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: img.Path, Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "\n14\ndone\n") {
		t.Errorf("%v: %s", err, out)
	}
}

func download(t *testing.T, p Package) *os.File {
	t.Helper()
	r, err := registry.Detect(t.Context(), registry.Sources{})
	if err != nil {
		t.Skip("this machine names no npm registry: ", err)
	}
	defer r.Close()
	f := file(t, nil)
	if err := r.Fetch(t.Context(), p.Name, p.Version, p.Integrity, f, nil); err != nil {
		t.Fatal(err)
	}
	return f
}
