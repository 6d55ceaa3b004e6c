// Command probe stands for Node.js in the sandbox's tests: it answers questions about the instance
// that it runs in, one line a question, on the listener that it inherited as descriptor 3.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

var (
	kept    []io.Closer
	watched int
	ticks   atomic.Int64
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "ids" {
		fmt.Println(os.Getuid(), os.Geteuid(), os.Getgid(), os.Getegid())
		return
	}
	go func() {
		for {
			time.Sleep(time.Millisecond)
			ticks.Add(1)
		}
	}()
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
	case "flock": // and keep it
		f, err := os.Open(arg)
		if err != nil {
			return "error: " + err.Error()
		}
		kept = append(kept, f)
		return fmt.Sprint(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	case "watch": // for anything that happens to a file
		fd, err := unix.InotifyInit1(unix.IN_NONBLOCK)
		if err == nil {
			_, err = unix.InotifyAddWatch(fd, arg, unix.IN_ALL_EVENTS)
		}
		watched = fd
		return fmt.Sprint(err)
	case "events":
		n, err := unix.Read(watched, make([]byte, 4096))
		return fmt.Sprint(n > 0, ", ", err)
	case "owner":
		var st unix.Stat_t
		if err := unix.Stat(arg, &st); err != nil {
			return "error: " + err.Error()
		}
		return fmt.Sprint(st.Uid, " ", st.Gid)
	case "ids": // of another copy of this program
		out, err := exec.Command(arg, "ids").CombinedOutput()
		return fmt.Sprint(strings.TrimSpace(string(out)), ", ", err)
	case "map": // a file as a library is loaded
		f, err := os.Open(arg)
		if err != nil {
			return "error: " + err.Error()
		}
		defer f.Close()
		_, err = unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
		return fmt.Sprint(err)
	case "remove":
		return fmt.Sprint(os.Remove(arg))
	case "now": // counts by itself, so that a stop shows
		return fmt.Sprint(ticks.Load())
	case "connect":
		c, err := net.DialTimeout("tcp", arg, time.Second)
		if err != nil {
			return "error: " + err.Error()
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Second))
		text, err := bufio.NewReader(c).ReadString('\n')
		return fmt.Sprint(text, err)
	case "listen":
		l, err := net.Listen("tcp", arg)
		if err != nil {
			return "error: " + err.Error()
		}
		kept = append(kept, l)
		return "ok"
	case "exit":
		os.Exit(7)
	}
	return "error: unknown question"
}
