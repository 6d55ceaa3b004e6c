package warden

import (
	"strings"
	"testing"

	"hearth/internal/warden/wire"
)

func TestCheckLimits(t *testing.T) {
	t.Parallel()
	instance := wire.Limits{MemoryMiB: 256, MilliCPUs: 1000, Pids: 128, TmpMiB: 64}
	build := wire.Limits{MemoryMiB: 4096, MilliCPUs: 4000, Pids: 1024, TmpMiB: 1024, WorkMiB: 2048}
	for _, c := range []struct {
		name   string
		limits wire.Limits
		build  bool
		change func(*wire.Limits)
		want   string
	}{
		{"instance", instance, false, nil, ""},
		{"build", build, true, nil, ""},
		{"no memory", instance, false, func(l *wire.Limits) { l.MemoryMiB = 0 }, "memory_mib"},
		{"negative", instance, false, func(l *wire.Limits) { l.Pids = -1 }, "pids"},
		{"work of an instance", instance, false, func(l *wire.Limits) { l.WorkMiB = 1 }, "work_mib"},
		{"instance with a build's bounds", instance, true, nil, "work_mib"},
		{"memory of a build", build, true, func(l *wire.Limits) { l.MemoryMiB++ }, "memory_mib"},
		{"processors of a build", build, true, func(l *wire.Limits) { l.MilliCPUs++ }, "milli_cpus"},
		{"processes of a build", build, true, func(l *wire.Limits) { l.Pids++ }, "pids"},
		{"files of a build", build, true, func(l *wire.Limits) { l.WorkMiB++ }, "work_mib"},
		{"no files of a build", build, true, func(l *wire.Limits) { l.WorkMiB = 0 }, "work_mib"},
	} {
		if c.change != nil {
			c.change(&c.limits)
		}
		got, err := checkLimits(c.limits, c.build)
		if c.want == "" && (err != nil || wire.Limits(got) != c.limits) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
