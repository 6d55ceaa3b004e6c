package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const cgroupMount = "/sys/fs/cgroup"

// cgroupTree is the parent cgroup of all instances, on either version.
type cgroupTree struct {
	parent  string
	unified bool
	swap    bool // the kernel counts swap for a cgroup
}

func newCgroupTree(parent string) cgroupTree {
	t := cgroupTree{parent: parent, unified: cgroups.Mode() == cgroups.Unified}
	if t.unified {
		t.swap = true // runc leaves it out where the kernel has no memory.swap.max
	} else {
		_, err := os.Stat(cgroupMount + "/memory/memory.memsw.limit_in_bytes")
		t.swap = err == nil
	}
	return t
}

// counted are the v1 hierarchies that limits and stats are in.
func counted() ([]cgroup1.Subsystem, error) {
	all, err := cgroup1.Default()
	if err != nil {
		return nil, err
	}
	var some []cgroup1.Subsystem
	for _, s := range all {
		switch s.Name() {
		case cgroup1.Memory, cgroup1.Pids, cgroup1.Cpu, cgroup1.Cpuacct:
			some = append(some, s)
		}
	}
	return some, nil
}

func (t cgroupTree) load1(id string) (cgroup1.Cgroup, error) {
	return cgroup1.Load(cgroup1.StaticPath(path.Join(t.parent, id)), cgroup1.WithHierarchy(counted))
}

// update changes the limits of an instance.
func (t cgroupTree) update(id string, l Limits) error {
	limits := cgroupLimits(l, t.swap)
	if t.unified {
		m, err := cgroup2.Load(path.Join(t.parent, id))
		if err != nil {
			return err
		}
		return m.Update(cgroup2.ToResources(limits))
	}
	c, err := t.load1(id)
	if err != nil {
		return err
	}
	// Memory may never be above memory and swap together: so that goes up first. Where it has to come
	// down the kernel refuses this step, and the second, in the library's order, does both.
	if limits.Memory.Swap != nil {
		_ = c.Update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: limits.Memory.Swap}})
	}
	return c.Update(limits)
}

// setShares sets the weight of an instance, in v1's numbers; "" is all of them together.
func (t cgroupTree) setShares(id string, shares uint64) error {
	name, value := path.Join(cgroupMount, "cpu", t.parent, id, "cpu.shares"), shares
	if t.unified {
		// As the OCI runtimes convert: 2…262144 to 1…10000.
		name, value = path.Join(cgroupMount, t.parent, id, "cpu.weight"), 1+(shares-2)*9999/262142
	}
	return os.WriteFile(name, strconv.AppendUint(nil, value, 10), 0)
}

// stats reads what an instance uses.
func (t cgroupTree) stats(id string) (Stats, error) {
	if t.unified {
		m, err := cgroup2.Load(path.Join(t.parent, id))
		if err != nil {
			return Stats{}, err
		}
		st, err := m.Stat()
		if err != nil {
			return Stats{}, err
		}
		return Stats{MemoryBytes: int64(st.GetMemory().GetUsage()), PeakBytes: int64(st.GetMemory().GetMaxUsage()),
			CPUNanos: int64(st.GetCPU().GetUsageUsec()) * 1000, Pids: int(st.GetPids().GetCurrent()),
			OOMKills: int64(st.GetMemoryEvents().GetOomKill())}, nil
	}
	c, err := t.load1(id)
	if err != nil {
		return Stats{}, err
	}
	st, err := c.Stat(cgroup1.IgnoreNotExist)
	if err != nil {
		return Stats{}, err
	}
	return Stats{MemoryBytes: int64(st.GetMemory().GetUsage().GetUsage()), PeakBytes: int64(st.GetMemory().GetUsage().GetMax()),
		CPUNanos: int64(st.GetCPU().GetUsage().GetTotal()), Pids: int(st.GetPids().GetCurrent()),
		OOMKills: int64(st.GetMemoryOomControl().GetOomKill())}, nil
}

// remove deletes what the runtime left of an instance whose processes have ended: the cgroup and a
// folder with its state. The runtime's own delete does the same in a process of 10 ms, cannot do it
// for a container that failed half way, and with --force sleeps 100 ms.
func (m *Maker) remove(id string) error {
	if err := m.cgroups.removeBelow(id); err != nil {
		return err
	}
	if err := os.RemoveAll(path.Join(m.runtime.root, id)); err != nil {
		return fmt.Errorf("remove state of container: %w", err)
	}
	return nil
}

// removeAll ends every process below the parent and removes it, in every hierarchy. Only the owner
// of the parent's name may call it.
func (t cgroupTree) removeAll() error { return t.removeBelow("") }

func (t cgroupTree) removeBelow(id string) error {
	var roots []string
	if t.unified {
		roots = []string{cgroupMount}
	} else {
		entries, err := os.ReadDir(cgroupMount)
		if err != nil {
			return err
		}
		for _, e := range entries {
			roots = append(roots, path.Join(cgroupMount, e.Name()))
		}
	}
	var errs []error
	for _, root := range roots {
		errs = append(errs, removeCgroup(path.Join(root, t.parent, id)))
	}
	return errors.Join(errs...)
}

// cgroupPatience is how long processes that were killed may take to leave a cgroup.
const cgroupPatience = 10 * time.Second

// removeCgroup kills what is in dir and below, and removes the folders, deepest first.
func removeCgroup(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, p)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("list cgroup: %w", err)
	}
	deadline := time.Now().Add(cgroupPatience)
	for i := len(dirs) - 1; i >= 0; i-- {
		for {
			thaw(dirs[i])
			killAll(dirs[i])
			err := unix.Rmdir(dirs[i])
			if err == nil || errors.Is(err, unix.ENOENT) {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("remove cgroup %s: %w", dirs[i], err)
			}
			time.Sleep(time.Millisecond) // v1 has no event for an empty cgroup that works in every hierarchy
		}
	}
	return nil
}

// thaw lets frozen processes run into their SIGKILL (v1 keeps it from them).
func thaw(dir string) {
	if strings.HasPrefix(dir, cgroupMount+"/freezer/") {
		os.WriteFile(path.Join(dir, "freezer.state"), []byte("THAWED"), 0)
	}
}

func killAll(dir string) {
	if os.WriteFile(path.Join(dir, "cgroup.kill"), []byte("1"), 0) == nil { // Linux 5.14, v2 only
		return
	}
	procs, err := os.ReadFile(path.Join(dir, "cgroup.procs"))
	if err != nil {
		return
	}
	for _, line := range strings.Fields(string(procs)) {
		if pid, err := strconv.Atoi(line); err == nil && pid > 1 {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// RemoveCgroup ends whatever runs in the cgroup of a hearth that is dead, and removes it. Call it
// only while holding the claim on its name.
func RemoveCgroup(parent string) error { return newCgroupTree(parent).removeAll() }
