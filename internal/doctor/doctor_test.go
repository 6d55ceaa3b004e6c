package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"hearth/internal/config"
)

// good is a machine on which every check passes; a case changes one thing.
func good(t *testing.T) Host {
	t.Helper()
	l, err := config.Load(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var status strings.Builder
	for _, p := range slices.Concat(packages, tools) {
		status.WriteString("Package: " + p + "\nStatus: install ok installed\nVersion: 1\n\n")
	}
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"sys/fs/cgroup/cgroup.controllers":                  "cpuset cpu io memory pids\n",
		"proc/self/ns/user":                                 "",
		"proc/sys/user/max_user_namespaces":                 "95000\n",
		"proc/sys/kernel/seccomp/actions_avail":             "kill_process kill_thread trap errno user_notif trace log allow\n",
		"proc/filesystems":                                  "nodev\ttmpfs\nnodev\toverlay\n\text4\n",
		"proc/meminfo":                                      "MemTotal: 8000000 kB\nMemAvailable:    4000000 kB\n",
		"proc/sys/kernel/pid_max":                           "4194304\n",
		"proc/sys/kernel/threads-max":                       "190000\n",
		"proc/sys/fs/inotify/max_user_instances":            "128\n",
		"proc/swaps":                                        "Filename Type Size Used Priority\n",
		"proc/sys/kernel/core_pattern":                      "core\n",
		"proc/sys/kernel/kptr_restrict":                     "1\n",
		"proc/sys/kernel/dmesg_restrict":                    "1\n",
		"sys/kernel/mm/ksm/run":                             "0\n",
		"sys/devices/system/cpu/smt/active":                 "0\n",
		"sys/devices/system/cpu/vulnerabilities/spectre_v2": "Mitigation: Retpolines\n",
		"sys/devices/system/cpu/vulnerabilities/mds":        "Not affected\n",
		"etc/passwd":                                        "root:x:0:0::/root:/bin/sh\nhearth:x:998:998::/:/sbin/nologin\n",
		"var/lib/dpkg/status":                               status.String(),
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return Host{FS: files, Config: l.Config, Kernel: "6.12.48+deb13-amd64", Arch: "amd64", NoFile: 1 << 20, Exe: "/opt/hearth/bin/hearth",
		Look: func(p string) (string, error) {
			if p == "nft" {
				return "/usr/sbin/nft", nil
			}
			return "", exec.ErrNotFound
		},
		Output: func(_ context.Context, p string, _ ...string) (string, error) {
			if p == "/opt/hearth/bin/runc" {
				return "runc version 1.5.2\nspec: 1.3.0\n", nil
			}
			return "", fs.ErrNotExist
		},
		Free: func(string) (uint64, error) { return 50 << 30, nil },
		Bind: func(string) error { return nil },
		Reach: func(context.Context) (string, string, error) {
			return "https://npm.example.com/", "--npm-registry", nil
		}}
}

func put(h *Host, name, text string) { h.FS.(fstest.MapFS)[name] = &fstest.MapFile{Data: []byte(text)} }
func drop(h *Host, name string)      { delete(h.FS.(fstest.MapFS), name) }

func TestGoodMachinePassesAll(t *testing.T) {
	t.Parallel()
	for _, r := range Run(t.Context(), good(t)) {
		if r.Status != Pass || r.Found == "" || r.Fix != "" {
			t.Errorf("%+v", r)
		}
	}
}

func TestEachCheckFindsItsTrouble(t *testing.T) {
	t.Parallel()
	runc := func(v string) func(*Host) {
		return func(h *Host) {
			h.Output = func(context.Context, string, ...string) (string, error) { return "runc version " + v + "\n", nil }
		}
	}
	covered := map[string]bool{}
	for _, c := range []struct {
		check  string
		change func(*Host)
		want   Status
		found  string // part of what was found
		fix    string // part of the way out
	}{
		{"root", func(h *Host) { h.UID = 1000 }, Fail, "uid 1000", "as root"},
		{"architecture", func(h *Host) { h.Arch = "riscv64" }, Fail, "riscv64", "arm64"},
		{"kernel", func(h *Host) { h.Kernel = "5.10.0-30-amd64" }, Fail, "older than 5.12", "linux-image-amd64"},
		{"kernel", func(h *Host) { h.Kernel = "5.15.0" }, Warn, "5.15.0", "newer kernel"},
		{"kernel", func(h *Host) { h.Kernel = "mine" }, Warn, "mine", "5.12"},
		{"cgroups", func(h *Host) { put(h, "sys/fs/cgroup/cgroup.controllers", "cpuset cpu pids\n") }, Fail, "v2 without memory", "Delegate=yes"},
		{"cgroups", func(h *Host) { drop(h, "sys/fs/cgroup/cgroup.controllers") }, Fail, "no cgroup", "mount -t cgroup2"},
		{"cgroups", func(h *Host) {
			drop(h, "sys/fs/cgroup/cgroup.controllers")
			put(h, "proc/self/mountinfo", "30 24 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n31 24 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n")
		}, Fail, "v1 without memory", "cgroup_enable=memory"},
		{"cgroups", func(h *Host) {
			drop(h, "sys/fs/cgroup/cgroup.controllers")
			put(h, "proc/self/mountinfo", "1 0 0:1 / /a rw - cgroup cgroup rw,cpu,memory,pids\n")
		}, Warn, "v1 with", "unified"},
		{"user namespaces", func(h *Host) { put(h, "proc/sys/user/max_user_namespaces", "0\n") }, Fail, "off", "sysctl -w user.max_user_namespaces"},
		{"user namespaces", func(h *Host) { put(h, "proc/sys/user/max_user_namespaces", "100\n") }, Warn, "100", "sysctl"},
		{"user namespaces", func(h *Host) { drop(h, "proc/self/ns/user") }, Fail, "absent", "CONFIG_USER_NS"},
		{"seccomp", func(h *Host) { drop(h, "proc/sys/kernel/seccomp/actions_avail") }, Fail, "absent", "CONFIG_SECCOMP_FILTER"},
		{"seccomp", func(h *Host) { put(h, "proc/sys/kernel/seccomp/actions_avail", "trap errno allow") }, Fail, "kill_process", "5.12"},
		{"file systems", func(h *Host) { put(h, "proc/filesystems", "nodev\ttmpfs\n") }, Warn, "no overlay", "modprobe overlay"},
		{"file systems", func(h *Host) { put(h, "proc/filesystems", "ext4\n") }, Fail, "no tmpfs", "CONFIG_TMPFS"},
		{"OCI runtime", runc("1.1.5+ds1"), Fail, "CVE-", "make build"},
		{"OCI runtime", runc("1.2.7"), Fail, "CVE-", "make build"},
		{"OCI runtime", runc("1.3.2"), Fail, "CVE-", "make build"},
		{"OCI runtime", runc("1.4.0-rc.2"), Fail, "CVE-", "make build"},
		{"OCI runtime", func(h *Host) { runc("1.1.5")(h); h.Config.KnownBadRuntime = true }, Warn, "CVE-", "leave --allow-known-bad-runtime out"},
		{"OCI runtime", func(h *Host) {
			h.Output = func(context.Context, string, ...string) (string, error) { return "", errors.New("no") }
		}, Fail, "no runc", "make build"},
		{"OCI runtime", func(h *Host) {
			h.Output = func(context.Context, string, ...string) (string, error) { return "hello\n", nil }
		}, Fail, "does not tell", "make build"},
		{"OCI runtime", func(h *Host) {
			h.Config.Isolation = "crun"
			h.Look = func(string) (string, error) { return "/usr/bin/crun", nil }
			h.Output = func(_ context.Context, p string, _ ...string) (string, error) {
				if p != "/usr/bin/crun" {
					return "", fs.ErrNotExist
				}
				return "crun version 1.8.1\n", nil
			}
		}, Fail, "CVE-", "crun 1.28"},
		{"libraries", func(h *Host) {
			s, _ := text(*h, "var/lib/dpkg/status")
			put(h, "var/lib/dpkg/status", strings.Replace(s, "Package: libatomic1\nStatus: install ok installed", "Package: libatomic1\nStatus: deinstall ok config-files", 1))
		}, Fail, "without libatomic1", "apt-get install -y libatomic1"},
		{"libraries", func(h *Host) { drop(h, "var/lib/dpkg/status") }, Fail, "no dpkg", "Debian"},
		{"toolchain", func(h *Host) {
			s, _ := text(*h, "var/lib/dpkg/status")
			put(h, "var/lib/dpkg/status", strings.Replace(s, "Package: g++\nStatus: install ok installed", "Package: g++\nStatus: deinstall ok config-files", 1))
		}, Warn, "without g++", "apt-get install -y g++"},
		{"npm registry", func(h *Host) {
			h.Reach = func(context.Context) (string, string, error) {
				return "https://npm.example.com/", "npmrc", errors.New("connection refused")
			}
		}, Fail, "connection refused", "--npm-registry"},
		{"npm registry", func(h *Host) {
			h.Reach = func(context.Context) (string, string, error) { return "", "", errors.New("no registry is known") }
			put(h, "var/lib/hearth/images/node24-abc/rootfs", "")
		}, Warn, "no registry", "go on working"},
		{"disk", func(h *Host) { h.Free = func(string) (uint64, error) { return 100 << 20, nil } }, Fail, "100 MiB", "--data-dir"},
		{"disk", func(h *Host) { h.Free = func(string) (uint64, error) { return 1 << 30, nil } }, Warn, "1.0 GiB", "--data-dir"},
		{"disk", func(h *Host) { h.Free = func(string) (uint64, error) { return 0, fs.ErrPermission } }, Fail, "permission", "--data-dir"},
		{"memory", func(h *Host) { put(h, "proc/meminfo", "MemAvailable: 1000 kB\n") }, Warn, "0 MiB", "memory"},
		{"memory", func(h *Host) { drop(h, "proc/meminfo") }, Warn, "unknown", "/proc"},
		{"address", func(h *Host) { h.Bind = func(string) error { return errors.New("address already in use") } }, Fail, "127.0.0.1:8080: address already in use", "ss -ltnp"},
		{"address", func(h *Host) {
			h.Bind = func(string) error { return errors.New("in use") }
			put(h, "run/hearth/hearth.pid", "77\n")
			put(h, "proc/77/status", "")
		}, Pass, "pid 77", ""},
		{"address", func(h *Host) {
			h.Bind = func(string) error { return errors.New("in use") }
			put(h, "run/hearth/hearth.pid", "78\n")
		}, Fail, "in use", "ss"},
		{"account", func(h *Host) { put(h, "etc/passwd", "hearth:x:0:0::/:/bin/sh\n") }, Fail, "uid 0", "--user"},
		{"account", func(h *Host) { put(h, "etc/passwd", "root:x:0:0::/:/bin/sh\n") }, Pass, "64646", ""},
		{"open files", func(h *Host) { h.NoFile = 1024 }, Fail, "1024", "LimitNOFILE"},
		{"open files", func(h *Host) { h.NoFile = 20000 }, Warn, "20000", "LimitNOFILE"},
		{"pids", func(h *Host) { put(h, "proc/sys/kernel/pid_max", "32768\n") }, Warn, "32768", "kernel.pid_max"},
		{"pids", func(h *Host) { put(h, "proc/sys/kernel/threads-max", "9000\n") }, Warn, "9000 threads", "kernel.threads-max"},
		{"inotify", func(h *Host) { put(h, "proc/sys/fs/inotify/max_user_instances", "8\n") }, Warn, "8", "max_user_instances"},
		{"nftables", func(h *Host) { h.Look = func(string) (string, error) { return "", exec.ErrNotFound } }, Warn, "no nft", "apt-get install -y nftables"},
		{"swap", func(h *Host) { put(h, "proc/swaps", "Filename\n/dev/vda2 partition 1 0 -2\n") }, Warn, "1 in use", "swapoff -a"},
		{"page merging", func(h *Host) { put(h, "sys/kernel/mm/ksm/run", "1\n") }, Warn, "KSM", "/sys/kernel/mm/ksm/run"},
		{"SMT", func(h *Host) { put(h, "sys/devices/system/cpu/smt/active", "1\n") }, Warn, "on", "smt/control"},
		{"CPU flaws", func(h *Host) { put(h, "sys/devices/system/cpu/vulnerabilities/spec_store_bypass", "Vulnerable\n") }, Warn, "spec_store_bypass", "mitigations=off"},
		{"core dumps", func(h *Host) { put(h, "proc/sys/kernel/core_pattern", "|/usr/share/apport/apport %p\n") }, Warn, "/usr/share/apport/apport", "kernel.core_pattern=core"},
		{"core dumps", func(h *Host) { put(h, "proc/sys/kernel/core_pattern", "|\n") }, Warn, "?", "kernel.core_pattern=core"},
		{"kernel pointers", func(h *Host) { put(h, "proc/sys/kernel/dmesg_restrict", "0\n") }, Warn, "readable", "dmesg_restrict=1"},
	} {
		covered[c.check] = true
		h := good(t)
		c.change(&h)
		for _, r := range Run(t.Context(), h) {
			switch {
			case r.Check != c.check && r.Status != Pass:
				t.Errorf("%s: %s is %s too: %s", c.check, r.Check, r.Status, r.Found)
			case r.Check == c.check && (r.Status != c.want || !strings.Contains(r.Found, c.found) || !strings.Contains(r.Fix, c.fix)):
				t.Errorf("%s: got %+v, want %s, %q, %q", c.check, r, c.want, c.found, c.fix)
			case r.Check == c.check && r.Status != Pass && r.Fix == "":
				t.Errorf("%s: %s without a way out", c.check, r.Status)
			}
		}
	}
	for _, c := range checks {
		if !covered[c.name] {
			t.Errorf("no case for %s", c.name)
		}
	}
}

// An empty machine must give answers and no panic.
func TestEmptyMachine(t *testing.T) {
	t.Parallel()
	h := good(t)
	h.FS, h.Kernel, h.Exe = fstest.MapFS{}, "", ""
	if r := Run(t.Context(), h); Failed(r) == 0 {
		t.Errorf("nothing failed: %+v", r)
	}
}

// The real machine is looked at without a fault, whatever is found.
func TestThisHost(t *testing.T) {
	t.Parallel()
	h := ThisHost(good(t).Config)
	h.Reach = func(context.Context) (string, string, error) { return "", "", nil } // not every test machine has a way out
	for _, r := range Run(t.Context(), h) {
		if r.Status == "" || r.Found == "" {
			t.Errorf("%+v", r)
		}
		t.Logf("%-16s %s  %s", r.Check, r.Status, r.Found)
	}
}
