package doctor

import (
	"context"
	"io/fs"
	"sync"

	"hearth/internal/config"
)

// Status is what a check found.
type Status string

// The statuses: fail means that hearth serve does not work here, warn that it works worse or less
// safely than it could.
const (
	Pass Status = "pass"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Result is one row of the table.
type Result struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Found  string `json:"found"`         // what is there, in a few words
	Fix    string `json:"fix,omitempty"` // the exact way out; empty for a pass
}

// Host is everything that checks look at.
type Host struct {
	FS     fs.FS // the root of the file system: proc, sys, etc, var
	Config *config.Config
	UID    int
	Kernel string // as uname -r prints it
	Arch   string // as Go names it
	NoFile uint64 // hard limit of open files
	Exe    string // path of the hearth binary; the OCI runtime may lie beside it
	Look   func(program string) (path string, err error)
	Output func(ctx context.Context, program string, args ...string) (string, error)
	Free   func(path string) (bytes uint64, err error)               // for the folder, or the nearest above that exists
	Bind   func(address string) error                                // whether it can be listened on
	Reach  func(ctx context.Context) (url, source string, err error) // the npm registry
}

type check struct {
	name string
	run  func(context.Context, Host) Result
}

// checks are in the order of the table: what must be there, then what should be.
var checks = []check{
	{"root", root},
	{"architecture", architecture},
	{"kernel", kernel},
	{"cgroups", cgroups},
	{"user namespaces", userNamespaces},
	{"seccomp", seccomp},
	{"file systems", fileSystems},
	{"OCI runtime", ociRuntime},
	{"libraries", libraries},
	{"toolchain", toolchain},
	{"npm registry", registry},
	{"disk", disk},
	{"memory", memory},
	{"address", addresses},
	{"account", account},
	{"open files", openFiles},
	{"pids", pids},
	{"inotify", inotify},
	{"nftables", nftables},
	{"swap", swap},
	{"page merging", pageMerging},
	{"SMT", smt},
	{"CPU flaws", cpuFlaws},
	{"core dumps", coreDumps},
	{"kernel pointers", kernelPointers},
}

// Run makes all checks and returns their results in a fixed order.
func Run(ctx context.Context, h Host) []Result {
	results := make([]Result, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			results[i] = c.run(ctx, h)
			results[i].Check = c.name
		})
	}
	wg.Wait()
	return results
}

// Failed counts the checks that failed.
func Failed(results []Result) (n int) {
	for _, r := range results {
		if r.Status == Fail {
			n++
		}
	}
	return n
}

func pass(found string) Result      { return Result{Status: Pass, Found: found} }
func warn(found, fix string) Result { return Result{Status: Warn, Found: found, Fix: fix} }
func fail(found, fix string) Result { return Result{Status: Fail, Found: found, Fix: fix} }
