//go:build !race

package builder_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hearth/internal/module/builder"
)

// attack runs an install script and returns what it printed, its exit code, and how the build ended.
func attack(t *testing.T, patience time.Duration, script string) (s *builder.Sandbox, lines []string, code int, err error) {
	t.Helper()
	s = start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "registry") }))
	doc, err := json.Marshal(map[string]any{"name": "evil", "scripts": map[string]string{"install": "sh ./attack.sh"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Input(t.Context(), "evil", archive(t, map[string]string{"package.json": string(doc), "attack.sh": script})); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	code, err = s.Build(ctx, builder.BuildSpec{Name: "evil", Links: map[string]string{"dep": "/packages/p/dep/node_modules/dep"}}, func(line string) { lines = append(lines, line) })
	return s, lines, code, err
}

// afterwards closes the sandbox of an attack and shows that the next job is served as ever.
func afterwards(t *testing.T, s *builder.Sandbox) {
	t.Helper()
	begun := time.Now()
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Logf("closed in %s", time.Since(begun).Round(time.Millisecond))
	if _, err := shared.sandbox(s.ID).Stats(); err == nil {
		t.Error("the cgroup of the build is still there")
	}
	next := start(t, http.NotFoundHandler())
	code, lines, err := run(t, next, builder.BuildSpec{Name: "good"}, map[string]string{"package.json": `{"scripts": {"install": "echo fine"}}`})
	if err != nil || code != 0 || len(lines) != 1 || lines[0] != "fine" {
		t.Errorf("the next build: %d, %v, %q", code, err, lines)
	}
}

// patience is for attacks that never end by themselves.
const patience = 4 * time.Second

// Nothing of the host's environment or files and nothing of other jobs is inside, and nothing but the
// job's own can be written.
func TestScriptFindsNoSecrets(t *testing.T) {
	const canary = "canary-3c5f1e"
	t.Setenv("HEARTH_CANARY", canary)
	if lacking == "" {
		if err := os.WriteFile(filepath.Join(shared.dir, canary), []byte(canary), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, first, code, err := attack(t, time.Minute, "echo "+canary+" >/work/left; echo "+canary+" >/tmp/left; id -u; head -1 /proc/self/uid_map\n")
	if err != nil || code != 0 {
		t.Fatalf("first job: %d, %v, %q", code, err, first)
	}
	folderOf(t, "p/dep", map[string]string{"node_modules/dep/index.js": "x"})
	s, lines, _, err := attack(t, time.Minute, `
		env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\0' '\n'
		find / -xdev -name '*canary*' 2>/dev/null
		find /work /tmp /home /root /packages /fn /run /var /mnt -type f 2>/dev/null | head -100
		cat /work/left /tmp/left
		for f in /packages/p/dep/node_modules/dep ../dep /packages /packages/p /lib/node_modules/npm /usr/bin /hearth/shim / /fn; do
			if touch $f/x 2>/dev/null; then echo WROTE $f; fi
		done
		(echo y >>../dep/index.js) 2>/dev/null && echo WROTE dep
		cat ../dep/index.js; echo
		id -u; head -1 /proc/self/uid_map
	`)
	if err != nil {
		t.Fatal(err)
	}
	out := strings.Join(lines, "\n")
	if strings.Contains(out, canary) || strings.Contains(out, "HEARTH_CANARY") || strings.Contains(out, "WROTE") {
		t.Errorf("a script found or wrote what is not its:\n%s", out)
	}
	if len(first) != 2 || len(lines) < 3 || first[1] == lines[len(lines)-1] {
		t.Errorf("two builds have one range of uids: %q, %q", first, lines)
	}
	afterwards(t, s)
}

// Every address but the registry's, and every socket of the host's, is not there.
func TestScriptReachesTheRegistryOnly(t *testing.T) {
	s, lines, code, err := attack(t, time.Minute, `cat >try.js <<'END'
const net = require('net')
const all = ['127.0.0.1:4873', '127.0.0.1:80', '127.0.0.1:8080', '10.0.0.1:80', '169.254.169.254:80', '192.0.2.1:443', '::1:4873', '2001:db8::1:443']
let left = all.length + 1
const done = () => { if (--left === 0) process.exit() }
for (const a of all) {
	const at = a.lastIndexOf(':')
	const c = net.connect(+a.slice(at + 1), a.slice(0, at))
	c.on('connect', () => { console.log('REACHED', a); done() }).on('error', done)
	setTimeout(() => { c.destroy(new Error('silent')) }, 3000).unref()
}
require('dns').lookup('example.com', (err, a) => { if (!err) console.log('RESOLVED', a); done() })
END
node try.js`)
	if err != nil || code != 0 {
		t.Fatalf("%d, %v: %q", code, err, lines)
	}
	if out := strings.Join(lines, "\n"); out != "REACHED 127.0.0.1:4873" {
		t.Errorf("a script reaches:\n%s", out)
	}
	afterwards(t, s)
}

// What never ends, or takes all there is, is ended with its sandbox, and harms its own build only.
func TestEndlessScripts(t *testing.T) {
	for _, c := range []struct {
		name, script string
	}{
		{"forks", "f() { f | f & }; f; sleep 1000"},
		{"processor", "while :; do :; done"},
		{"memory", "node --max-old-space-size=8000 -e 'const a = []; for (;;) a.push(Buffer.alloc(1 << 24, 1))'"},
		{"disk", "dd if=/dev/zero of=/work/big bs=1M; exit 1"},
		{"files", "node -e 'for (let i = 0; ; i++) fs.closeSync(fs.openSync(\"/work/\" + i, \"w\"))'"},
		{"shared memory", "dd if=/dev/zero of=/dev/shm/big bs=1M; dd if=/dev/zero of=/tmp/big bs=1M; exit 1"},
		{"output", "yes '\x1b[2J line'"},
		{"one line", "cat /dev/zero"},
		{"its own end", "kill -9 -1"},
		{"stopped", "kill -STOP -1; sleep 1000"},
		{"the driver's streams", "for p in /proc/[0-9]*; do yes >$p/fd/1 & yes >$p/fd/2 & done; sleep 1000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, lines, code, err := attack(t, patience, c.script)
			size := 0
			for _, l := range lines {
				size += len(l)
				if strings.Contains(l, "\033") {
					t.Fatalf("an escape sequence came through: %q", l)
				}
			}
			if err == nil && code == 0 || size > 1<<20 {
				t.Errorf("exit code %d, %v, %d bytes of output", code, err, size)
			}
			if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, builder.ErrEnded) {
				t.Errorf("the build ended with %v", err)
			}
			t.Logf("exit code %d, %v, %d lines", code, err, len(lines))
			afterwards(t, s)
		})
	}
}

// When the answer comes, what the scripts started has ended, so nothing changes the result while it is
// read.
func TestNothingIsLeftRunning(t *testing.T) {
	s, lines, code, err := attack(t, time.Minute, `
		node -e "for (let i = 0; i < 20; i++) child_process.spawn('sh', ['-c', 'trap \"\" TERM HUP; while :; do date >>late; done'], { detached: true, stdio: 'ignore' }).unref()"
		while ! [ -s late ]; do sleep 0.1; done; echo done`)
	if err != nil || code != 0 || len(lines) == 0 || lines[len(lines)-1] != "done" {
		t.Fatalf("%d, %v: %q", code, err, lines)
	}
	first := contents(t, s)["./late"]
	if st, err := shared.sandbox(s.ID).Stats(); err != nil || st.Pids > 20 {
		t.Errorf("%d processes and threads are left, %v", st.Pids, err)
	}
	if second := contents(t, s)["./late"]; first == "" || second != first {
		t.Errorf("the result grows while it is read: %d, %d bytes", len(first), len(second))
	}
	afterwards(t, s)
}
