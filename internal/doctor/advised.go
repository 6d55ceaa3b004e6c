package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

func account(_ context.Context, h Host) Result {
	passwd, _ := text(h, "etc/passwd")
	for line := range strings.Lines(passwd) {
		fields := strings.Split(line, ":")
		if len(fields) < 3 || fields[0] != h.Config.User {
			continue
		}
		if fields[2] == "0" {
			return fail(h.Config.User+" is uid 0", "give --user an account without rights")
		}
		return pass(h.Config.User + ", uid " + fields[2])
	}
	// Not a warning: the fallback is documented and no less safe.
	return pass(fmt.Sprintf("no account %s, so uid 64646", h.Config.User))
}

// An instance takes about 8 descriptors of the node process and a connection two, so 65,536 are
// enough for thousands of both.
func openFiles(_ context.Context, h Host) Result {
	found := fmt.Sprintf("at most %d", h.NoFile)
	switch {
	case h.NoFile < 4096:
		return fail(found, "ulimit -Hn 1048576, or LimitNOFILE=1048576 in a systemd unit")
	case h.NoFile < 65536:
		return warn(found, "ulimit -Hn 1048576, or LimitNOFILE=1048576 in a systemd unit")
	}
	return pass(found)
}

// An idle Node.js process has 11 threads, each of which takes a pid.
func pids(_ context.Context, h Host) Result {
	n, ok := number(h, "proc/sys/kernel/pid_max")
	if ok && n < 65536 {
		return warn(fmt.Sprintf("at most %d", n), "sysctl -w kernel.pid_max=4194304")
	}
	if t, ok := number(h, "proc/sys/kernel/threads-max"); ok && t < 16384 {
		return warn(fmt.Sprintf("at most %d threads", t), "sysctl -w kernel.threads-max=131072")
	}
	return pass(fmt.Sprintf("at most %d", n))
}

func inotify(_ context.Context, h Host) Result {
	n, ok := number(h, "proc/sys/fs/inotify/max_user_instances")
	if ok && n < 64 {
		return warn(fmt.Sprintf("at most %d for a user", n), "sysctl -w fs.inotify.max_user_instances=128")
	}
	return pass(fmt.Sprintf("at most %d for a user", n))
}

func nftables(_ context.Context, h Host) Result {
	if path, err := h.Look("nft"); err == nil {
		return pass(path)
	}
	return warn("no nft", "apt-get install -y nftables: without it instances have no network")
}

func swap(_ context.Context, h Host) Result {
	list, _ := text(h, "proc/swaps")
	if lines := strings.Split(strings.TrimSpace(list), "\n"); len(lines) > 1 {
		return warn(fmt.Sprintf("%d in use", len(lines)-1), "swapoff -a and remove it from /etc/fstab: secrets in memory reach the disk, and one tenant slows down all")
	}
	return pass("off")
}

func pageMerging(_ context.Context, h Host) Result {
	if n, ok := number(h, "sys/kernel/mm/ksm/run"); ok && n == 1 {
		return warn("KSM is on", "echo 2 > /sys/kernel/mm/ksm/run: shared pages tell one tenant what another has in memory")
	}
	return pass("off")
}

func smt(_ context.Context, h Host) Result {
	if n, ok := number(h, "sys/devices/system/cpu/smt/active"); ok && n == 1 {
		return warn("on", "echo off > /sys/devices/system/cpu/smt/control, if hostile tenants share this machine: threads of one core can spy on each other")
	}
	return pass("off")
}

func cpuFlaws(_ context.Context, h Host) Result {
	const dir = "sys/devices/system/cpu/vulnerabilities"
	entries, err := fs.ReadDir(h.FS, dir)
	if err != nil {
		return warn("unknown", "use a kernel that lists them in /"+dir)
	}
	var open []string
	for _, e := range entries {
		if s, _ := text(h, dir+"/"+e.Name()); strings.HasPrefix(s, "Vulnerable") {
			open = append(open, e.Name())
		}
	}
	if len(open) > 0 {
		slices.Sort(open)
		return warn("not mitigated: "+strings.Join(open, ", "), "boot without mitigations=off, with current microcode: apt-get install -y intel-microcode amd64-microcode")
	}
	return pass(fmt.Sprintf("%d known, all mitigated", len(entries)))
}

func coreDumps(_ context.Context, h Host) Result {
	pattern, _ := text(h, "proc/sys/kernel/core_pattern")
	if pattern = strings.TrimSpace(pattern); strings.HasPrefix(pattern, "|") {
		return warn("go to "+strings.Fields(pattern[1:] + " ?")[0], "sysctl -w kernel.core_pattern=core: a tenant's crash starts this program as root, outside of the instance")
	}
	return pass("no program is started")
}

func kernelPointers(_ context.Context, h Host) Result {
	var fixes []string
	if n, ok := number(h, "proc/sys/kernel/kptr_restrict"); ok && n < 1 {
		fixes = append(fixes, "sysctl -w kernel.kptr_restrict=2")
	}
	if n, ok := number(h, "proc/sys/kernel/dmesg_restrict"); ok && n < 1 {
		fixes = append(fixes, "sysctl -w kernel.dmesg_restrict=1")
	}
	if len(fixes) > 0 {
		return warn("readable", strings.Join(fixes, "; "))
	}
	return pass("hidden")
}
