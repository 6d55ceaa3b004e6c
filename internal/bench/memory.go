package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
)

// shim is in the command line of every instance's Node.js.
const shim = "/hearth/shim/"

// privateMemory is what a process has for itself alone, in bytes; root may ask for every process.
func privateMemory(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	return parseRollup(data)
}

func parseRollup(data []byte) (total int64, err error) {
	found := false
	for line := range strings.Lines(string(data)) {
		name, rest, ok := strings.Cut(line, ":")
		if !ok || name != "Private_Clean" && name != "Private_Dirty" {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) != 2 || fields[1] != "kB" {
			return 0, fmt.Errorf("unknown unit in %q", line)
		}
		kib, err := strconv.ParseInt(fields[0], 10, 50)
		if err != nil {
			return 0, fmt.Errorf("unknown number in %q", line)
		}
		total += kib << 10
		found = true
	}
	if !found {
		return 0, errors.New("no private memory in smaps_rollup")
	}
	return total, nil
}

// instanceMemory is the private memory of every instance on this machine: Node.js and the init
// that is its parent.
func instanceMemory() ([]float64, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var list []float64
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !bytes.Contains(line, []byte(shim)) {
			continue
		}
		// The init was started with the same words; comm is no help, since Node.js renames its main thread.
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err != nil || path.Base(exe) != "node" {
			continue
		}
		n, err := privateMemory(pid)
		if err != nil {
			if errors.Is(err, os.ErrNotExist) {
				continue // it has just ended
			}
			return nil, err
		}
		if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
			if parent, err := privateMemory(parentOf(string(status))); err == nil {
				n += parent
			}
		}
		list = append(list, float64(n))
	}
	return list, nil
}

func parentOf(status string) int {
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, "PPid:"); ok {
			pid, _ := strconv.Atoi(strings.TrimSpace(v))
			return pid
		}
	}
	return 0
}

// available is MemAvailable in bytes, 0 if unknown.
func available() int64 {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 50)
			return kib << 10
		}
	}
	return 0
}
