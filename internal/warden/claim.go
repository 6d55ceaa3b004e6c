package warden

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/sandbox"
)

// claims is where the hearths of a machine divide it among themselves. It is the same for all of
// them, whatever their run directory.
const claims = "/run/hearth-claims"

// A block is what one hearth claims: 1,024 ranges of host uids and the cgroup of the same number.
// Blocks begin at 2³⁰, above what distributions give to people, services, subordinate ids and
// systemd's dynamic containers (0x00080000–0x6FFFFFFF overlaps only with the first twelve, for
// machines that systemd-nspawn itself picks and checks for use), and end below 2³²−1, which is no uid.
const (
	blockRanges = 1024
	firstBlock  = 1 << 30
	blockSize   = blockRanges * sandbox.UIDsPerInstance
	blocks      = (1<<32 - 1 - firstBlock) / blockSize
)

// block is a claim; it lasts until the file is closed, by us or by our death.
type block struct {
	number int
	lock   *os.File
}

func (b *block) cgroup() string   { return cgroupName(b.number) }
func (b *block) firstUID() uint32 { return uint32(firstBlock + b.number*blockSize) }

func cgroupName(number int) string { return fmt.Sprintf("/hearth-%d", number) }

// claimBlock takes the first block that nobody holds, and removes what dead holders left in any.
// The file is never removed: two hearths could then lock two files of one name.
func claimBlock(log *slog.Logger) (*block, error) {
	if err := os.MkdirAll(claims, 0o755); err != nil {
		return nil, fmt.Errorf("make folder of claims: %w", err)
	}
	folder, err := openFolder(claims)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	var mine *block
	for n := range blocks {
		name := fmt.Sprintf("block-%d", n)
		if _, err := os.Lstat(path.Join(claims, name)); mine != nil && errors.Is(err, os.ErrNotExist) {
			break // blocks are taken in order, so none above was ever used
		}
		f, err := tryLock(folder, name)
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue
		}
		if err != nil {
			return nil, err
		}
		// Its holder is dead: whatever is in the cgroup has no owner.
		if err := sandbox.RemoveCgroup(cgroupName(n)); err != nil {
			log.Error("cannot remove what a dead hearth left; its uids stay unused", "cgroup", cgroupName(n), "err", err)
			f.Close()
			continue
		}
		if mine == nil {
			mine = &block{n, f}
		} else {
			f.Close()
		}
	}
	if mine == nil {
		return nil, fmt.Errorf("all %d blocks of host uids are claimed by hearths of this machine (%s)", blocks, claims)
	}
	return mine, nil
}

func tryLock(folder *os.File, name string) (*os.File, error) {
	f, err := sandbox.OpenBeneath(folder, name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open claim: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f, nil
}

// lockPatience is how long serve waits for a hearth that is just ending.
const lockPatience = 5 * time.Second

// lockData locks the data directory, whose path is dir, for the life of the process.
func lockData(data *os.File, dir string) (*os.File, error) {
	for deadline := time.Now().Add(lockPatience); ; {
		f, err := tryLock(data, "lock")
		if err == nil || !errors.Is(err, unix.EWOULDBLOCK) {
			return f, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("another hearth uses the data directory %s; stop it, or give this one its own with --data-dir", dir)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
