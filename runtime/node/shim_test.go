package node_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/runtime/node"
	"hearth/runtime/node/nodetest"
)

// shim is a running shim on temporary folders.
type shim struct {
	t      testing.TB
	root   string // stands for /fn
	cmd    *exec.Cmd
	http   *http.Client
	ctl    *http.Client
	socket string
	exited chan struct{}

	mu    sync.Mutex
	lines []line
	plain bytes.Buffer
}

// line is one log frame.
type line struct{ fd, function, version, request, level, text string }

type manifest map[string]any

// start runs the shim of a runtime. Functions are added with put.
func start(t testing.TB, runtime string) *shim {
	t.Helper()
	bin := nodetest.Binary(t, runtime)
	dir := t.TempDir()
	code := filepath.Join(dir, "shim")
	if err := os.CopyFS(code, node.Files); err != nil {
		t.Fatal(err)
	}
	s := &shim{t: t, root: filepath.Join(dir, "fn"), socket: filepath.Join(dir, "r"), exited: make(chan struct{})}
	if err := os.Mkdir(s.root, 0o755); err != nil {
		t.Fatal(err)
	}
	args := append(append([]string{}, node.Args...), filepath.Join(code, "main.js"), "--root", s.root)
	s.cmd = exec.Command(bin, args...)
	s.cmd.Env = append(append([]string{}, node.Env...), "LEAK=canary")
	s.cmd.Dir = "/"
	for _, name := range []string{"r", "c"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name)})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		defer l.Close()
		s.cmd.ExtraFiles = append(s.cmd.ExtraFiles, f)
	}
	var pipes sync.WaitGroup
	for i, set := range []func(io.Writer){func(w io.Writer) { s.cmd.Stdout = w }, func(w io.Writer) { s.cmd.Stderr = w }} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		set(w)
		defer w.Close()
		pipes.Go(func() { defer r.Close(); s.read(strconv.Itoa(i+1), r) })
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process, which Cleanup kills
		s.cmd.Wait()
		pipes.Wait()
		close(s.exited)
	}()
	s.http = client(filepath.Join(dir, "r"))
	s.ctl = client(filepath.Join(dir, "c"))
	t.Cleanup(func() {
		s.http.CloseIdleConnections()
		s.ctl.CloseIdleConnections()
		s.cmd.Process.Kill()
		<-s.exited
		if t.Failed() {
			for _, l := range s.logs() {
				t.Logf("%+v", l)
			}
			t.Logf("plain: %s", s.plain.String())
		}
	})
	return s
}

func client(path string) *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableCompression:  true,
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}
}

// read takes the frames of one pipe apart.
func (s *shim) read(fd string, r io.Reader) {
	br := bufio.NewReaderSize(r, 1<<20)
	for {
		head, err := br.ReadString('\n')
		if err != nil {
			return
		}
		parts := strings.Split(strings.TrimSuffix(head, "\n"), "\x1f")
		if !strings.HasPrefix(head, "\x1e") || len(parts) != 5 {
			s.mu.Lock()
			s.plain.WriteString(head)
			s.mu.Unlock()
			continue
		}
		n, _ := strconv.Atoi(parts[4])
		text := make([]byte, n+1)
		if _, err := io.ReadFull(br, text); err != nil {
			return
		}
		s.mu.Lock()
		s.lines = append(s.lines, line{fd, parts[0][1:], parts[1], parts[2], parts[3], string(text[:n])})
		s.mu.Unlock()
	}
}

func (s *shim) logs() []line {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]line{}, s.lines...)
}

