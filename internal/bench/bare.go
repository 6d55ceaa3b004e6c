package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// hello is the function, server the same program for bare Node.js, quick the program whose start is
// measured.
const (
	hello  = "module.exports = cb => cb(null, {hello: 'world'})\n"
	server = `require('http').createServer((req, res) => {
  res.setHeader('content-type', 'application/json')
  res.end(JSON.stringify({hello: 'world'}))
}).listen(+process.argv[2], '127.0.0.1')
`
	quick = "console.log(JSON.stringify({hello: 'world'}))\n"
)

// process is a program that bench started and ends.
type process struct {
	cmd  *exec.Cmd
	said *tail
	done chan struct{}
}

// start runs a program in a group of its own, so that all of it can be ended, and which the kernel
// ends should bench be killed.
func start(name string, args ...string) (*process, error) { return startWith(nil, name, args...) }

func startWith(env []string, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(name, args...), said: &tail{}, done: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends when the program has ended; stop waits for it
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	return p, nil
}

func (p *process) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(3 * time.Second):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
}

// tail keeps the first 4 KiB of what a program says. One goroutine of exec writes it, and it is
// read after the program has ended.
type tail struct{ bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	if room := 4<<10 - t.Len(); room > 0 {
		t.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

// listening waits until a server that was just started takes connections.
func (p *process) listening(ctx context.Context, addr string) error {
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			return c.Close()
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended at once: %s", filepath.Base(p.cmd.Path), bytes.TrimSpace(p.said.Bytes()))
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return errors.New("it does not listen after 10 s")
}

// freePort asks the kernel for a port; another program may take it before ours does, which then is
// an error of its start.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port //nolint:errcheck // it is TCP
	return port, l.Close()
}

// startNode runs the bare program on a free port.
func startNode(ctx context.Context, node, dir string) (*process, target, error) {
	port, err := freePort()
	if err != nil {
		return nil, target{}, err
	}
	file := filepath.Join(dir, "server.js")
	if err := os.WriteFile(file, []byte(server), 0o644); err != nil {
		return nil, target{}, err
	}
	p, err := start(node, file, strconv.Itoa(port))
	if err != nil {
		return nil, target{}, fmt.Errorf("start node: %w", err)
	}
	t := target{addr: "127.0.0.1:" + strconv.Itoa(port), host: "localhost", path: "/"}
	if err := p.listening(ctx, t.addr); err != nil {
		p.stop()
		return nil, target{}, fmt.Errorf("start node: %w", err)
	}
	return p, t, nil
}

// nginxConf is nginx as one would tune it for this: kept connections on both sides, no log, as many
// workers as processors.
const nginxConf = `daemon off;
pid %[1]s/nginx.pid;
error_log stderr crit;
worker_processes auto;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  upstream node { server %[2]s; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:%[3]d;
    location / { proxy_pass http://node; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }
  }
}
`

// startNginx runs nginx on a free port in front of a server.
func startNginx(ctx context.Context, nginx, dir string, behind target) (*process, target, error) {
	port, err := freePort()
	if err != nil {
		return nil, target{}, err
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, behind.addr, port), 0o644); err != nil {
		return nil, target{}, err
	}
	p, err := start(nginx, "-p", dir, "-e", "stderr", "-c", conf)
	if err != nil {
		return nil, target{}, fmt.Errorf("start nginx: %w", err)
	}
	t := target{addr: "127.0.0.1:" + strconv.Itoa(port), host: "localhost", path: "/"}
	if err := p.listening(ctx, t.addr); err != nil {
		p.stop()
		return nil, target{}, fmt.Errorf("start nginx: %w", err)
	}
	return p, t, nil
}

// runNode is the time from the start of `node hello.js` to its end.
func runNode(ctx context.Context, node, dir string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, node, filepath.Join(dir, "quick.js"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return 0, fmt.Errorf("node hello.js: %w: %.200s", err, out)
	}
	return took, nil
}
