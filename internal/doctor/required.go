package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hearth/internal/sandbox"
)

func root(_ context.Context, h Host) Result {
	if h.UID != 0 {
		return fail(fmt.Sprintf("uid %d", h.UID), "run it as root: sudo hearth serve")
	}
	return pass("uid 0")
}

func architecture(_ context.Context, h Host) Result {
	if h.Arch != "amd64" && h.Arch != "arm64" {
		return fail(h.Arch, "use a machine with amd64 or arm64; there is no Node.js image for others")
	}
	return pass(h.Arch)
}

// The warden needs Linux 5.12 (mount_setattr); 6.1 is the oldest long-term kernel of a supported Debian.
func kernel(_ context.Context, h Host) Result {
	const fix = "install a newer kernel: apt-get install -y linux-image-" // + architecture
	v, ok := version(h.Kernel)
	switch {
	case !ok:
		return warn(h.Kernel, "this kernel's version cannot be read; Hearth needs Linux 5.12")
	case less(v, 5, 12):
		return fail(h.Kernel+", older than 5.12", fix+h.Arch+", then reboot")
	case less(v, 6, 1):
		return warn(h.Kernel+", no longer maintained by Debian", fix+h.Arch+", then reboot")
	}
	return pass(h.Kernel)
}

func version(s string) (v [2]int, ok bool) {
	parts := strings.SplitN(s, ".", 3)
	if len(parts) < 2 {
		return v, false
	}
	for i := range v {
		digits := parts[i]
		if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
			digits = digits[:end]
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

func less(v [2]int, major, minor int) bool {
	return v[0] < major || v[0] == major && v[1] < minor
}

var controllers = []string{"cpu", "memory", "pids"}

func cgroups(_ context.Context, h Host) Result {
	if have, ok := text(h, "sys/fs/cgroup/cgroup.controllers"); ok {
		if lost := missing(controllers, strings.Fields(have)); len(lost) > 0 {
			return fail("v2 without "+strings.Join(lost, ", "),
				"give hearth a cgroup with these controllers: in a systemd unit Delegate=yes, in a container --cgroupns=host or --privileged")
		}
		return pass("v2 with " + strings.Join(controllers, ", "))
	}
	mounts, _ := text(h, "proc/self/mountinfo")
	var have []string
	for line := range strings.Lines(mounts) {
		_, super, ok := strings.Cut(line, " - cgroup ")
		if !ok {
			continue
		}
		if options := strings.Fields(super); len(options) > 1 {
			have = append(have, strings.Split(options[len(options)-1], ",")...)
		}
	}
	switch lost := missing(controllers, have); {
	case len(lost) == len(controllers):
		return fail("no cgroup file system", "mount it: mount -t cgroup2 none /sys/fs/cgroup")
	case slices.Contains(lost, "memory"):
		return fail("v1 without memory", "boot with cgroup_enable=memory, or better with systemd.unified_cgroup_hierarchy=1")
	case len(lost) > 0:
		return fail("v1 without "+strings.Join(lost, ", "), "boot with systemd.unified_cgroup_hierarchy=1")
	}
	return warn("v1 with "+strings.Join(controllers, ", "),
		"boot with systemd.unified_cgroup_hierarchy=1: with v2 the kernel ends a whole instance that is out of memory")
}

func missing(want, have []string) (lost []string) {
	for _, w := range want {
		if !slices.Contains(have, w) {
			lost = append(lost, w)
		}
	}
	return lost
}

func userNamespaces(_ context.Context, h Host) Result {
	if _, err := fs.Stat(h.FS, "proc/self/ns/user"); err != nil {
		return fail("absent", "use a kernel with CONFIG_USER_NS")
	}
	n, ok := number(h, "proc/sys/user/max_user_namespaces")
	switch {
	case ok && n == 0:
		return fail("turned off", "sysctl -w user.max_user_namespaces=65536")
	case ok && n < 1024:
		return warn(fmt.Sprintf("at most %d", n), "sysctl -w user.max_user_namespaces=65536: every instance needs one")
	}
	return pass("on")
}

func seccomp(_ context.Context, h Host) Result {
	actions, ok := text(h, "proc/sys/kernel/seccomp/actions_avail")
	if !ok {
		return fail("absent", "use a kernel with CONFIG_SECCOMP_FILTER")
	}
	if lost := missing([]string{"kill_process", "errno", "allow"}, strings.Fields(actions)); len(lost) > 0 {
		return fail("without "+strings.Join(lost, ", "), "use Linux 5.12 or newer")
	}
	return pass("on")
}

func fileSystems(_ context.Context, h Host) Result {
	list, _ := text(h, "proc/filesystems")
	have := strings.Fields(list)
	if !slices.Contains(have, "tmpfs") {
		return fail("no tmpfs", "use a kernel with CONFIG_TMPFS")
	}
	if !slices.Contains(have, "overlay") {
		return warn("no overlay", "modprobe overlay: packages are shown to instances through it")
	}
	return pass("tmpfs, overlay")
}

func ociRuntime(ctx context.Context, h Host) Result {
	name := h.Config.Isolation
	install := "run make build, which makes a pinned bin/runc beside bin/hearth"
	if name == "crun" {
		install = "install crun 1.28 or newer into PATH"
	}
	path := filepath.Join(filepath.Dir(h.Exe), name)
	out, err := h.Output(ctx, path, "--version")
	if err != nil {
		if path, err = h.Look(name); err != nil {
			return fail("no "+name, install)
		}
		if out, err = h.Output(ctx, path, "--version"); err != nil {
			return fail(path+" does not run", install)
		}
	}
	v, ok := runtimeVersion(out)
	if !ok {
		return fail(path+" does not tell its version", install)
	}
	if hole := sandbox.KnownHole(name, v); hole != "" {
		found := fmt.Sprintf("%s %s has the hole %s", path, v, hole)
		if h.Config.KnownBadRuntime {
			return warn(found, install+", and leave --allow-known-bad-runtime out")
		}
		return fail(found, install)
	}
	return pass(path + " " + v)
}

// runtimeVersion finds the version in the first line: "runc version 1.3.6", "crun version 1.28".
func runtimeVersion(out string) (string, bool) {
	line, _, _ := strings.Cut(out, "\n")
	_, v, ok := strings.Cut(line, " version ")
	v = strings.TrimSpace(v)
	return v, ok && v != "" && len(v) < 64
}

// packages hold what the root file system of an instance is copied from.
var packages = []string{"libc6", "libgcc-s1", "libstdc++6", "libatomic1", "ca-certificates", "tzdata"}

func libraries(_ context.Context, h Host) Result {
	have, ok := installed(h)
	if !ok {
		return fail("no dpkg", "use Debian or Ubuntu: the image of instances is made from their libraries")
	}
	if lost := missing(packages, have); len(lost) > 0 {
		return fail("without "+strings.Join(lost, ", "), "apt-get install -y "+strings.Join(lost, " "))
	}
	return pass(strings.Join(packages, ", "))
}

// tools hold what packages of npm are resolved and built with, from a copy in an image of its own. Those
// that every Debian has are not looked for.
var tools = []string{"gcc", "g++", "make", "python3", "pkgconf"}

func toolchain(_ context.Context, h Host) Result {
	have, ok := installed(h)
	if !ok {
		return pass("no dpkg: see libraries")
	}
	if lost := missing(tools, have); len(lost) > 0 {
		return warn("without "+strings.Join(lost, ", "), "apt-get install -y "+strings.Join(lost, " ")+": without them functions cannot have dependencies")
	}
	return pass(strings.Join(tools, ", "))
}

// installed lists dpkg's packages; false means that there is no dpkg.
func installed(h Host) (have []string, ok bool) {
	status, ok := text(h, "var/lib/dpkg/status")
	for paragraph := range strings.SplitSeq(status, "\n\n") {
		name, whole := "", false
		for line := range strings.Lines(paragraph) {
			if v, ok := strings.CutPrefix(line, "Package: "); ok {
				name = strings.TrimSpace(v)
			}
			if v, ok := strings.CutPrefix(line, "Status: "); ok {
				whole = strings.HasSuffix(strings.TrimSpace(v), " installed")
			}
		}
		if whole {
			have = append(have, name)
		}
	}
	return have, ok
}

func registry(ctx context.Context, h Host) Result {
	url, source, err := h.Reach(ctx)
	if err == nil {
		return pass(fmt.Sprintf("%s, named by %s", url, source))
	}
	found := fmt.Sprintf("%s: %v", url, err)
	if url == "" {
		found = err.Error()
	}
	const fix = "name a registry that this machine can reach: --npm-registry URL, or registry=URL in /root/.npmrc"
	if images, err := fs.ReadDir(h.FS, rel(h.Config.DataDir)+"/images"); err == nil && len(images) > 0 {
		return warn(found, fix+"; the images that are there already go on working")
	}
	return fail(found, fix)
}

// rel makes an absolute path one of an fs.FS.
func rel(p string) string {
	if p = strings.Trim(filepath.ToSlash(p), "/"); p == "" {
		return "."
	}
	return p
}

// The image of one runtime takes about 150 MiB while it is made.
const (
	diskLeast = 512 << 20
	diskGood  = 2 << 30
)

func disk(_ context.Context, h Host) Result {
	free, err := h.Free(h.Config.DataDir)
	if err != nil {
		return fail(fmt.Sprintf("%s: %v", h.Config.DataDir, err), "give --data-dir a folder on a local disk")
	}
	found := fmt.Sprintf("%s free at %s", size(free), h.Config.DataDir)
	fix := "make room, or give --data-dir a folder on a larger disk"
	switch {
	case free < diskLeast:
		return fail(found, fix)
	case free < diskGood:
		return warn(found, fix)
	}
	return pass(found)
}

// An idle instance has some 10 MiB of its own; below this the pool and one busy instance do not fit.
const memoryLeast = 512 << 20

func memory(_ context.Context, h Host) Result {
	info, ok := text(h, "proc/meminfo")
	if !ok {
		return warn("unknown", "mount /proc")
	}
	for line := range strings.Lines(info) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "MemAvailable:" {
			continue
		}
		kib, err := strconv.ParseUint(fields[1], 10, 54)
		if err != nil {
			break
		}
		found := size(kib<<10) + " available"
		if kib<<10 < memoryLeast {
			return warn(found, "stop something else, or give the machine more memory")
		}
		return pass(found)
	}
	return warn("unknown", "use Linux 5.12 or newer")
}

func addresses(_ context.Context, h Host) Result {
	if pid, ok := text(h, rel(h.Config.RunDir)+"/hearth.pid"); ok {
		pid = strings.TrimSpace(pid)
		if _, err := strconv.Atoi(pid); err == nil {
			if _, err := fs.Stat(h.FS, "proc/"+pid); err == nil {
				return pass("served by the hearth that runs, pid " + pid)
			}
		}
	}
	list := []string{h.Config.Listen}
	if h.Config.AdminListen != "" {
		list = append(list, h.Config.AdminListen)
	}
	for _, a := range list {
		if err := h.Bind(a); err != nil {
			return fail(fmt.Sprintf("%s: %v", a, err), "end what listens there (ss -ltnp), or give another --listen or --admin-listen")
		}
	}
	return pass(strings.Join(list, ", ") + " free")
}

func size(n uint64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// text reads a small file; /proc and /sys give no size, so the bound is the reader's business: the
// largest here is dpkg's status, some MiB.
func text(h Host, name string) (string, bool) {
	data, err := fs.ReadFile(h.FS, name)
	return string(data), err == nil
}

func number(h Host, name string) (int64, bool) {
	s, ok := text(h, name)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	return n, err == nil
}