// waitLog waits for a frame that fits.
func (s *shim) waitLog(fits func(line) bool) line {
	s.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		for _, l := range s.logs() {
			if fits(l) {
				return l
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("no such line among %d", len(s.logs()))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// put writes version 1 of a function whose entry is the first of the files (name, text, name, text …).
func (s *shim) put(function string, m manifest, files ...string) {
	s.t.Helper()
	s.putVersion(function, 1, m, files...)
}

func (s *shim) putVersion(function string, version int, m manifest, files ...string) {
	s.t.Helper()
	doc := manifest{"tenant": "t", "container": "c", "function": function, "version": version, "runtime": "node24",
		"entry": files[0], "timeout_ms": 30000, "config": map[string]any{"color": "red"}, "secrets": map[string]string{"KEY": "s3cret"}}
	for k, v := range m {
		doc[k] = v
	}
	data, err := json.Marshal(doc)
	if err != nil {
		s.t.Fatal(err)
	}
	dir := filepath.Join(s.root, function, strconv.Itoa(version))
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := os.WriteFile(dir+".json", data, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// answer is a response that was read whole.
type answer struct {
	*http.Response
	body string
}

// request makes a request as the host does.
func (s *shim) request(function, method, target string, body io.Reader, headers ...string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://example.test"+target, body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header["hearth-function"] = []string{function}
	r.Header["hearth-version"] = []string{"1"}
	r.Header["hearth-request-id"] = []string{"req-1"}
	r.Header["hearth-timeout-ms"] = []string{"30000"}
	r.Header["hearth-prefix"] = []string{"/run/t/c/" + function}
	for i := 0; i < len(headers); i += 2 {
		if strings.HasPrefix(headers[i], "hearth-") {
			r.Header[headers[i]] = []string{headers[i+1]}
		} else {
			r.Header.Add(headers[i], headers[i+1])
		}
	}
	return r
}

func (s *shim) do(r *http.Request) answer {
	s.t.Helper()
	res, err := s.http.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s %s: read body: %v", r.Method, r.URL, err)
	}
	return answer{res, string(body)}
}

func (s *shim) get(function, target string, headers ...string) answer {
	s.t.Helper()
	return s.do(s.request(function, "GET", target, nil, headers...))
}

func (s *shim) post(function, target, contentType, body string, headers ...string) answer {
	s.t.Helper()
	return s.do(s.request(function, "POST", target, strings.NewReader(body), append([]string{"Content-Type", contentType}, headers...)...))
}

// want checks status and body.
func (a answer) want(t testing.TB, status int, body string) {
	t.Helper()
	if a.StatusCode != status || a.body != body {
		t.Errorf("got %d %q, want %d %q", a.StatusCode, a.body, status, body)
	}
}

// wantProblem checks status, code and reason of a problem document.
func (a answer) wantProblem(t testing.TB, status int, code, reason string) {
	t.Helper()
	var p struct {
		Type, Title, Detail, Instance, Code, Component, Reason string
		Status                                                 int
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("got %d %q, which is no problem document: %v", a.StatusCode, a.body, err)
	}
	if a.StatusCode != status || p.Status != status || p.Code != code || p.Reason != reason || p.Instance != "req-1" ||
		a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %d %s, want %d %s %s", a.StatusCode, a.body, status, code, reason)
	}
}

// control makes a call on the control socket.
func (s *shim) control(method, path, body string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://shim"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := s.ctl.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{res, string(b)}
}

// exercise does what the host does while the instance is in the pool.
func (s *shim) exercise() {
	s.t.Helper()
	for _, part := range []string{"/exercise", "/exercise/second"} {
		s.exercisePart(part)
	}
}

func (s *shim) exercisePart(part string) {
	s.t.Helper()
	var calls []struct{ Version, Method, Path, Body, Type string }
	if err := json.Unmarshal([]byte(s.control("GET", part, "").body), &calls); err != nil {
		s.t.Fatal(err)
	}
	for _, c := range calls {
		var body io.Reader
		if c.Body != "" {
			body = strings.NewReader(c.Body)
		}
		a := s.do(s.request(".exercise", c.Method, c.Path, body, "hearth-version", c.Version, "Content-Type", c.Type))
		want := ""
		if c.Version == "failure" {
			want = "error"
		}
		if got := a.Header.Get("hearth-outcome"); got != want {
			s.t.Fatalf("exercise %+v: outcome %q: %s", c, got, a.body)
		}
	}
}

// runtimes runs f for each runtime, in parallel.
func runtimes(t *testing.T, f func(t *testing.T, s *shim)) {
	t.Parallel()
	for _, r := range []string{"node24", "node26"} {
		t.Run(r, func(t *testing.T) {
			t.Parallel()
			f(t, start(t, r))
		})
	}
}

func TestFilesAreAll(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"main.js", "exercise/callback.json", "exercise/callback/index.js"} {
		if _, err := fs.Stat(node.Files, name); err != nil {
			t.Error(err)
		}
	}
}

func TestExercise(t *testing.T) {
	runtimes(t, func(t *testing.T, s *shim) {
		s.exercise()
		if got := s.control("GET", "/ping", "").body; got != `{"loaded":[]}` {
			t.Errorf("after exercise: %s", got)
		}
	})
}

var _ = fmt.Sprint
