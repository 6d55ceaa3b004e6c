// Package harness starts real hearths for the end-to-end tests: bin/hearth serve, with its own data
// and run directories, on a free port. Nothing that ships imports it.
package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

	"golang.org/x/sys/unix"
)

// Binary is the program under test, built by make build.
func Binary(t testing.TB) string {
	t.Helper()
	name, err := filepath.Abs("../bin/hearth") // from e2e
	if err == nil {
		_, err = os.Stat(name)
	}
	if errors.Is(err, fs.ErrNotExist) { // from a folder in e2e
		name = filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(name))), "bin", "hearth")
		_, err = os.Stat(name)
	}
	if err != nil {
		t.Fatalf("no program to test: run make build: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Fatal("the end-to-end tests need root, as hearth serve does")
	}
	return name
}

// Node is a running hearth.
type Node struct {
	URL     string
	Token   string
	DataDir string
	RunDir  string
	Flags   []string

	t       testing.TB
	program string
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the process of now has ended
	err     error         // its end; valid after exited
	block   int           // of host uids and cgroups that the process of now claimed; -1 when unknown
	log     *tail
	http    *http.Client
}

// Start starts a hearth with the flags and waits until it is ready. It is stopped with the test, and
// the test fails if anything of it is left.
func Start(t testing.TB, flags ...string) *Node {
	t.Helper()
	n := New(t, flags...)
	n.Start()
	n.WaitReady()
	return n
}

// New prepares a hearth without starting it.
func New(t testing.TB, flags ...string) *Node {
	t.Helper()
	dir, err := os.MkdirTemp("", "hearth-e2e-") // mode 0700, as a clone below /root would be
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{t: t, program: Binary(t), block: -1, DataDir: filepath.Join(dir, "data"), RunDir: filepath.Join(dir, "run"),
		Flags: flags, log: &tail{}, http: NewHTTPClient()}
	address := freeAddress(t)
	n.URL = "http://" + address
	n.Flags = append([]string{"--listen", address, "--data-dir", n.DataDir, "--run-dir", n.RunDir}, flags...)
	borrowImages(t, n.DataDir)
	t.Cleanup(func() {
		n.Stop()
		n.checkNothingLeft()
		if t.Failed() {
			t.Logf("the end of the log of hearth:\n%s", n.log)
		}
		n.http.CloseIdleConnections()
		lendImages(t, n.DataDir)
		os.RemoveAll(dir)
	})
	return n
}

// NewHTTPClient makes a client that follows no redirect and keeps many connections.
func NewHTTPClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// freeAddress finds a port that is free now; nobody else on the machine asks for ports in a hurry.
func freeAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Start starts the process. Use Start or WaitReady to wait for it.
func (n *Node) Start() {
	n.t.Helper()
	n.cmd = exec.Command(n.program, append([]string{"serve"}, n.Flags...)...)
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	n.block = -1
	n.exited = make(chan struct{})
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	cmd, exited := n.cmd, n.exited
	go func() { // ends with the process, which Stop waits for
		n.err = cmd.Wait()
		close(exited)
	}()
}

// WaitReady waits until the pool is warm. The first start on a machine makes the images.
func (n *Node) WaitReady() {
	n.t.Helper()
	deadline := time.After(5 * time.Minute)
	for {
		if resp, err := n.http.Get(n.URL + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		select {
		case <-n.exited:
			n.t.Fatalf("hearth ended: %v\n%s", n.err, n.log)
		case <-deadline:
			n.t.Fatalf("hearth is not ready\n%s", n.log)
		case <-time.After(20 * time.Millisecond):
		}
	}
	n.block = claimedBlock(n.WardenPID())
	token, err := os.ReadFile(filepath.Join(n.DataDir, "admin.token"))
	if err != nil {
		n.t.Fatal(err)
	}
	n.Token = strings.TrimSpace(string(token))
}

// Stop ends the process in order, and waits.
func (n *Node) Stop() {
	if n.cmd == nil {
		return
	}
	n.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-n.exited:
		if n.err != nil {
			n.t.Errorf("hearth ended with %v after SIGTERM", n.err)
		}
	case <-time.After(time.Minute):
		n.t.Errorf("hearth did not end within a minute of SIGTERM")
		n.cmd.Process.Kill()
		<-n.exited
	}
	n.cmd = nil
}

