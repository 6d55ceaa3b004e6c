package sandbox

import (
	"fmt"
	"slices"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// seccompProfile is Docker's default profile for a process without capabilities, cut to the native
// architecture (a filter by number can be dodged through another one's numbers), and without the
// ioctls 0x8900–0x89FF, with which a socket tells of the network namespace that it was made in.
func seccompProfile(spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	p, err := seccomp.GetDefaultProfile(spec)
	if err != nil {
		return nil, fmt.Errorf("make seccomp profile: %w", err)
	}
	// Empty means the architecture of the runtime itself.
	p.Architectures = nil
	for i := range p.Syscalls {
		p.Syscalls[i].Names = slices.DeleteFunc(p.Syscalls[i].Names, func(n string) bool { return n == "ioctl" })
	}
	p.Syscalls = slices.DeleteFunc(p.Syscalls, func(s specs.LinuxSyscall) bool { return len(s.Names) == 0 })
	// libseccomp cannot say "differs from": so an ioctl is allowed if any of the eight bits that hold
	// the type differs from 0x89. Bits above are the kernel's _IOC size and direction, or ignored.
	const socketType = 0x89
	for bit := 8; bit < 16; bit++ {
		mask := uint64(1) << bit
		p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{
			Names:  []string{"ioctl"},
			Action: specs.ActAllow,
			Args:   []specs.LinuxSeccompArg{{Index: 1, Value: mask, ValueTwo: ^(uint64(socketType) << 8) & mask, Op: specs.OpMaskedEqual}},
		})
	}
	return p, nil
}
