// Command probe stands for Node.js in the sandbox's tests: it answers questions about the instance
// that it runs in, one line a question, on the listener that it inherited as descriptor 3.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "daemon" {
		time.Sleep(time.Hour)
	}
	l, err := net.FileListener(os.NewFile(3, "requests"))
	if err != nil {
		panic(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		go serve(c.(*net.UnixConn))
	}
}

func serve(c *net.UnixConn) {
	defer c.Close()
	in := bufio.NewScanner(c)
	for in.Scan() {
		word, arg, _ := strings.Cut(in.Text(), " ")
		answer := answer(c, word, arg)
		fmt.Fprintf(c, "%s\n", strings.ReplaceAll(strings.TrimSpace(answer), "\n", "|"))
	}
}

func answer(c *net.UnixConn, word, arg string) string {
	switch word {
	case "read":
		b, err := os.ReadFile(arg)
		if err != nil {
			return "error: " + err.Error()
		}
		return string(b)
	case "write":
		if err := os.WriteFile(arg, []byte("x"), 0o644); err != nil {
			return "error: " + err.Error()
		}
		return "ok"
	case "fds":
		var out []string
		entries, _ := os.ReadDir("/proc/self/fd")
		for _, e := range entries {
			to, err := os.Readlink("/proc/self/fd/" + e.Name())
			if err == nil {
				out = append(out, e.Name()+"="+to)
			}
		}
		slices.Sort(out)
		return strings.Join(out, "|")
	case "list":
		m, err := filepath.Glob(arg)
		if err != nil {
			return "error: " + err.Error()
		}
		return strings.Join(m, "|")
	case "env":
		return strings.Join(os.Environ(), "|")
	case "ioctl": // of the accepted connection, and of the listener
		rc, err := c.SyscallConn()
		if err != nil {
			return "error: " + err.Error()
		}
		var accepted error
		rc.Control(func(fd uintptr) { _, accepted = unix.IoctlGetInt(int(fd), unix.SIOCGSKNS) })
		_, listener := unix.IoctlGetInt(3, unix.SIOCGSKNS)
		return fmt.Sprint(accepted, ", ", listener)
	case "exec": // a program in /tmp
		self, err := os.ReadFile("/proc/self/exe")
		if err == nil {
			err = os.WriteFile("/tmp/probe", self, 0o755)
		}
		if err != nil {
			return "error: " + err.Error()
		}
		err = exec.Command("/tmp/probe", "daemon").Start()
		return fmt.Sprint(errors.Is(err, unix.EACCES))
	case "daemon":
		cmd := exec.Command("/proc/self/exe", "daemon")
		cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
		return fmt.Sprint(cmd.Start())
	case "mount":
		return fmt.Sprint(unix.Mount("x", "/tmp", "tmpfs", 0, ""), ", ", unix.Unshare(unix.CLONE_NEWUSER))
	case "size": // of a file system, in MiB
		var st unix.Statfs_t
		if err := unix.Statfs(arg, &st); err != nil {
			return "error: " + err.Error()
		}
		return fmt.Sprint(st.Blocks * uint64(st.Bsize) >> 20)
	case "eat": // memory, without end
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			all = append(all, b)
			if len(all) > 1<<20 {
				return "full"
			}
		}
	case "exit":
		os.Exit(7)
	}
	return "error: unknown question"
}
