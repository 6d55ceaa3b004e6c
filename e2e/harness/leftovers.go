package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The numbers of internal/warden/claim.go, which is what the tests hold it to: a block is 1,024
// ranges of 65,536 uids, the first begins at 2³⁰.
const (
	claims    = "/run/hearth-claims"
	firstUID  = 1 << 30
	blockUIDs = 1024 << 16
)

// claimedBlock is the number of the block that a warden holds, -1 if it holds none.
func claimedBlock(warden int) int {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", warden))
	for _, fd := range fds {
		name, _ := os.Readlink(fd)
		if number, ok := strings.CutPrefix(name, claims+"/block-"); ok {
			if n, err := strconv.Atoi(number); err == nil {
				return n
			}
		}
	}
	return -1
}

// Block is the number of the block of host uids that the running hearth claimed.
func (n *Node) Block() int { return n.block }

// Leftovers lists what is there of a hearth that has ended: processes, mounts, cgroups, files.
func (n *Node) Leftovers() []string {
	var left []string
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		cmdline, err := os.ReadFile(p + "/cmdline")
		if err == nil && bytes.Contains(cmdline, []byte(n.DataDir)) {
			left = append(left, "process "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
		mounts, err := os.ReadFile(p + "/mountinfo") // processes may have mounts of their own
		if err == nil && bytes.Contains(mounts, []byte(n.DataDir)) {
			left = append(left, fmt.Sprintf("mount below %s in %s", n.DataDir, p))
		}
	}
	for _, pattern := range []string{"hearth.pid*", "node.pid*", "*.sock"} {
		files, _ := filepath.Glob(filepath.Join(n.RunDir, pattern))
		left = append(left, files...)
	}
	return append(left, n.leftInBlock()...)
}

// leftInBlock lists the processes and cgroups of the block, unless another hearth has it by now.
func (n *Node) leftInBlock() []string {
	if n.block < 0 {
		return nil
	}
	f, err := os.OpenFile(fmt.Sprintf("%s/block-%d", claims, n.block), os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	defer f.Close() // and with it the lock
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	left := Cgroups(n.block)
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		if uid := uidOf(p); uid/blockUIDs == firstUID/blockUIDs+n.block {
			left = append(left, fmt.Sprintf("process %s of uid %d", p, uid))
		}
	}
	return left
}

// Cgroups lists the cgroups of a block and below it, in every hierarchy.
func Cgroups(block int) []string {
	name := fmt.Sprintf("hearth-%d", block)
	var out []string
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		for _, below := range []string{name, name + "/*"} {
			found, _ := filepath.Glob(pattern + below)
			for _, f := range found {
				if st, err := os.Stat(f); err == nil && st.IsDir() {
					out = append(out, f)
				}
			}
		}
	}
	return out
}

// Instance is a running instance, as the host sees it.
type Instance struct {
	ID   string // of its cgroup
	Init int    // host pid of its pid 1
	Node int    // host pid of Node.js
	UID  int    // host uid of both
}

// Instances lists the instances that are up: a child of the warden (pid 1 in there) with a child.
func (n *Node) Instances() []Instance {
	var out []Instance
	node := n.NodePID()
	for _, pid := range children(n.WardenPID()) {
		inner := children(pid)
		cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if pid == node || len(inner) == 0 || err != nil {
			continue
		}
		i := Instance{Init: pid, Node: inner[0]}
		for line := range strings.Lines(string(cgroup)) {
			if _, id, ok := strings.Cut(line, fmt.Sprintf("/hearth-%d/", n.block)); ok {
				i.ID = strings.TrimSpace(id)
			}
		}
		if i.UID = uidOf(fmt.Sprintf("/proc/%d", i.Node)); i.ID == "" || i.UID < firstUID {
			continue // runc, which starts one
		}
		out = append(out, i)
	}
	return out
}

// uidOf is the real uid of a process, -1 if there is none. The owner of its folder would be root for
// one that cannot be dumped.
func uidOf(proc string) int {
	status, _ := os.ReadFile(proc + "/status")
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Uid:" {
			uid, _ := strconv.Atoi(f[1])
			return uid
		}
	}
	return -1
}
