package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gocloud.dev/secrets/localsecrets"

	"hearth"
	"hearth/internal/store"
	"hearth/internal/store/storetest"
)

// With this variable the test binary makes one of each write in that directory, and says so.
const syncDir = "HEARTH_STORE_SYNC_DIR"

func syncChild(dir string) {
	ctx := context.Background()
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	s, err := store.Open(ctx, store.Config{Database: "sqlite:" + filepath.Join(dir, "hearth.db"), Blobs: "file:" + filepath.Join(dir, "blobs"),
		Keeper: localsecrets.NewKeeper([32]byte{1, 2, 3}), Log: slog.New(slog.DiscardHandler)})
	fail(err)
	ack := func(what string, err error) {
		fail(err)
		os.Stdout.WriteString("acked " + what + "\n")
	}
	_, _, err = s.PutTenant(ctx, hearth.Tenant{Name: "acme"}, store.Precondition{})
	ack("tenant", err)
	_, _, err = s.PutContainer(ctx, "acme", hearth.Container{Name: "main"}, store.Precondition{})
	ack("container", err)
	_, _, err = s.PutFunction(ctx, storetest.Document("hello", "1"))
	ack("function", err)
	ack("version", s.Settle(ctx, hearth.Version{Tenant: "acme", Container: "main", Function: "hello", Number: 1, Status: hearth.StatusReady}))
	_, _, err = s.PutSecret(ctx, "acme", "main", "hello", "A", "x")
	ack("secret", err)
	ack("deletion", s.DeleteFunction(ctx, "acme", "main", "hello", store.Precondition{}))
	os.Exit(0)
}

// What a loss of power would show: before each acknowledgement the kernel was asked to put the write
// on the disk, the code before its name, and both before the row.
func TestSyncOrder(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace")
	}
	dir := t.TempDir()
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command(strace, "-f", "-y", "-o", trace, "-e", "trace=fsync,fdatasync,rename,renameat,renameat2,write,pwrite64", "-e", "signal=none", os.Args[0])
	cmd.Env = append(os.Environ(), syncDir+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "ptrace") {
			t.Skipf("needs ptrace: %s", out)
		}
		t.Fatalf("%v: %s", err, out)
	}
	raw, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	// One letter an event: t temporary file synced, r renamed, d its directory synced, w WAL written,
	// s WAL synced, ! acknowledged.
	var events strings.Builder
	for line := range strings.Lines(string(raw)) {
		synced := strings.Contains(line, "sync(")
		switch {
		case synced && strings.Contains(line, ".tmp>"):
			events.WriteByte('t')
		case strings.Contains(line, "rename") && strings.Contains(line, "/code/"):
			events.WriteByte('r')
		case synced && strings.Contains(line, "/code>"):
			events.WriteByte('d')
		case synced && strings.Contains(line, "hearth.db-wal>"):
			events.WriteByte('s')
		case strings.Contains(line, "hearth.db-wal>"):
			events.WriteByte('w')
		case strings.Contains(line, `"acked `):
			events.WriteByte('!')
		}
	}
	// Opening makes the schema; then a tenant, a container, a function with code, and three more.
	if want := regexp.MustCompile(`^[ws]*s!w+s!trdw+s!w+s!w+s!w+s!$`); !want.MatchString(events.String()) {
		t.Fatalf("the order was %s, want %s", events.String(), want)
	}
}