// Kill ends the warden as a crash would, and waits for its end.
func (n *Node) Kill() {
	n.cmd.Process.Kill()
	<-n.exited
	n.cmd = nil
}

// Exited is closed when the process has ended.
func (n *Node) Exited() <-chan struct{} { return n.exited }

// WardenPID is the process that Start started.
func (n *Node) WardenPID() int { return n.cmd.Process.Pid }

// NodePID is the unprivileged process, 0 while there is none.
func (n *Node) NodePID() int {
	text, err := os.ReadFile(filepath.Join(n.RunDir, "node.pid"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// Log is what hearth printed, the last MiB of it.
func (n *Node) Log() string { return n.log.String() }

// Answer is an HTTP answer with its body read.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Err    error
}

// Text is the body as a string.
func (a Answer) Text() string { return string(a.Body) }

// JSON decodes the body, or gives nil.
func (a Answer) JSON() map[string]any {
	var v map[string]any
	if json.Unmarshal(a.Body, &v) != nil {
		return nil
	}
	return v
}

// Do sends a request to path with the header's pairs, and reads the answer.
func (n *Node) Do(ctx context.Context, method, path string, body []byte, header ...string) Answer {
	req, err := http.NewRequestWithContext(ctx, method, n.URL+path, bytes.NewReader(body))
	if err != nil {
		return Answer{Err: err}
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := n.http.Do(req)
	if err != nil {
		return Answer{Err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: b, Err: err}
}

// API calls the management API with the admin token; body is encoded as JSON unless it is nil.
func (n *Node) API(method, path string, body any, header ...string) Answer {
	n.t.Helper()
	var encoded []byte
	header = append([]string{"Authorization", "Bearer " + n.Token}, header...)
	if body != nil {
		var err error
		if encoded, err = json.Marshal(body); err != nil {
			n.t.Fatal(err)
		}
		header = append([]string{"Content-Type", "application/json"}, header...)
	}
	return n.Do(context.Background(), method, path, encoded, header...)
}

// M is a JSON object.
type M = map[string]any

// Container makes a tenant and a container with the limits (nil: the defaults).
func (n *Node) Container(tenant, container string, limits M) {
	n.t.Helper()
	for path, body := range map[string]M{"/v1/tenants/" + tenant: {}} {
		if a := n.API("PUT", path, body); a.Status != 201 && a.Status != 200 {
			n.t.Fatalf("make tenant %s: %d %v %s", tenant, a.Status, a.Err, a.Body)
		}
	}
	body := M{}
	if limits != nil {
		body["limits"] = limits
	}
	if a := n.API("PUT", "/v1/tenants/"+tenant+"/containers/"+container, body); a.Status != 201 && a.Status != 200 {
		n.t.Fatalf("make container %s: %d %v %s", container, a.Status, a.Err, a.Body)
	}
}

// FunctionPath is where the API has a function.
func FunctionPath(tenant, container, function string) string {
	return "/v1/tenants/" + tenant + "/containers/" + container + "/functions/" + function
}

// Put puts a function and waits until it is ready or failed.
func (n *Node) Put(tenant, container, function string, body M) Answer {
	n.t.Helper()
	return n.API("PUT", FunctionPath(tenant, container, function)+"?wait=60s", body)
}

// Deploy makes tenant and container, puts a function of one file and fails the test unless it is ready.
func (n *Node) Deploy(tenant, container, function, code string) {
	n.t.Helper()
	n.DeployBody(tenant, container, function, M{"code": code})
}

// DeployBody is Deploy with the whole document.
func (n *Node) DeployBody(tenant, container, function string, body M) {
	n.t.Helper()
	n.Container(tenant, container, nil)
	if a := n.Put(tenant, container, function, body); a.JSON()["status"] != "ready" {
		n.t.Fatalf("deploy %s/%s/%s: %d %v %s", tenant, container, function, a.Status, a.Err, a.Body)
	}
}

// Call calls a function with GET.
func (n *Node) Call(tenant, container, function string) Answer {
	return n.Do(context.Background(), "GET", "/run/"+tenant+"/"+container+"/"+function, nil)
}

// WaitFor polls until ok, and fails the test after the patience.
func WaitFor(t testing.TB, what string, patience time.Duration, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("after %s still not: %s", patience, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Program makes the node run another copy of hearth, which Start has not started yet.
func (n *Node) Program(name string) { n.program = name }

// checkNothingLeft fails the test if anything of this hearth is still there.
func (n *Node) checkNothingLeft() {
	var left []string
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left = n.Leftovers()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			n.t.Errorf("left behind: %s", strings.Join(left, "; "))
			return
		}
	}
}

// Began is when a process was started, in the kernel's words; "" if there is no such process or it
// has ended.
func Began(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// images is where the tests keep made images from run to run: making one downloads 50 MB.
func images() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "hearth-test", "images"), nil
}

// borrowImages fills a new data directory with the images of an earlier test, if there are any. The
// hearth under test checks them as it would its own.
func borrowImages(t testing.TB, dataDir string) {
	from, err := images()
	if err != nil {
		return
	}
	if _, err := os.Stat(from); err != nil {
		return
	}
	if err := os.MkdirAll(dataDir, 0o711); err != nil {
		t.Fatal(err)
	}
	copyTree(t, from, filepath.Join(dataDir, "images"))
}

var lending sync.Mutex

// lendImages keeps the images of this hearth for later tests.
func lendImages(t testing.TB, dataDir string) {
	lending.Lock()
	defer lending.Unlock()
	to, err := images()
	if err != nil {
		return
	}
	have, _ := filepath.Glob(filepath.Join(to, "*.json"))
	made, _ := filepath.Glob(filepath.Join(dataDir, "images", "*.json"))
	if len(made) <= len(have) && sameFiles(have, made) {
		return
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Log(err)
		return
	}
	whole := fmt.Sprintf("%s-%d", to, os.Getpid()) // others may borrow meanwhile
	copyTree(t, filepath.Join(dataDir, "images"), whole)
	os.RemoveAll(to)
	if err := os.Rename(whole, to); err != nil { // another test lent its own
		os.RemoveAll(whole)
	}
}

func sameFiles(a, b []string) bool {
	for i := range b {
		if i >= len(a) {
			return false
		}
		x, errx := os.ReadFile(a[i])
		y, erry := os.ReadFile(b[i])
		if errx != nil || erry != nil || !bytes.Equal(x, y) {
			return false
		}
	}
	return true
}

// copyTree copies with hard links where the file system allows it, so that all tests run one inode.
func copyTree(t testing.TB, from, to string) {
	for _, args := range [][]string{{"-al"}, {"-a"}} {
		out, err := exec.Command("cp", append(args, from, to)...).CombinedOutput()
		if err == nil {
			return
		}
		os.RemoveAll(to)
		t.Logf("copy images: %s", out)
	}
}

// tail keeps the last MiB of what was written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 1 << 20

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if len(l.buf) > 2*tailBytes {
		l.buf = append([]byte(nil), l.buf[len(l.buf)-tailBytes:]...)
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf[max(0, len(l.buf)-tailBytes):])
}

// InstancePIDs lists the Node.js processes of this hearth's instances: the grandchildren of its
// warden (warden, init, node).
func (n *Node) InstancePIDs() []int {
	var pids []int
	for _, init := range children(n.WardenPID()) {
		if init == n.NodePID() {
			continue
		}
		pids = append(pids, children(init)...)
	}
	return pids
}

func children(pid int) []int {
	var out []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		text, _ := os.ReadFile(t)
		for _, f := range strings.Fields(string(text)) {
			if p, err := strconv.Atoi(f); err == nil {
				out = append(out, p)
			}
		}
	}
	return out
}
